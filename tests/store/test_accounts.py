"""Superusers and tokens."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.store.problem import AlreadyExists, LastSuperuser, NotFound, StoreError
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


async def test_of_two_superusers_that_delete_each_other_one_stays(store: Store) -> None:
    made = [await store.superusers.create(f"{name}@x.org", "h", "cli") for name in "ab"]
    ends = await asyncio.gather(*(store.superusers.delete(one.id, "t") for one in made), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["LastSuperuser", "NoneType"]
    assert len(await store.superusers.list()) == 1


@pytest.mark.parametrize("email", ["x", "x" * 255])
async def test_what_is_no_email_does_not_exist_already(store: Store, email: str) -> None:
    with pytest.raises(StoreError, match="outside its bounds"):
        await store.superusers.create(email, "hash", "cli")
    assert (await store.audit.list())[1] == 0


async def test_bytes_of_a_terminal_that_are_no_text_are_refused(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        await store.superusers.create("root\udcff@x.org", "hash", "cli")
    assert "root" not in str(caught.value)


@pytest.mark.parametrize(
    ("digest", "changes"), [("b", {"claims": {"x": "y" * 10_000}}), ("b", {"kind": "other"}), ("aaaa", {}), ("a", {})]
)
async def test_a_token_that_is_refused_does_not_show(store: Store, digest: str, changes: dict[str, object]) -> None:
    await token(store, "a")
    with pytest.raises(StoreError, match="refuses this token") as caught:
        await token(store, digest, **changes)
    assert digest * 8 not in str(caught.value)
    assert (await store.audit.list())[1] == 1


async def test_a_login_of_somebody_who_was_deleted_meanwhile(store: Store) -> None:
    with pytest.raises(NotFound, match="deleted meanwhile"):
        await token(store, "a", kind="superuser", owner="nobody")


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
