"""Proxies in the database: whole, unique, one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from gateway.config import records, single
from gateway.config.errors import ConfigError
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.section import Section
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, NotFound, StoreError, StoreUnavailable
from gateway.store.repository import VersionConflict, usable
from gateway.store.store import Store
from gateway.store.tables import PROXIES


def every_setting(section: type[Section]) -> dict[str, object]:
    """Each key of ``section`` with its first example, which is never its default."""
    made: dict[str, object] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, Section)
        made[name] = every_setting(kind) if inner else (field.examples or [None])[0]
    return made


RING = {"balance": "ring_hash"}  # the example of hash_on has a meaning with it alone
NAMED = {"name": "full", "path": "/full", "hosts": ["b.example", "a.example"]}
FIXED = {"limiter": {"mode": "shadow"}}  # `adaptive` stands in the place of `max_concurrent`
FULL = single.stored(every_setting(Proxy) | NAMED | RING | FIXED)


def plain(name: str, **changes: object) -> Proxy:
    return single.stored({"name": name, "path": f"/{name}", "upstream": "http://127.0.0.1:9", **changes})


async def test_every_setting_survives_the_way(store: Store) -> None:
    made = await store.proxies.create(FULL, "root@x")
    assert made.value == FULL
    assert made.settings.keys() == Proxy.model_fields.keys() - {"tls"}  # which stands in the file alone
    assert (made.version, made.name) == (1, "full")
    assert await store.proxies.get("full") == made
    assert await store.proxies.list() == (made,)
    adapts = plain("adapts", limiter={"adaptive": {"initial": 4, "min": 2, "max": 64, "signal": "first_event"}})
    assert (await store.proxies.create(adapts, "root@x")).value == adapts
    assert (await store.proxies.get("adapts")).value == adapts


@pytest.mark.parametrize("record", [FULL.route("full", {}, {}), FULL.own_upstream("full")], ids=["route", "upstream"])
def test_every_setting_reaches_a_worker(record: records.Route | records.Upstream) -> None:
    """Each is a record, and the same at the other end of the channel."""
    kind: type[records.Route] | type[records.Upstream] = type(record)
    assert msgspec.json.decode(msgspec.json.encode(record), type=kind) == record


def test_the_rate_limits_of_a_proxy_are_those_of_its_route_alone() -> None:
    assert (len(FULL.route("full", {}, {}).rate_limits), FULL.own_upstream("full").rate_limits) == (1, ())


async def test_defaults_are_not_stored_so_that_an_older_gateway_can_read_what_does_not_use_a_new_setting(
    store: Store,
) -> None:
    made = await store.proxies.create(plain("a", queue={}, active=True, timeout_config={"dial": 2.0, "idle": 3.0}), "t")
    assert made.settings == {
        "name": "a",
        "path": "/a",
        "upstream": "http://127.0.0.1:9",
        "timeout_config": {"idle": 3.0},
    }
    assert made.value == plain("a", timeout_config={"idle": 3.0})


async def test_what_this_version_can_not_use_is_kept_with_the_reason(store: Store, url: str) -> None:
    await store.proxies.create(plain("a"), "t")
    await store.proxies.create(plain("b"), "t")
    await execute(url, """UPDATE proxies SET settings = '{"name": "b", "path": "/b", "color": 1}' WHERE name = 'b'""")
    found = await store.proxies.get("b")
    assert found is not None
    assert isinstance(found.value, ConfigError)
    assert str(found.value).splitlines() == [
        "proxy b of the database: upstream: is required; add this key",
        "proxy b of the database: color: unknown key; did you mean cors?",
    ]
    assert found.settings == {"name": "b", "path": "/b", "color": 1}
    await store.proxies.create(plain("c"), "t")  # so that there is something new
    assert usable(await store.proxies.list()) == [plain("a"), plain("c")]
    fixed = await store.proxies.update("b", plain("b", active=False), found.version, "t")
    assert fixed.value == plain("b", active=False)
    row = (await store.audit.list())[0][0]
    assert row.before is not None
    assert row.after is not None
    assert (row.before["color"], row.after["upstream"]) == (1, "http://127.0.0.1:9")
    await execute(url, """UPDATE proxies SET settings = '{"name": "b", "color": 1}' WHERE name = 'b'""")
    await store.proxies.delete("b", None, "t")
    assert (await store.audit.list())[0][0].before == {"name": "b", "color": 1}


@pytest.mark.parametrize("settings", ["[]", "null", "7"])
async def test_settings_that_are_no_mapping_keep_no_other_proxy_away(store: Store, url: str, settings: str) -> None:
    """A row that was changed by hand."""
    await store.proxies.create(plain("a"), "t")
    await store.proxies.create(plain("b"), "t")
    await execute(url, f"UPDATE proxies SET settings = '{settings}' WHERE name = 'b'")
    found = await store.proxies.get("b")
    assert found is not None
    assert str(found.value) == "proxy b of the database: the stored settings are not a mapping; write them again"
    await store.proxies.create(plain("c"), "t")  # so that there is something new
    assert usable(await store.proxies.list()) == [plain("a"), plain("c")]
    fixed = await store.proxies.update("b", plain("b"), found.version, "t")
    assert fixed.value == plain("b")


async def test_the_list_is_read_again_when_something_has_changed_and_checked_where_it_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        await store.proxies.create(plain(name), "t")
    first = await store.proxies.list()
    assert await store.proxies.list() is first
    checked: list[object] = []
    stored = single.stored

    def counted(settings: Mapping[str, object], *, name: str) -> Proxy:
        checked.append(settings["name"])
        return stored(settings, name=name)

    await store.proxies.update("b", plain("b", active=False), 1, "t")
    monkeypatch.setattr(single, "stored", counted)
    second = await store.proxies.list()
    assert checked == ["b"]
    assert [new.value is old.value for new, old in zip(second, first, strict=True)] == [True, False, True]


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
    assert (changed.version, changed.value) == (2, plain("a", max_concurrent=3))
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


async def test_who_loses_against_a_change_is_shown_what_stands_now(store: Store) -> None:
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


async def test_what_is_too_long_is_refused_and_nothing_is_left_of_it(store: Store) -> None:
    with pytest.raises(StoreError, match="rejects this proxy: a value is outside its bounds"):
        await store.proxies.create(plain("a", headers={"X": "y" * 2_000_000}), "t")
    assert await store.proxies.list() == ()
    assert (await store.audit.list())[1] == 0
    await store.proxies.create(plain("a"), "t")
    with pytest.raises(StoreError, match="outside its bounds"):
        await store.proxies.update("a", plain("a", headers={"X": "y" * 2_000_000}), 1, "t")
    assert [record.version for record in await store.proxies.list()] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"path": "no-slash"},
        {"path": "/" + "x" * 500},
        {"version": 0},
        {"settings": {"x": "y" * 2_000_000}},
    ],
)
async def test_the_database_checks_its_bounds_itself(store: Store, url: str, changes: dict[str, object]) -> None:
    row = {"id": "1", "name": "a", "path": "/a", "hosts_key": "", "version": 1, "created": 0, "updated": 0}
    database = Database(url)
    with pytest.raises(IntegrityError):
        async with database.writing() as connection:
            await connection.execute(insert(PROXIES).values(**{**row, "settings": {}, **changes}))
    await database.aclose()
    assert await store.proxies.list() == ()


async def test_a_default_that_was_written_out_is_no_change(store: Store, url: str) -> None:
    await store.proxies.create(plain("a"), "t")
    written = (
        """{"name": "a", "path": "/a", "upstream": "http://127.0.0.1:9", "hosts": [], "queue": {"timeout": 0.0}}"""
    )
    await execute(url, f"UPDATE proxies SET settings = '{written}'")
    await store.proxies.update("a", plain("a", max_concurrent=3, timeout_config={"total": 0.0}), 1, "t")
    row = (await store.audit.list())[0][0]
    assert (row.detail, row.before, row.after) == (
        {"keys": ["max_concurrent"]},
        {"max_concurrent": 0},
        {"max_concurrent": 3},
    )


async def execute(url: str, statement: str) -> None:
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text(statement.replace(":", "\\:")))
    await database.aclose()


async def test_every_change_is_counted_and_reported(store: Store) -> None:
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


async def test_a_value_that_the_driver_can_not_send_is_refused_and_not_shown(store: Store, url: str) -> None:
    database = Database(url)
    with pytest.raises(StoreError, match="rejects a value") as caught:
        async with database.writing() as connection:
            await connection.execute(update(PROXIES).values(version=2**65 + 12345))
    await database.aclose()
    assert not isinstance(caught.value, StoreUnavailable)
    assert "12345" not in str(caught.value)


async def test_a_database_that_breaks_is_reported_without_its_statements(store: Store, url: str) -> None:
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text("DROP TABLE proxies"))
    await database.aclose()
    with pytest.raises(StoreUnavailable) as caught:
        await store.proxies.create(plain("a", headers={"X": "s3cret"}), "t")
    assert "s3cret" not in str(caught.value)
    assert "INSERT" not in str(caught.value)
