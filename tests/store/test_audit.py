"""The audit trail: what was changed by whom from where, without secrets, and not for ever."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select, text

from gateway.config import single
from gateway.config.schema.proxy import Proxy
from gateway.store import schema
from gateway.store.audit import Author, without_secrets
from gateway.store.database import Database
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.store.tables import AUDIT

SECRET = "sk-live-abcdefgh-5678"
WHO = Author("root@x.org", "10.0.0.7", "credential-id")
HEADERS = {"Authorization": f"Bearer {SECRET}", "X-Api-Key": "Key {secret.K}", "X-Team": "red"}


def proxy(max_concurrent: int, headers: dict[str, str]) -> Proxy:
    settings = {"name": "web", "path": "/web", "upstream": "http://h"}
    return single.stored({**settings, "max_concurrent": max_concurrent, "headers": headers})


async def test_a_change_of_a_proxy_is_kept_with_both_its_sides(store: Store) -> None:
    made = await store.proxies.create(proxy(5, HEADERS), WHO)
    await store.proxies.update("web", proxy(9, {**HEADERS, "X-Team": "blue"}), made.version, WHO)
    await store.proxies.delete("web", None, WHO)
    deleted, updated, created = (await store.audit.list())[0]
    for row in (created, updated, deleted):
        assert (row.actor, row.client, row.credential) == ("root@x.org", "10.0.0.7", "credential-id")
    masked = {"Authorization": "****", "X-Api-Key": "Key {secret.K}", "X-Team": "red"}
    assert created.before is None
    assert created.after is not None
    assert (created.after["path"], created.after["headers"]) == ("/web", masked)
    assert updated.before == {"max_concurrent": 5, "headers": masked}
    assert updated.after == {"max_concurrent": 9, "headers": {**masked, "X-Team": "blue"}}
    assert deleted.before is not None
    assert (deleted.before["max_concurrent"], deleted.after) == (9, None)
    assert SECRET not in str((created, updated, deleted))


async def test_a_secret_is_kept_masked(store: Store) -> None:
    await store.secrets.put("K", SECRET, WHO, "first")
    await store.secrets.put("K", SECRET + "9", WHO)
    await store.secrets.delete("K", WHO)
    deleted, changed, created = (await store.audit.list())[0]
    assert (created.before, created.after) == (
        None,
        {"masked_value": "****5678", "description": "first", "version": 1, "origins": []},
    )
    assert changed.before == created.after
    assert changed.after == deleted.before == {**changed.before, "masked_value": "****6789", "version": 2}
    assert SECRET not in str((created, changed, deleted))


async def test_a_token_is_kept_without_itself(store: Store) -> None:
    made = await store.tokens.create("ci", "a" * 64, "token", True, None, 5.0, {"role": "x"}, WHO)
    await store.tokens.delete(made.id, WHO)
    deleted, created = (await store.audit.list())[0]
    facts = {"superuser": True, "scope": None, "expires_at": 5.0, "maker": "root@x.org", "claims": {"role": "x"}}
    assert created.after == facts
    assert deleted.before == {"id": made.id, **facts}
    assert "a" * 64 not in str((created, deleted))


async def test_what_changes_nothing_counts_as_no_change(store: Store) -> None:
    """A failed login made every gateway of a fleet read its whole configuration."""
    before = await store.revision()
    await store.audit.add(Author("", "10.0.0.9"), "login.failed", "unknown")
    await store.audit.prune(0)
    assert await store.revision() == before
    row = (await store.audit.list())[0][0]
    assert (row.actor, row.client, row.credential, row.before) == ("", "10.0.0.9", None, None)


async def test_old_rows_are_pruned_in_small_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.audit._PRUNED_AT_ONCE", 3)
    for number in range(8):
        await store.audit.add("t", "test", str(number))
    async with store._database.writing() as connection:
        await connection.execute(text("UPDATE audit SET at = at - 1000 WHERE CAST(subject AS INTEGER) < 7"))
    assert await store.audit.prune(time.time() - 500) == 7
    assert await store.audit.prune(time.time() - 500) == 0
    rows, total = await store.audit.list()
    assert ([row.subject for row in rows], total) == (["7"], 1)


async def test_entries_and_tokens_of_before_stay_as_they_are(url: str) -> None:
    await schema.upgrade(url, "0004")
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(
            text("INSERT INTO audit (at, actor, action, subject, detail) VALUES (5, 'a', 'x.y', 's', '{}')")
        )
        await connection.execute(
            text(
                "INSERT INTO tokens (digest, id, name, kind, superuser, created, expires_at, claims)"
                f" VALUES ('{'a' * 64}', 'i', 'old', 'token', :yes, 5, 0, '{{}}')"
            ),
            {"yes": True},
        )
    await database.aclose()
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.of("11" * 32))
    ((row,), _) = await store.audit.list()
    assert (row.actor, row.client, row.credential, row.before, row.after) == ("a", None, None, None, None)
    ((kept),) = (await store.tokens.all()).values()
    assert (kept.name, kept.expires_at, kept.owner, kept.maker) == ("old", 0.0, None, None)
    await store.aclose()
    await schema.downgrade(url, "0004")
    assert (await schema.upgrade(url)).pending == ()
    database = Database(url)
    async with database.reading() as connection:
        assert (await connection.execute(select(func.count()).select_from(AUDIT))).scalar_one() == 1
    await database.aclose()


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Authorization", "Bearer {secret.K}", "Bearer {secret.K}"),
        ("Authorization", f"Bearer {SECRET}", "****"),
        ("Authorization", f"{SECRET} {{secret.K}}", "****"),
        ("X-Token", "{env.A}", "{env.A}"),
        ("Cookie", "a=b", "****"),
        ("X-Key", "", ""),
        ("X-Team", "red", "red"),
    ],
)
def test_what_of_a_header_is_kept(name: str, value: str, kept: str) -> None:
    assert without_secrets({"headers": {name: value}}) == {"headers": {name: kept}}
