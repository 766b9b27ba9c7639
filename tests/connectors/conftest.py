"""Connectors against real servers: PostgreSQL, MariaDB, SQLite and Valkey, on this machine alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import mariadb, postgres
from harness.databases import Database, database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    yield from postgres.start()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariaDb]:
    yield from mariadb.start()


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return database(request.param, request, tmp_path)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return database(request.param, request, tmp_path)
