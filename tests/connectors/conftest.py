"""Connectors against real servers: PostgreSQL, MariaDB, SQLite and Valkey, on this machine alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import mariadb, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    yield from postgres.start()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariaDb]:
    yield from mariadb.start()
