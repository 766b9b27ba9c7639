"""Authorizations that were begun: used once, polled at their interval, without their secrets afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.store.authorizations import Authorization
from gateway.store.store import Store
from gateway.store.tables import AUTHORIZATIONS

BEGUN = Authorization("a1", "digest", "trn", "bound", {"verifier": "v3rifier"}, "ann", "t1", 100.0, 700.0)


async def test_a_state_is_taken_once(store: Store) -> None:
    await store.authorizations.add(BEGUN)
    assert "v3rifier" not in repr(BEGUN)
    async with store._database.reading() as connection:
        assert b"v3rifier" not in (await connection.execute(select(AUTHORIZATIONS))).one().sealed
    assert await store.authorizations.take("other", 100.0) is None
    assert await store.authorizations.take("digest", 700.0) is None, "it has expired"
    found = await asyncio.gather(*(store.authorizations.take("digest", 101.0) for _ in range(5)))
    assert [each for each in found if each is not None] == [BEGUN]


async def test_what_has_ended_has_no_secrets(store: Store) -> None:
    await store.authorizations.add(BEGUN)
    await store.authorizations.end("a1", "authorized", "")
    await store.authorizations.end("a1", "failed", "too late")
    assert await store.authorizations.get("a1") == replace(BEGUN, secrets={}, status="authorized")
    assert await store.authorizations.take("digest", 101.0) is None
    assert await store.authorizations.get("a2") is None


@pytest.mark.parametrize("polled", [105.0, 110.0])
async def test_a_poll_is_claimed_at_its_interval(store: Store, polled: float) -> None:
    await store.authorizations.add(replace(BEGUN, poll_seconds=5.0, next_poll=105.0))
    assert await store.authorizations.claim_poll("a1", 104.9) is None
    found = await asyncio.gather(*(store.authorizations.claim_poll("a1", polled) for _ in range(5)))
    assert sum(each is not None for each in found) == 1
    await store.authorizations.slow_down("a1", 5.0, polled)
    assert await store.authorizations.claim_poll("a1", polled + 9.9) is None
    assert await store.authorizations.claim_poll("a1", polled + 10.0) is not None
    assert await store.authorizations.claim_poll("a1", 700.0) is None, "it has expired"


async def test_old_ones_are_forgotten(store: Store) -> None:
    await store.authorizations.add(BEGUN)
    await store.authorizations.add(replace(BEGUN, id="a2", state="s2", created=4301.0, expires=5000.0))
    assert await store.authorizations.get("a1") is None
