"""Grants in both databases: encrypted, bound to their row, and changed by one process at a time."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update

from gateway.core.grant import IssuedTokens
from gateway.store.errors import KeyProblem, StoreError
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.store.tables import GRANTS

A, B = "trn:openact:t:connection/http/a@v1", "trn:openact:t:connection/http/b@v1"
FIRST = IssuedTokens("access-1", "refresh-1", 100.0, 200.0)
SECOND = IssuedTokens("access-2", "refresh-2", 180.0, 300.0)


async def test_a_grant_is_kept_encrypted_and_audited(store: Store) -> None:
    assert await store.grants.read(A) is None
    assert await store.grants.put(A, "bound", FIRST, "ann") == 1
    kept = await store.grants.read(A)
    assert kept is not None
    assert (kept.access, kept.refresh, kept.issued, kept.expires) == ("access-1", "refresh-1", 100.0, 200.0)
    assert (kept.version, kept.author, kept.binding, kept.error) == (1, "ann", "bound", "")
    assert "access-1" not in repr(kept)
    assert "refresh-1" not in repr(kept)
    async with store._database.reading() as connection:
        row = (await connection.execute(select(GRANTS))).one()
    assert b"access" not in row.access
    assert b"refresh" not in row.refresh
    assert await store.grants.put(A, "bound", SECOND, "bob") == 2
    assert await store.grants.versions() == {A: (2, "")}
    assert await store.grants.remove(A, "bob")
    assert not await store.grants.remove(A, "bob")
    rows, _ = await store.audit.list()
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("bob", "grant.revoke", A),
        ("bob", "grant.put", A),
        ("ann", "grant.put", A),
    ]


async def test_a_token_in_another_row_does_not_open(store: Store) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    await store.grants.put(B, "bound", SECOND, "ann")
    async with store._database.writing() as connection:
        row = (await connection.execute(select(GRANTS).where(GRANTS.c.connection == A))).one()
        await connection.execute(update(GRANTS).where(GRANTS.c.connection == B).values(access=row.access))
    with pytest.raises(KeyProblem, match="moved to another row"):
        await store.grants.read(B)


async def test_one_of_many_gets_the_lease(store: Store) -> None:
    found = await asyncio.gather(*(store.grants.lease(A, "bound", f"p{n}", 0, 10.0, 20.0) for n in range(8)))
    assert sum(found) == 1


async def test_a_lease_is_kept_by_its_holder_and_ends_by_time(store: Store) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    assert await store.grants.lease(A, "bound", "p1", 1, 10.0, 20.0)
    assert await store.grants.lease(A, "bound", "p1", 1, 11.0, 21.0), "its own"
    assert not await store.grants.lease(A, "bound", "p2", 1, 20.9, 31.0)
    assert not await store.grants.lease(A, "bound", "p2", 2, 30.0, 40.0), "another version"
    assert await store.grants.lease(A, "bound", "p2", 1, 21.0, 31.0)
    await store.grants.release(A, "p1", 1, "invalid_grant")
    kept = await store.grants.read(A)
    assert kept is not None
    assert (kept.holder, kept.error) == ("p2", ""), "the lease of another one is not given back"
    await store.grants.release(A, "p2", 1, "invalid_grant")
    assert await store.grants.versions() == {A: (1, "invalid_grant")}


async def test_the_next_token_replaces_the_one_that_was_leased(store: Store) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    assert await store.grants.lease(A, "bound", "p1", 1, 10.0, 20.0)
    assert not await store.grants.settle(A, "other", 1, SECOND), "another binding"
    assert await store.grants.settle(A, "bound", 1, SECOND)
    assert not await store.grants.settle(A, "bound", 1, FIRST), "a late result of an old request"
    kept = await store.grants.read(A)
    assert kept is not None
    assert (kept.access, kept.refresh, kept.version, kept.holder) == ("access-2", "refresh-2", 2, "")


async def test_a_refresh_token_stays_when_none_is_given(store: Store) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    assert await store.grants.settle(A, "bound", 1, IssuedTokens("access-3", "", 1.0, 2.0))
    kept = await store.grants.read(A)
    assert kept is not None
    assert (kept.access, kept.refresh) == ("access-3", "refresh-1")


async def test_another_binding_begins_without_the_tokens(store: Store) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    assert await store.grants.lease(A, "elsewhere", "p1", 1, 10.0, 20.0)
    kept = await store.grants.read(A)
    assert kept is not None
    assert (kept.access, kept.refresh, kept.author, kept.version) == ("", "", "", 1)


async def test_a_token_that_is_too_long_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="longer than"):
        await store.grants.put(A, "bound", IssuedTokens("x" * 80_000, "", 1.0, 2.0), "ann")
    await store.grants.put(A, "bound", FIRST, "ann")
    with pytest.raises(StoreError, match="longer than"):
        await store.grants.settle(A, "bound", 1, IssuedTokens("x" * 80_000, "", 1.0, 2.0))


async def test_grants_are_encrypted_with_a_new_key(store: Store, url: str) -> None:
    await store.grants.put(A, "bound", FIRST, "ann")
    await store.grants.put(B, "bound", IssuedTokens("only", "", 1.0, 0.0), "ann")
    newer = await Store.open(url, KeyRing.of(f"{'22' * 32},{'11' * 32}"))
    assert await newer.grants.rekey() == 2
    assert await newer.grants.rekey() == 0
    await newer.aclose()
    newest = await Store.open(url, KeyRing.of("22" * 32))
    kept = await newest.grants.read(A)
    assert kept is not None
    assert (kept.access, kept.refresh) == ("access-1", "refresh-1")
    await newest.aclose()
