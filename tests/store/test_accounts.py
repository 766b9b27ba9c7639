"""Superusers and tokens."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.store.audit import Author
from gateway.store.errors import AlreadyExists, LastSuperuser, NotFound, StoreError
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


async def test_a_superuser_token_ends_with_its_maker_and_other_tokens_stay(store: Store) -> None:
    await store.superusers.create("a@x.org", "h", "cli")
    maker = await store.superusers.create("b@x.org", "h", "cli")
    await token(store, "a", superuser=True, owner=maker.id, actor=Author("b@x.org", "10.0.0.1", "s1"))
    await token(store, "b", actor="b@x.org")
    await token(store, "c", superuser=True)
    assert {t.maker for t in (await store.tokens.all()).values()} == {"b@x.org", "t"}
    await store.superusers.delete(maker.id, "a@x.org")
    assert set(await store.tokens.all()) == {"b" * 64, "c" * 64}
    assert (await store.audit.list())[0][0].detail == {"logins": 0, "tokens": 1}


async def test_a_new_password_ends_the_other_logins(store: Store) -> None:
    made = await store.superusers.create("a@x.org", "old", "cli")
    other = await store.superusers.create("b@x.org", "h", "cli")
    for digest, owner in (("a", made.id), ("b", made.id), ("c", other.id)):
        await token(store, digest, kind="superuser", owner=owner, superuser=True)
    await token(store, "d", superuser=True, owner=made.id)
    before = await store.revision()
    assert await store.superusers.set_password(made.id, "new", "a@x.org", keep="a" * 64) == "a@x.org"
    assert await store.superusers.by_email("a@x.org") == (made, "new")
    assert set(await store.tokens.all()) == {"a" * 64, "c" * 64, "d" * 64}
    assert await store.revision() > before
    row = (await store.audit.list())[0][0]
    assert (row.action, row.subject, row.detail) == ("superuser.password", "a@x.org", {"logins": 1})
    await store.superusers.set_password(made.id, "newer", "b@x.org", tokens=True)
    assert set(await store.tokens.all()) == {"c" * 64}
    with pytest.raises(NotFound):
        await store.superusers.set_password("nobody", "x", "t")


async def test_a_login_with_a_password_that_was_changed_meanwhile(store: Store) -> None:
    made = await store.superusers.create("a@x.org", "old", "cli")
    login = {"kind": "superuser", "owner": made.id, "superuser": True}
    await token(store, "a", **login, password_hash="old")
    await store.superusers.set_password(made.id, "new", "t")
    with pytest.raises(NotFound, match="another password"):
        await token(store, "b", **login, password_hash="old")
    assert await store.tokens.all() == {}


async def test_a_login_is_ended_by_its_id_and_a_token_is_no_login(store: Store) -> None:
    made = await store.superusers.create("a@x.org", "h", "cli")
    login = await token(
        store, "a", kind="superuser", owner=made.id, superuser=True, actor=Author("a@x.org", "10.0.0.9")
    )
    plain = await token(store, "b")
    assert [t.client for t in await store.tokens.list("superuser")] == ["10.0.0.9"]
    for id_, kind in ((login, "token"), (plain, "superuser")):
        with pytest.raises(NotFound):
            await store.tokens.delete(id_, "t", kind)
    await store.tokens.delete(login, "t", "superuser")
    assert set(await store.tokens.all()) == {"b" * 64}
    assert (await store.audit.list())[0][0].action == "session.end"


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
    with pytest.raises(StoreError, match="rejects this token") as caught:
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
