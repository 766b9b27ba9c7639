"""Superusers and tokens."""

from __future__ import annotations

import time

import pytest

from gateway.store.problem import AlreadyExists, LastSuperuser, NotFound
from gateway.store.store import Store


async def token(store: Store, digest: str, **changes: object) -> str:
    values: dict[str, object] = {
        "name": "ci",
        "digest": digest * 64,
        "kind": "token",
        "superuser": False,
        "owner": None,
        "expires_at": 0.0,
        "claims": {"role": "x"},
        "actor": "t",
    }
    return (await store.tokens.create(**(values | changes))).id  # type: ignore[arg-type]


async def test_superusers(store: Store) -> None:
    made = await store.superusers.create("Root@X.org", "hash", "cli")
    assert made.email == "root@x.org"
    assert await store.superusers.by_email("ROOT@x.ORG") == (made, "hash")
    assert await store.superusers.by_email("nobody@x.org") is None
    with pytest.raises(AlreadyExists):
        await store.superusers.create("root@x.org", "other", "cli")
    assert await store.superusers.list() == [made]


async def test_the_last_superuser_stays_and_logins_end_with_their_owner(store: Store) -> None:
    first = await store.superusers.create("a@x.org", "h", "cli")
    with pytest.raises(LastSuperuser):
        await store.superusers.delete(first.id, "cli")
    second = await store.superusers.create("b@x.org", "h", "cli")
    await token(store, "a", kind="superuser", owner=second.id, superuser=True)
    await token(store, "b")
    await store.superusers.delete(second.id, "a@x.org")
    assert [*(await store.tokens.all())] == ["b" * 64]
    with pytest.raises(NotFound):
        await store.superusers.delete(second.id, "cli")


async def test_tokens_that_are_good_now(store: Store) -> None:
    now = time.time()
    await token(store, "a")
    await token(store, "b", expires_at=now + 100)
    await token(store, "c", expires_at=now - 1)
    good = await store.tokens.all()
    assert good.keys() == {"a" * 64, "b" * 64}
    assert good["a" * 64].claims == {"role": "x"}
    assert len(await store.tokens.list("token")) == 3
    assert await store.tokens.purge(now) == 1
    assert len(await store.tokens.list()) == 2


async def test_revoke_and_log_out(store: Store) -> None:
    first = await token(store, "a")
    await token(store, "b")
    await store.tokens.delete(first, "t")
    with pytest.raises(NotFound):
        await store.tokens.delete(first, "t")
    await store.tokens.delete_by_digest("b" * 64, "t")
    await store.tokens.delete_by_digest("b" * 64, "t")
    assert await store.tokens.all() == {}
    assert [row.action for row in (await store.audit.list())[0]] == [
        "logout",
        "token.delete",
        "token.create",
        "token.create",
    ]


async def test_the_last_use_is_noted_without_a_change_to_hear_of(store: Store) -> None:
    await token(store, "a")
    before = await store.revision()
    await store.tokens.touch({"a" * 64: 1_800_000_000.0, "f" * 64: 1.0})
    await store.tokens.touch({})
    assert await store.revision() == before
    used = (await store.tokens.list())[0].last_used
    assert used is not None
    assert used.timestamp() == 1_800_000_000.0
