"""Revision 0008: the columns of proxies become one JSON value, and the other way round, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gateway.config import single
from gateway.config.schema.proxy import Proxy
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.store.tables import HEAD

KEYS = KeyRing.of("22" * 32)
JSON_COLUMNS: Final = ("hosts", "headers", "circuit_breaker", "timeout_config", "queue", "limiter", "cors")

FULL: Final[Mapping[str, object]] = {
    "id": "1",
    "name": "full",
    "path": "/full",
    "hosts": ["b.example", "a.example"],
    "hosts_key": "a.example,b.example",
    "upstream": "http://127.0.0.1:9/base",
    "strip_path": False,
    "preserve_host": True,
    "access_rule": "@request.auth.id != 'ü'",
    "headers": {"X-Key": "{secret.KEY}"},
    "timeout": 60.5,
    "active": False,
    "version": 7,
    "created": 1700000000.25,
    "updated": 1700000001.5,
    "max_concurrent": 7,
    "circuit_breaker": {"enabled": True, "failure_threshold": 2, "mode": "shadow"},
    "timeout_config": {"dial": 1.0, "body_idle": 0.0},
    "queue": {"max_waiting": 3, "timeout": 1.5},
    "limiter": {"mode": "shadow"},
    "server_timing": False,
    "rewrite_location": True,
    "cors": {"allow_origins": ["https://a.example"], "allow_credentials": True},
}
SPARE: Final[Mapping[str, object]] = {
    **dict.fromkeys(FULL),
    "id": "2",
    "name": "spare",
    "path": "/spare",
    "hosts": [],
    "hosts_key": "",
    "upstream": "https://h.example",
    "strip_path": True,
    "preserve_host": False,
    "access_rule": "",
    "headers": {},
    "active": True,
    "version": 1,
    "created": 5.0,
    "updated": 5.0,
}
ONLY_TOTAL: Final = {**SPARE, "id": "3", "name": "total", "path": "/total", "timeout": 30.0}
ROWS: Final = (FULL, SPARE, ONLY_TOTAL)


async def run(url: str, statement: str, values: Mapping[str, object] | None = None) -> list[dict[str, object]]:
    """The rows that it gives, with the JSON columns read."""
    database = Database(url)
    try:
        async with database.writing() as connection:
            result = await connection.execute(text(statement), values or {})
            rows = [dict(row) for row in result.mappings()] if result.returns_rows else []
    finally:
        await database.aclose()
    for row in rows:
        for name in (*JSON_COLUMNS, "settings"):
            if isinstance(found := row.get(name), str):
                row[name] = json.loads(found)
    return rows


async def insert(url: str, row: Mapping[str, object]) -> None:
    names = ", ".join(row)
    places = ", ".join(f"CAST(:{name} AS JSON)" if name in JSON_COLUMNS else f":{name}" for name in row)
    if url.startswith("sqlite"):
        places = ", ".join(f":{name}" for name in row)
    values = {k: json.dumps(v) if k in JSON_COLUMNS and v is not None else v for k, v in row.items()}
    await run(url, f"INSERT INTO proxies ({names}) VALUES ({places})", values)


async def rows(url: str) -> list[dict[str, object]]:
    return await run(url, "SELECT * FROM proxies ORDER BY id")


async def at_0007(url: str) -> None:
    await schema.upgrade(url, "0007")
    for row in ROWS:
        await insert(url, row)


async def shape(url: str) -> dict[str, object]:
    """All that the database says of the table but the order of its columns."""

    def of(connection: Connection) -> dict[str, object]:
        found = inspect(connection)
        return {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns("proxies")},
            "checks": sorted(
                ("" if url.startswith("sqlite") else str(check["name"]), check["sqltext"].strip("()"))
                for check in found.get_check_constraints("proxies")
            ),
            "unique": [c["column_names"] for c in found.get_unique_constraints("proxies")],
            "indexes": sorted((str(i["name"]), i["column_names"], i["unique"]) for i in found.get_indexes("proxies")),
            "key": found.get_pk_constraint("proxies")["constrained_columns"],
        }

    database = Database(url)
    try:
        async with database.reading() as connection:
            return await connection.run_sync(of)
    finally:
        await database.aclose()


async def values(url: str) -> dict[str, object]:
    store = await Store.open(url, KEYS)
    try:
        return {record.name: record.value for record in await store.proxies.list()}
    finally:
        await store.aclose()


async def test_each_column_becomes_a_key_and_null_one_that_is_left_out(url: str) -> None:
    await at_0007(url)
    await schema.upgrade(url)
    full, spare, total = await rows(url)
    assert full["settings"] == {
        **{k: v for k, v in FULL.items() if k not in ("id", "hosts_key", "timeout", "version", "created", "updated")},
        "timeout_config": {"dial": 1.0, "body_idle": 0.0, "total": 60.5},
    }
    assert spare["settings"] == {
        "name": "spare",
        "path": "/spare",
        "hosts": [],
        "upstream": "https://h.example",
        "strip_path": True,
        "preserve_host": False,
        "access_rule": "",
        "headers": {},
        "active": True,
    }
    assert total["settings"] == {
        **spare["settings"],
        "name": "total",
        "path": "/total",
        "timeout_config": {"total": 30.0},
    }  # type: ignore[dict-item]
    kept = ("id", "name", "path", "hosts_key", "version", "created", "updated")
    for row, before in zip((full, spare, total), ROWS, strict=True):
        assert {name: row[name] for name in row if name != "settings"} == {name: before[name] for name in kept}


async def test_down_gives_the_rows_and_the_table_of_before(url: str) -> None:
    await at_0007(url)
    before, table = await rows(url), await shape(url)
    assert [{**row} for row in before] == [{**row} for row in ROWS]
    await schema.upgrade(url)
    after, new_table = await rows(url), await shape(url)
    await schema.downgrade(url, "0007")
    assert await rows(url) == before
    assert await shape(url) == table
    await schema.upgrade(url)
    assert await rows(url) == after
    assert await shape(url) == new_table
    await schema.downgrade(url, "base")
    await schema.upgrade(url)
    assert await shape(url) == new_table


@pytest.mark.parametrize(("first", "again"), [("0007", "upgrade"), ("0008", "downgrade")])
async def test_each_way_may_be_repeated(url: str, first: str, again: str) -> None:
    """As when the revision was noted wrongly: what is there already stays as it is."""
    await at_0007(url)
    await schema.upgrade(url)
    if again == "downgrade":
        await schema.downgrade(url, "0007")
    before, table = await rows(url), await shape(url)
    await run(url, f"UPDATE alembic_version SET version_num = '{first}'")
    await (schema.upgrade(url, "0008") if again == "upgrade" else schema.downgrade(url, "0007"))
    assert await rows(url) == before
    assert await shape(url) == table


async def test_a_database_that_has_some_of_it_is_completed(url: str) -> None:
    await at_0007(url)
    await run(url, "ALTER TABLE proxies ADD COLUMN settings JSON")
    await run(url, "ALTER TABLE proxies DROP COLUMN cors")
    await run(url, "DROP INDEX idx_proxies_active")
    await schema.upgrade(url)
    full = (await rows(url))[0]["settings"]
    assert isinstance(full, dict)
    assert full["queue"] == FULL["queue"]
    assert "cors" not in full


async def test_a_setting_without_a_column_outlives_the_way_down(url: str) -> None:
    """An older gateway does not know it. A proxy that it has changed is as it left it."""
    await schema.upgrade(url)
    settings = {"name": "a", "path": "/a", "upstream": "http://h.example", "clear_text_proxy": True}
    store = await Store.open(url, KEYS)
    await store.proxies.create(single.stored(settings), "t")
    await store.proxies.create(single.stored({**settings, "name": "b", "path": "/b", "clear_text_proxy": False}), "t")
    await store.proxies.create(single.stored({**settings, "name": "c", "path": "/c"}), "t")
    await store.aclose()
    await schema.downgrade(url, "0007")
    await schema.downgrade(url, "0006")
    await schema.upgrade(url, "0007")
    await run(url, "UPDATE proxies SET max_concurrent = 4, version = version + 1 WHERE name = 'c'")
    await insert(url, FULL)
    await schema.upgrade(url)
    found = await values(url)
    assert found["a"] == single.stored(settings)
    assert found["c"] == single.stored(
        {**settings, "name": "c", "path": "/c", "clear_text_proxy": False, "max_concurrent": 4}
    )
    assert found["b"] == single.stored({**settings, "name": "b", "path": "/b", "clear_text_proxy": False})
    assert isinstance(found["full"], Proxy)
    assert "settings" in (await rows(url))[0]


async def test_no_column_stays_when_all_settings_have_one_of_their_own(url: str) -> None:
    """Defaults that another version has written out need no place."""
    await at_0007(url)
    await schema.upgrade(url)
    given = ("name", "path", "upstream", "access_rule", "headers", "active")
    written = {**{name: SPARE[name] for name in given}, "websocket": False, "clear_text_proxy": False}
    place = ":settings" if url.startswith("sqlite") else "CAST(:settings AS JSON)"
    await run(url, f"UPDATE proxies SET settings = {place} WHERE id = '2'", {"settings": json.dumps(written)})
    await schema.downgrade(url, "0007")
    spare = (await rows(url))[1]
    assert "settings" not in spare
    assert spare == dict(SPARE)


@pytest.mark.parametrize(
    ("down", "row"),
    [
        (False, {**SPARE, "hosts": ["x" * 2_000_000]}),
        (True, {**SPARE, "cors": {"allow_origins": ["https://a.example"], "expose_headers": ["X" * 20_000]}}),
    ],
)
async def test_rows_that_do_not_fit_leave_everything_as_it_is(url: str, down: bool, row: Mapping[str, object]) -> None:
    await at_0007(url)
    await run(url, "DELETE FROM proxies WHERE id = '2'")
    if down:
        await schema.upgrade(url)
        store = await Store.open(url, KEYS)
        names = ("name", "path", "upstream", "cors")
        await store.proxies.create(single.stored({name: row[name] for name in names}), "t")
        await store.aclose()
    else:
        await insert(url, row)
    before, table = await rows(url), await shape(url)
    with pytest.raises(StoreError, match="nothing has changed") as caught:
        await (schema.downgrade(url, "0007") if down else schema.upgrade(url))
    assert not down or f"cors of proxy {row['name']} has more than 20000 characters; shorten it" in str(caught.value)
    assert await rows(url) == before
    assert await shape(url) == table
    assert (await schema.status(url)).current == (HEAD if down else "0007")
