"""The store on both databases: SQLite files, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness import postgres

from gateway.store import schema
from gateway.store.keys import KeyRing
from gateway.store.store import Store

KEYS = "11" * 32


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    yield from postgres.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    server: postgres.Postgres = request.getfixturevalue("server")
    return server.database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    await schema.upgrade(url)
    opened = await Store.open(url, KeyRing.of(KEYS))
    yield opened
    await opened.aclose()
