"""Proxies in the database: whole, unique, one change at a time."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from gateway.config import single
from gateway.store.database import Database
from gateway.store.problem import AlreadyExists, NotFound, StoreError, StoreUnavailable
from gateway.store.proxies import VersionConflict
from gateway.store.store import Store

FULL: dict[str, object] = {
    "name": "full",
    "path": "/full",
    "hosts": ["b.example", "a.example"],
    "upstream": "http://127.0.0.1:9/base",
    "strip_path": False,
    "preserve_host": True,
    "access_rule": "@request.auth.id != ''",
    "headers": {"X-Key": "{secret.KEY}"},
    "active": False,
    "max_concurrent": 7,
    "queue": {"max_waiting": 3, "timeout": 1.5},
    "circuit_breaker": {"enabled": True, "failure_threshold": 2, "recovery_timeout": 3.0, "half_open_requests": 4},
    "timeout_config": {
        "dial": 1.0,
        "tls_handshake": 2.0,
        "response_header": 0.0,
        "body_idle": 4.0,
        "idle": 5.0,
        "total": 60.0,
    },
    "rewrite_location": True,
    "cors": {"allow_origins": ["https://a.example"], "expose_headers": ["X-A"], "allow_credentials": True},
}


def plain(name: str, **changes: object) -> dict[str, object]:
    return {"name": name, "path": f"/{name}", "upstream": "http://127.0.0.1:9", **changes}


async def test_every_key_survives_the_way(store: Store) -> None:
    made = await store.proxies.create(FULL, "root@x")
    assert made.settings == FULL
    assert (made.version, made.name) == (1, "full")
    assert await store.proxies.get("full") == made
    assert await store.proxies.list() == (made,)


async def test_what_was_left_out_means_the_defaults(store: Store) -> None:
    made = await store.proxies.create(plain("a"), "t")
    assert single.stored(made.settings) == single.stored(plain("a"))


async def test_names_and_routes_are_unique(store: Store) -> None:
    await store.proxies.create(FULL, "t")
    with pytest.raises(AlreadyExists) as name:
        await store.proxies.create(plain("full", path="/other"), "t")
    with pytest.raises(AlreadyExists) as path:
        await store.proxies.create(plain("x", path="/full", hosts=["a.example", "b.example"]), "t")
    assert (name.value.field, path.value.field) == ("name", "path")
    await store.proxies.create(plain("x", path="/full", hosts=["a.example"]), "t")
    await store.proxies.create(plain("y", path="/full"), "t")
    with pytest.raises(AlreadyExists):
        await store.proxies.update("y", plain("x", path="/y"), 1, "t")
    assert [proxy.name for proxy in await store.proxies.list()] == ["full", "x", "y"]


async def test_a_change_has_to_know_what_it_changes(store: Store) -> None:
    await store.proxies.create(plain("a"), "t")
    changed = await store.proxies.update("a", plain("a", max_concurrent=3), 1, "t")
    assert (changed.version, changed.settings["max_concurrent"]) == (2, 3)
    assert changed.updated >= changed.created
    with pytest.raises(VersionConflict) as caught:
        await store.proxies.update("a", plain("a", max_concurrent=4), 1, "t")
    assert caught.value.current == changed
    renamed = await store.proxies.update("a", plain("b", path="/a"), 2, "t")
    assert (renamed.name, renamed.id) == ("b", changed.id)
    with pytest.raises(NotFound):
        await store.proxies.update("a", plain("a"), 3, "t")


@pytest.mark.covers("EC-006")
async def test_of_many_that_change_the_same_version_one_wins(store: Store) -> None:
    await store.proxies.create(plain("a"), "t")
    ends = await asyncio.gather(
        *(store.proxies.update("a", plain("a", max_concurrent=n), 1, "t") for n in range(1, 9)), return_exceptions=True
    )
    lost = [end for end in ends if isinstance(end, VersionConflict)]
    won = [end for end in ends if not isinstance(end, BaseException)]
    assert (len(won), len(lost)) == (1, 7)
    current = await store.proxies.get("a")
    assert current is not None
    assert current.settings == won[0].settings


async def test_of_many_that_delete_one_wins(store: Store) -> None:
    await store.proxies.create(plain("a"), "t")
    ends = await asyncio.gather(*(store.proxies.delete("a", None, "t") for _ in range(4)), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "NotFound", "NotFound", "NotFound"]


async def test_who_loses_against_a_change_is_told_what_stands_now(store: Store) -> None:
    for name in "abcdef":
        await store.proxies.create(plain(name), "t")
        changed, deleted = await asyncio.gather(
            store.proxies.update(name, plain(name, max_concurrent=3), 1, "t"),
            store.proxies.delete(name, 1, "t"),
            return_exceptions=True,
        )
        if isinstance(changed, BaseException):
            assert (type(changed), deleted) == (NotFound, None)
        else:
            assert isinstance(deleted, VersionConflict)
            assert deleted.current == changed


async def test_hosts_that_are_named_twice_are_the_same_hosts(store: Store) -> None:
    await store.proxies.create(plain("a", path="/p", hosts=["a.example", "b.example", "a.example"]), "t")
    with pytest.raises(AlreadyExists):
        await store.proxies.create(plain("b", path="/p", hosts=["b.example", "a.example"]), "t")


@pytest.mark.parametrize("version", [2**31, 2**63])
async def test_a_version_that_no_column_can_hold_is_only_another_version(store: Store, version: int) -> None:
    made = await store.proxies.create(plain("a"), "t")
    with pytest.raises(VersionConflict) as caught:
        await store.proxies.delete("a", version, "t")
    assert caught.value.current == made


async def test_delete(store: Store) -> None:
    await store.proxies.create(plain("a"), "t")
    with pytest.raises(VersionConflict):
        await store.proxies.delete("a", 9, "t")
    await store.proxies.delete("a", 1, "t")
    with pytest.raises(NotFound):
        await store.proxies.delete("a", None, "t")


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "no-slash"},
        {"path": "/" + "x" * 500},
        {"access_rule": "x" * 2001},
        {"headers": {"X": "y" * 10_000}},
        {"max_concurrent": 10_001},
        {"max_concurrent": -1},
        {"circuit_breaker": {"x": "y" * 1000}},
        {"timeout_config": {"x": "y" * 1000}},
        {"timeout_config": {"total": 86401}},
    ],
)
async def test_the_database_checks_its_bounds_itself(store: Store, changes: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="outside its bounds"):
        await store.proxies.create(plain("a", **changes), "t")
    assert await store.proxies.list() == ()
    assert (await store.audit.list())[1] == 0


async def test_every_change_is_counted_and_told(store: Store) -> None:
    before = await store.revision()
    await store.proxies.create(plain("a", headers={"X-Key": "written out"}), "root@x")
    await store.proxies.update("a", plain("a", active=False), 1, "root@x")
    await store.proxies.delete("a", None, "token:ci")
    assert await store.revision() == before + 3
    rows, total = await store.audit.list(1, 2)
    assert total == 3
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("token:ci", "proxy.delete", "a"),
        ("root@x", "proxy.update", "a"),
    ]
    assert "active" in str(rows[1].detail)
    assert "written out" not in str(rows)
    assert [row.action for row in (await store.audit.list(2, 2))[0]] == ["proxy.create"]


async def test_a_value_that_the_driver_can_not_send_is_refused_and_not_shown(store: Store) -> None:
    with pytest.raises(StoreError, match="refuses a value") as caught:
        await store.proxies.create(plain("a", max_concurrent=2**65 + 12345), "t")
    assert not isinstance(caught.value, StoreUnavailable)
    assert "12345" not in str(caught.value)


async def test_a_database_that_breaks_is_told_without_its_statements(store: Store, url: str) -> None:
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text("DROP TABLE proxies"))
    await database.aclose()
    with pytest.raises(StoreUnavailable) as caught:
        await store.proxies.create(plain("a", headers={"X": "s3cret"}), "t")
    assert "s3cret" not in str(caught.value)
    assert "INSERT" not in str(caught.value)
