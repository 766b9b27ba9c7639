"""Drained endpoints in both databases, and revision 0009, which makes their table."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store import schema
from gateway.store.audit import Author
from gateway.store.errors import LastEndpoint, StoreError
from gateway.store.keys import KeyRing
from gateway.store.store import Store

A, B, C = "http://a", "http://b", "https://c:8443"
ANN = Author("ann", "192.0.2.7", "t1")


async def drained(store: Store) -> list[tuple[str, str, str]]:
    return [(each.upstream, each.origin, each.actor) for each in await store.drains.list()]


async def test_a_drain_is_kept_audited_and_counts_as_a_change(store: Store, url: str) -> None:
    before = await store.revision()
    assert await store.drains.add("upstream ai", A, ANN, others=[B])
    assert await store.revision() == before + 1
    assert not await store.drains.add("upstream ai", A, "bob", others=[])
    assert await store.revision() == before + 1, "it is drained already"
    again = await Store.open(url, KeyRing.of("11" * 32))
    assert await drained(again) == [("upstream ai", A, "ann")]
    await again.aclose()
    assert not await store.drains.remove("ai", A, "bob"), "another upstream"
    assert await store.drains.remove("upstream ai", A, "bob")
    assert not await store.drains.remove("upstream ai", A, "bob")
    assert await store.revision() == before + 2
    assert await drained(store) == []
    rows, _ = await store.audit.list()
    told = [(row.actor, row.action, row.subject, row.detail) for row in rows]
    assert told == [
        ("bob", "endpoint.undrain", "ai", {"endpoint": A}),
        ("ann", "endpoint.drain", "ai", {"endpoint": A}),
    ]
    assert (rows[1].client, rows[1].credential) == ("192.0.2.7", "t1")


async def test_the_last_one_stays_unless_it_is_forced(store: Store) -> None:
    await store.drains.add("ai", A, ANN, others=[B, C])
    await store.drains.add("other", C, ANN, others=None)
    await store.drains.add("ai", B, ANN, others=[A, C])
    with pytest.raises(LastEndpoint, match="https://c:8443 is the last endpoint"):
        await store.drains.add("ai", C, ANN, others=[A, B])
    with pytest.raises(LastEndpoint):
        await store.drains.add("alone", A, ANN, others=[])
    assert await store.drains.add("ai", C, ANN, others=None)
    assert [origin for upstream, origin, _ in await drained(store) if upstream == "ai"] == [A, B, C]


async def test_of_two_that_drain_the_last_two_at_once_one_is_refused(store: Store) -> None:
    done = await asyncio.gather(
        store.drains.add("ai", A, ANN, others=[B]),
        store.drains.add("ai", B, ANN, others=[A]),
        return_exceptions=True,
    )
    assert sorted(type(each) for each in done if isinstance(each, Exception)) == [LastEndpoint]
    assert len(await drained(store)) == 1


async def test_the_table_comes_goes_and_comes_again(url: str) -> None:
    await schema.upgrade(url, "0008")
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.of("11" * 32))
    await store.drains.add("ai", A, ANN, others=None)
    await store.aclose()
    assert (await schema.downgrade(url, "0008")).current == "0008"
    assert (await schema.upgrade(url)).pending == ()
    store = await Store.open(url, KeyRing.of("11" * 32))
    assert await drained(store) == [], "an older gateway would not know of it"
    await store.aclose()


async def test_a_value_outside_its_bounds_is_refused_by_the_database(store: Store) -> None:
    for upstream, origin in (("u" * 101, A), ("ai", "http://" + "h" * 2000)):
        with pytest.raises(StoreError, match="rejects this endpoint"):
            await store.drains.add(upstream, origin, ANN, others=None)
    assert await drained(store) == []
