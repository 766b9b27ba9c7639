"""A database is used as soon as it can be, and not before."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness.patience import eventually
from harness.ports import reserved_port

from gateway.control.admission import admit, admit_later, why_away
from gateway.store import schema
from gateway.store.errors import StoreUnavailable
from gateway.store.keys import KeyRing
from gateway.store.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gateway.db"


async def test_a_database_that_can_be_used(url: str) -> None:
    await schema.upgrade(url)
    assert await why_away(url) == ""


async def test_a_database_that_nobody_serves() -> None:
    assert await why_away(f"postgresql://u:p@127.0.0.1:{reserved_port()}/d")


async def test_an_embedded_database_is_made_and_used(url: str) -> None:
    store = Store.barred(url, KeyRing.for_database(url, {}))
    with pytest.raises(StoreUnavailable):
        await store.revision()
    await admit(store, url)
    assert await store.revision() >= 0
    await store.aclose()


async def test_it_is_used_once_it_is_back(url: str, tmp_path: Path) -> None:
    await schema.upgrade(url)
    store = Store.barred(url, KeyRing.for_database(url, {}))
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE revision SET value = value")
        waiting = asyncio.ensure_future(admit_later(store, url))
        with pytest.raises(StoreUnavailable):
            await store.revision()
    await eventually(waiting.done, "the database", 30)
    assert await store.revision() >= 0
    await store.aclose()
