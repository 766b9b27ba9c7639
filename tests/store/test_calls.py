"""Connections and actions in both databases: whole, unique, encrypted, one change at a time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select, text, update

from gateway.config import single_call
from gateway.config.errors import ConfigError
from gateway.config.named_calls import NamedAction, NamedConnection
from gateway.config.secret_names import REDACTED
from gateway.core.grant import IssuedTokens
from gateway.store import schema
from gateway.store.authorizations import Authorization
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, KeyProblem, NotFound, SchemaBehind, StoreError
from gateway.store.keys import KeyRing
from gateway.store.repository import VersionConflict, usable
from gateway.store.store import Store
from gateway.store.tables import ACTIONS, CONNECTIONS

SECRETS = ("s3cret-token", "s3cret-header", "s3cret-query", "s3cret-body")
SHOP = "trn:openact:default:connection/http/shop@v1"
FIND = "trn:openact:default:action/http/find@v1"
FULL = {
    "name": "shop",
    "base_url": "http://127.0.0.1:9/v1",
    "auth": {"type": "api_key", "name": "X-Key", "value": SECRETS[0], "in": "header"},
    "headers": {"X-Tenant": SECRETS[1], "Accept": "text/plain"},
    "query": {"k": SECRETS[2]},
    "body": {"a": [SECRETS[3], 5]},
    "retry": "api",
    "merge": "strict",
    "timeout_ms": 30000,
    "circuit_breaker": {"enabled": True},
    "rate_limits": [{"rate": 100, "per": 60, "mode": "shadow"}],
}


def connection(name: str = "shop", **more: Any) -> NamedConnection:
    return single_call.connection({"name": name, "base_url": "http://127.0.0.1:9", **more})


def action(name: str = "find", **more: Any) -> NamedAction:
    return single_call.action({"name": name, "connection": "shop", **more})


async def rows(url: str, table: Any) -> list[Any]:
    database = Database(url)
    try:
        async with database.reading() as reading:
            return list((await reading.execute(select(table))).mappings().all())
    finally:
        await database.aclose()


@pytest.mark.covers("ACT-01", "ACT-25", "ACT-26")
async def test_every_setting_survives_the_way_and_secrets_are_encrypted(store: Store, url: str) -> None:
    made = await store.connections.create(single_call.connection(FULL), "root@x")
    assert (made.name, made.version) == (SHOP, 1)
    assert made.value == single_call.connection(FULL)
    assert not isinstance(made.value, ConfigError)
    assert made.value.definition.record("shop").bounds_time, "a default that was written has a meaning"
    assert made.settings["auth"] == {"type": "api_key", "name": "X-Key", "value": REDACTED, "in": "header"}
    assert made.settings["headers"] == {"X-Tenant": REDACTED, "Accept": "text/plain"}
    assert made.settings["body"] == {"a": [REDACTED, REDACTED]}
    assert (await store.connections.get(SHOP), await store.connections.list()) == (made, (made,))
    again = await Store.open(url, KeyRing.of("11" * 32))
    assert [each.value for each in await again.connections.list()] == [made.value]
    await again.aclose()
    everything = f"{made!r} {await rows(url, CONNECTIONS)} {(await store.audit.list())[0]}"
    for secret in SECRETS:
        assert secret not in everything


@pytest.mark.covers("ACT-02")
async def test_an_action_and_its_versions(store: Store) -> None:
    await store.connections.create(connection(), "t")
    first = await store.actions.create(action(headers={"X-Api-Key": SECRETS[0], "Accept": "{kind}"}), "t")
    assert (first.name, first.settings["headers"]) == (FIND, {"X-Api-Key": REDACTED, "Accept": "{kind}"})
    second = await store.actions.create(action("find@v2", path="/new", enabled=False), "t")
    theirs = await store.actions.create(action(tenant="acme"), "t")
    assert [each.name for each in await store.actions.list()] == [theirs.name, first.name, second.name]
    assert second.name == FIND.replace("v1", "v2")
    with pytest.raises(AlreadyExists, match="there is an action find@v2 already"):
        await store.actions.create(action("find@v02"), "t")
    assert len(usable(await store.actions.list())) == 3


async def test_a_name_is_unique_within_its_tenant(store: Store) -> None:
    await store.connections.create(connection(), "t")
    await store.connections.create(connection(tenant="acme"), "t")
    with pytest.raises(AlreadyExists, match="there is a connection shop already"):
        await store.connections.create(connection(base_url="http://other"), "t")


async def test_of_two_changes_at_once_one_is_refused(store: Store) -> None:
    await store.connections.create(connection(), "t")
    changes = [store.connections.update(SHOP, connection(description=text), 1, "t") for text in "ab"]
    done = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Record", "VersionConflict"]
    with pytest.raises(VersionConflict):
        await store.connections.delete(SHOP, 1, "t")
    with pytest.raises(NotFound):
        await store.connections.update(SHOP.replace("shop", "x"), connection("x"), 1, "t")


async def test_a_new_secret_is_a_change_that_shows_no_value(store: Store) -> None:
    bearer = {"type": "bearer", "token": SECRETS[0]}
    await store.connections.create(connection(auth=bearer), "t")
    changed = await store.connections.update(SHOP, connection(auth={**bearer, "token": SECRETS[1]}), 1, "t")
    assert not isinstance(changed.value, ConfigError)
    assert changed.value.definition.record("shop").auth.secret == SECRETS[1]
    (row, _), _ = await store.audit.list()
    shown = {"auth": {"type": "bearer", "token": REDACTED}}
    assert (row.action, row.subject, row.detail) == ("connection.update", SHOP, {"keys": ["auth"]})
    assert (row.before, row.after) == (shown, shown)


@pytest.mark.covers("ACT-02")
async def test_a_connection_takes_its_actions_with_it(store: Store) -> None:
    await store.connections.create(connection(), "t")
    await store.connections.create(connection(tenant="acme"), "t")
    for each in (action(), action("find@v2"), action(tenant="acme"), action("other", connection="elsewhere")):
        await store.actions.create(each, "t")
    before = await store.revision()
    with pytest.raises(VersionConflict):
        await store.connections.delete_with_actions(SHOP, 7, "t")
    assert len(await store.actions.list()) == 4
    assert await store.connections.delete_with_actions(SHOP, 1, "ann") == [FIND, FIND.replace("v1", "v2")]
    assert [each.settings["name"] for each in await store.actions.list()] == ["find", "other"]
    assert await store.revision() > before
    told = [(row.actor, row.action, row.subject) for row in (await store.audit.list())[0][:3]]
    assert told == [
        ("ann", "action.delete", FIND.replace("v1", "v2")),
        ("ann", "action.delete", FIND),
        ("ann", "connection.delete", SHOP),
    ]


async def test_a_connection_takes_its_tokens_with_it(store: Store) -> None:
    """Else who creates another one of this name uses what a person has agreed to for the first."""
    for name in ("shop", "other"):
        await store.connections.create(connection(name), "t")
        await store.grants.put(connection(name).trn, "b", IssuedTokens("access", "refresh", 1.0, 2.0), "t")
        begun = Authorization(name, f"state of {name}", connection(name).trn, "b", {}, "ann", "", 1.0, 2.0)
        await store.authorizations.add(begun)
    with pytest.raises(VersionConflict):
        await store.connections.delete_with_actions(SHOP, 7, "t")
    assert await store.grants.read(SHOP) is not None
    await store.connections.delete_with_actions(SHOP, 1, "ann")
    assert await store.grants.read(SHOP) is None
    assert await store.authorizations.get("shop") is None, "nor does a browser that comes back find it"
    assert await store.grants.read(connection("other").trn) is not None
    assert await store.authorizations.get("other") is not None


async def test_an_action_does_not_come_to_a_connection_that_goes(store: Store) -> None:
    await store.connections.create(connection(), "t")
    guard = store.actions.needs(("default", "shop"))
    made, gone = await asyncio.gather(
        store.actions.create(action(), "t", guard),
        store.connections.delete_with_actions(SHOP, None, "t"),
        return_exceptions=True,
    )
    assert isinstance(made, NotFound) or gone == [FIND]
    assert await store.actions.list() == ()
    with pytest.raises(NotFound, match="there is no connection shop; create it first"):
        await store.actions.create(action(), "t", guard)


async def test_secrets_do_not_move_to_another_row(store: Store, url: str) -> None:
    """Else who may write the database could send a secret to a host of their choice."""
    await store.connections.create(connection(auth={"type": "bearer", "token": SECRETS[0]}), "t")
    await store.connections.create(connection("mine", auth={"type": "bearer", "token": "x"}), "t")
    database = Database(url)
    async with database.writing() as writing:
        stolen = (await writing.execute(select(CONNECTIONS.c.sealed).where(CONNECTIONS.c.name == "shop"))).scalar_one()
        await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.name == "mine").values(sealed=stolen))
        await writing.execute(text("UPDATE revision SET value = value + 1"))
    await database.aclose()
    mine, shop = await store.connections.list()
    assert isinstance(mine.value, ConfigError)
    assert "moved to another row" in str(mine.value)
    assert usable([mine, shop]) == [shop.value]


async def test_rows_that_were_changed_by_hand_are_left_out_with_the_reason(store: Store, url: str) -> None:
    await store.connections.create(connection(auth={"type": "bearer", "token": SECRETS[0]}), "t")
    for settings in ('["x"]', '{"name": "shop", "auth": 5}', '{"name": "shop", "base_url": "http://h", "auth": []}'):
        database = Database(url)
        async with database.writing() as writing:
            await writing.execute(update(CONNECTIONS).values(settings=json.loads(settings)))
            await writing.execute(text("UPDATE revision SET value = value + 1"))
        await database.aclose()
        (found,) = await store.connections.list()
        assert isinstance(found.value, ConfigError), settings
        assert SECRETS[0] not in str(found.value)


@pytest.mark.covers("ACT-25")
async def test_a_new_key_encrypts_them_again(store: Store, url: str) -> None:
    await store.connections.create(connection(auth={"type": "bearer", "token": SECRETS[0]}), "t")
    await store.connections.create(connection("none"), "t")
    await store.actions.create(action(query={"api_key": SECRETS[1]}), "t")
    await store.secrets.put("K", "v", "t")
    both = await Store.open(url, KeyRing.of(f"{'22' * 32},{'11' * 32}"))
    assert await both.rekey("t") == 3
    assert await both.rekey("t") == 0
    await both.aclose()
    new = await Store.open(url, KeyRing.of("22" * 32))
    assert len(usable(await new.connections.list())) == 2
    assert [each.definition.query for each in usable(await new.actions.list())] == [{"api_key": SECRETS[1]}]
    await new.aclose()
    other = await Store.open(url, KeyRing.of("33" * 32))
    with pytest.raises(KeyProblem):
        await other.rekey("t")
    assert len(usable(await other.connections.list())) == 1, "the one without a secret"
    await other.aclose()


async def test_what_is_too_long_is_refused_in_words(store: Store) -> None:
    with pytest.raises(StoreError, match="the database rejects this connection"):
        await store.connections.create(connection(body={"a": "x" * 2_000_001}), "t")


@pytest.mark.covers("ACT-26")
async def test_revision_0010_goes_down_and_up(url: str) -> None:
    await schema.upgrade(url)
    opened = await Store.open(url, KeyRing.of("11" * 32))
    await opened.connections.create(connection(), "t")
    await opened.actions.create(action(), "t")
    await opened.aclose()
    assert (await schema.downgrade(url, "0009")).current == "0009"
    with pytest.raises(SchemaBehind):
        await Store.open(url, KeyRing.of("11" * 32))
    assert (await schema.upgrade(url)).pending == ()
    assert (await rows(url, CONNECTIONS), await rows(url, ACTIONS)) == ([], [])


DATABASE = {"name": "db", "kind": "sql", "url": "postgresql://reader:s3cret-url@db.internal/shop", "idle": 60}
CACHE = {
    "name": "cache",
    "kind": "redis",
    "url": "redis://cache.internal",
    "auth": {"type": "basic", "username": "", "password": "s3cret-auth"},
}
DOCUMENTS = {"name": "docs", "kind": "mongodb", "url": "mongodb://docs.internal/shop", "tls": {"mode": "off"}}


@pytest.mark.covers("ACT-01", "ACT-25", "ACT-26")
async def test_every_kind_survives_the_way(store: Store, url: str) -> None:
    for settings in (DATABASE, CACHE, DOCUMENTS):
        made = await store.connections.create(single_call.connection(settings), "t")
        assert made.value == single_call.connection(settings)
        assert made.name == f"trn:openact:default:connection/{settings['kind']}/{settings['name']}@v1"
    find = {"name": "find", "connection": "db", "kind": "sql", "statement": "SELECT :a"}
    made = await store.actions.create(single_call.action(find), "t")  # type: ignore[assignment]
    assert (made.value, made.settings) == (single_call.action(find), {**find, "tenant": "default"})
    again = await Store.open(url, KeyRing.of("11" * 32))
    assert len(usable(await again.connections.list())) == 3
    assert usable(await again.actions.list()) == [single_call.action(find)]
    await again.aclose()
    shown = {each.settings["name"]: each.settings for each in await store.connections.list()}
    assert shown["db"] == {**DATABASE, "url": REDACTED}
    assert shown["cache"] == {**CACHE, "auth": {"type": "basic", "username": "", "password": REDACTED}}
    assert shown["docs"] == DOCUMENTS
    everything = f"{await rows(url, CONNECTIONS)} {await store.audit.list()}"
    assert "s3cret" not in everything


async def test_what_is_not_installed_here_is_left_out_with_the_reason(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings in (CACHE, DOCUMENTS):
        await store.connections.create(single_call.connection(settings), "t")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    elsewhere = await Store.open(url, KeyRing.of("11" * 32))
    docs, cache = await elsewhere.connections.list()
    await elsewhere.aclose()
    assert not isinstance(cache.value, ConfigError)
    assert "pip install 'breakwater-gateway[mongodb]'" in str(docs.value)
    assert docs.name in str(docs.value)
