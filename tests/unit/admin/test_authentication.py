"""Callers are identified by a real database: what was revoked ends at once, and requests share the looks at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.admin.authentication import Authentication
from gateway.identity.tokens import digest, mint
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.keys import KeyRing
from gateway.store.store import Store


class Counted(Store):
    """Says how often it was asked, and when."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        super().__init__(database, keys)
        self.looks = 0
        self.began = asyncio.Event()

    async def revision(self) -> int:
        self.looks += 1
        self.began.set()
        return await super().revision()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counted]:
    url = f"sqlite:///{tmp_path}/gateway.db"
    await schema.upgrade(url)
    made = await Counted.open(url, KeyRing.of("11" * 32))
    yield made
    await made.aclose()


@pytest.fixture
def authentication(store: Counted) -> Authentication:
    return Authentication(store, time.time)


async def minted(store: Store) -> str:
    token = mint()
    await store.tokens.create("test", digest(token), "token", True, None, 0.0, {}, "test")
    return token


async def test_a_token_is_good_from_when_it_is_made_until_it_is_revoked(
    store: Counted, authentication: Authentication
) -> None:
    for _ in range(3):
        token = await minted(store)
        actor = await authentication.authenticate(token)
        assert actor is not None
        assert actor.superuser
        assert await authentication.still_good(actor)
        await store.tokens.delete(actor.credential, "test")
        assert await authentication.authenticate(token) is None
        assert not await authentication.still_good(actor)
    assert await authentication.authenticate("no token") is None


async def test_requests_at_the_same_time_share_a_look(store: Counted, authentication: Authentication) -> None:
    token = await minted(store)
    found = await asyncio.gather(*(authentication.authenticate(token) for _ in range(50)))
    assert all(actor is not None for actor in found)
    assert store.looks == 1


async def test_no_request_shares_a_look_that_began_before_it(store: Counted, authentication: Authentication) -> None:
    token = await minted(store)
    actor = await authentication.authenticate(token)
    assert actor is not None
    store.looks = 0
    store.began.clear()
    early = [asyncio.create_task(authentication.authenticate(token)) for _ in range(5)]
    await store.began.wait()
    await store.tokens.delete(actor.credential, "test")
    late = [asyncio.create_task(authentication.authenticate(token)) for _ in range(5)]
    assert await asyncio.gather(*late) == [None] * 5
    await asyncio.gather(*early)
    assert store.looks == 2


async def test_a_caller_who_leaves_ends_no_look(store: Counted, authentication: Authentication) -> None:
    token = await minted(store)
    leaves, stays = (asyncio.create_task(authentication.authenticate(token)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays is not None
    assert leaves.cancelled()
    assert store.looks == 1


async def test_all_requests_of_a_look_that_fails_fail(
    store: Counted, authentication: Authentication, caplog: pytest.LogCaptureFixture
) -> None:
    token = await minted(store)
    store._database.barred = "the database is away"
    found = await asyncio.gather(*(authentication.authenticate(token) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailable] * 3
    store._database.barred = ""
    assert await authentication.authenticate(token) is not None
    assert caplog.records == []
