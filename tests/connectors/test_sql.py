"""The connector `sql` on real databases: what it returns, what it rejects, and how it behaves under the protections."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.calling import Calling
from harness.databases import MILLION, Database
from harness.mariadb import MariaDb
from harness.patience import eventually

from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlAction, SqlConnection
from gateway.connectors.connector import Call
from gateway.connectors.rows import Rows
from gateway.connectors.sql import Sql

SLOW = {
    "postgresql": "SELECT 1 AS one, CAST(pg_sleep(20) AS text) AS slept",
    "mariadb": "SELECT SLEEP(20) AS slept",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000000000) "
    "SELECT count(*) AS n FROM s",
}
RUNNING = {
    "postgresql": "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%' AND state = 'active' "
    "AND pid <> pg_backend_pid()",
    "mariadb": "SELECT count(*) AS n FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(20)%'",
}


ORDERS = """
create: {connection: db, read_only: false, statement: "CREATE TABLE orders (id INTEGER PRIMARY KEY, item VARCHAR(40))"}
add: {connection: db, read_only: false, statement: "INSERT INTO orders (id, item) VALUES (:id, :item)"}
find: {connection: db, statement: "SELECT id, item FROM orders WHERE item = :item ORDER BY id"}
all: {connection: db, max_rows: 2, statement: "SELECT id, item FROM orders ORDER BY id"}
sneak: {connection: db, statement: "INSERT INTO orders (id, item) VALUES (:id, 'x')"}
drop: {connection: db, statement: "DROP TABLE orders"}
wrong: {connection: db, statement: "SELECT nothing FROM orders"}
twice: {connection: db, statement: "SELECT 1 AS a, 2 AS a"}
"""


@pytest.mark.covers("ACT-36")
async def test_statements_with_values_beside_them(db: Database) -> None:
    async with Calling(db.file(ORDERS)) as make:
        assert await make.test("db") == ""
        await make.body("create")
        assert await make.body("add", id=1, item="tea") == {"rows_affected": 1}
        hostile = "'; DROP TABLE orders; --"
        await make.body("add", id=2, item=hostile)
        assert await make.body("find", item=hostile) == {"rows": [{"id": 2, "item": hostile}], "truncated": False}
        assert await make.body("find", item="' OR '1'='1") == {"rows": [], "truncated": False}
        assert (await make.body("all"))["truncated"] is False
        await make.body("add", id=3, item="a\\' %s \x01 :item é")
        assert (await make.body("find", item="a\\' %s \x01 :item é"))["rows"][0]["id"] == 3
        found = await make.body("all")
        assert ([row["id"] for row in found["rows"]], found["truncated"]) == ([1, 2], True)
        again = await make("add", id=1, item="tea")
        assert again["status"] == 409
        # What is cut, or rejected, leaves a connection that works.
        assert len((await make.body("find", item="tea"))["rows"]) == 1
        assert make.upstream.limiter.in_flight == 0


@pytest.mark.covers("ACT-41")
async def test_a_rate_limit_of_the_connection_admits_so_many_statements(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sqlite3.connect(path).close()
    db = Database("sqlite", f"url: 'sqlite:///{path}'", None)
    limits = {"rate_limits": "[{rate: 4, per: 86400}]", "circuit_breaker": "{enabled: true, failure_threshold: 1}"}
    async with Calling(db.file(ORDERS, **limits)) as make:
        await make.body("create")
        assert [await make.code("add", id=at, item="tea") for at in range(5)] == [""] * 3 + ["rate_limit"] * 2
        explained = make.gateway.explain("connection/db")
        assert explained is not None
        assert (explained["reason"], explained["rates"][0].get("of")) == ("rate_limit", "connection/db")
        assert make.upstream.gate.state.word == "closed"
    assert sqlite3.connect(path).execute("SELECT count(*) FROM orders").fetchone() == (3,)


async def test_the_database_itself_keeps_a_reader_from_writing(db: Database) -> None:
    async with Calling(db.file(ORDERS)) as make:
        await make.body("create")
        await make.body("add", id=1, item="tea")
        for action, given in (("sneak", {"id": 9}), ("drop", {})):
            called = await make(action, **given)
            assert called["status"] == 403, called
        assert await make.body("find", item="x") == {"rows": [], "truncated": False}
        assert (await make.body("add", id=9, item="later"))["rows_affected"] == 1


async def test_what_a_statement_does_wrong_is_the_callers_to_know(db: Database) -> None:
    async with Calling(db.file(ORDERS, circuit_breaker="{enabled: true, failure_threshold: 1}")) as make:
        await make.body("create")
        for action in ("wrong", "twice"):
            called = await make(action)
            assert called["status"] == 400
            assert b'"error":"' in called["body"]
        assert b"nothing" in (await make("wrong"))["body"]
        assert b"two columns have the name a" in (await make("twice"))["body"]
        assert make.upstream.gate.state.word == "closed"


TYPES = {
    "postgresql": (
        "SELECT CAST('1.10' AS numeric) AS exact, CAST('2026-01-02 03:04:05+00' AS timestamptz) AS moment, "
        "CAST('2026-01-02' AS date) AS day, CAST('\\x00ff' AS bytea) AS raw, "
        "CAST('00000000-0000-0000-0000-000000000001' AS uuid) AS id, NULL AS empty, 1 = 1 AS yes"
    ).replace("'\\x00ff' AS bytea", "chr(97) AS bytea"),
    "mariadb": "SELECT CAST('1.10' AS DECIMAL(5,2)) AS exact, CAST('2026-01-02 03:04:05' AS DATETIME) AS moment, "
    "CAST('2026-01-02' AS DATE) AS day, CAST('a' AS BINARY) AS raw, NULL AS empty",
    "sqlite": "SELECT 1.5 AS number, CAST('a' AS BLOB) AS raw, NULL AS empty, 9223372036854775807 AS large",
}


async def test_values_have_their_form_in_json(db: Database) -> None:
    async with Calling(db.file(f'types: {{connection: db, statement: "{TYPES[db.kind]}"}}')) as make:
        (row,) = (await make.body("types"))["rows"]
    assert (row["raw"], row["empty"]) == ("YQ==", None)
    if db.kind == "sqlite":
        assert (row["number"], row["large"]) == (1.5, 9223372036854775807)
    else:
        assert (row["exact"], row["day"]) == ("1.10", "2026-01-02")
        assert row["moment"].startswith("2026-01-02T03:04:05")
    if db.kind == "postgresql":
        assert (row["id"], row["yes"]) == ("00000000-0000-0000-0000-000000000001", True)


async def test_a_parameter_with_a_format_becomes_what_the_database_wants(server: Database) -> None:
    actions = """
    when:
      connection: db
      statement: "SELECT CAST(:at AS date) AS day"
      parameters: [{name: at, required: true, schema: {format: date}}]
    """
    async with Calling(server.file(actions)) as make:
        assert (await make.body("when", at="2026-01-02"))["rows"] == [{"day": "2026-01-02"}]
        called = await make("when", at="soon")
        assert (called["status"], called["body"]) == (400, b'{"error":"at is no date; write one","code":""}')


@pytest.mark.covers("ACT-36")
async def test_a_million_rows_are_cut_within_32_mib(db: Database) -> None:
    actions = f"""
    few: {{connection: db, max_rows: 1000, statement: "{MILLION[db.kind]}"}}
    one: {{connection: db, max_rows: 1, statement: "SELECT 1 AS one"}}
    bytes: {{connection: db, max_rows: 1000000, limits: {{max_bytes: 100000}}, statement: "{MILLION[db.kind]}"}}
    """
    async with Calling(db.file(actions)) as make:
        await make.body("one")
        tracemalloc.start()
        try:
            found = await make.body("few")
            assert (len(found["rows"]), found["truncated"]) == (1000, True)
            assert found["rows"][-1] == {"n": 1000, "word": "abcdefghij"}
            assert await make.code("bytes") == "answer_too_large"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 32 * 1024 * 1024
        assert (await make.body("one"))["rows"] == [{"one": 1}]


WIDE = {
    "postgresql": "SELECT repeat('x', 4000000) AS word FROM generate_series(1, 1000)",
    "mariadb": "SELECT REPEAT('x', 4000000) AS word FROM seq_1_to_1000",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) "
    "SELECT printf('%.*c', 4000000, 'x') AS word FROM s",
}


@pytest.mark.covers("ACT-36")
async def test_of_rows_that_are_too_large_few_come_into_memory(db: Database) -> None:
    actions = f"""
    wide: {{connection: db, limits: {{max_bytes: 1000000}}, statement: "{WIDE[db.kind]}"}}
    first: {{connection: db, max_rows: 1, limits: {{max_bytes: 4100000}}, statement: "{WIDE[db.kind]}"}}
    one: {{connection: db, statement: "SELECT 1 AS one"}}
    """
    async with Calling(db.file(actions)) as make:
        await make.body("one")
        tracemalloc.start()
        try:
            assert await make.code("wide") == "answer_too_large"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 32 * 1024 * 1024
        found = await make.body("first")
        assert (found["rows"], found["truncated"]) == ([{"word": "x" * 4000000}], True)
        assert (await make.body("one"))["rows"] == [{"one": 1}]


@pytest.mark.covers("ACT-36")
async def test_five_slow_calls_take_the_limit_and_the_rest_is_rejected(db: Database) -> None:
    actions = f'slow: {{connection: db, timeout_ms: 1000, statement: "{SLOW[db.kind]}"}}'
    async with Calling(db.file(actions, max_concurrent=5)) as make:
        codes = await asyncio.gather(*(make.code("slow") for _ in range(10)))
        assert sorted(codes) == ["concurrency_limit"] * 5 + ["total_timeout"] * 5
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")


async def test_a_statement_whose_time_is_over_ends_at_the_server(db: Database) -> None:
    actions = f"""
slow: {{connection: db, timeout_ms: 400, statement: "{SLOW[db.kind]}"}}
quick: {{connection: db, statement: "SELECT 1 AS one"}}
"""
    if db.kind in RUNNING:
        actions += f'running: {{connection: db, statement: "{RUNNING[db.kind]}"}}\n'
    async with Calling(db.file(actions, max_concurrent=2)) as make:
        assert await make.code("slow") == "total_timeout"
        if db.kind in RUNNING:
            async with asyncio.timeout(10):
                while (await make.body("running"))["rows"][0]["n"]:
                    pass
        caller = asyncio.ensure_future(make("slow"))
        await eventually(lambda: make.upstream.limiter.in_flight == 1, "the call runs")
        caller.cancel()  # it has left
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await asyncio.gather(*(make.code("quick") for _ in range(2))) == ["", ""]
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")


async def test_a_kill_that_comes_late_ends_no_other_statement(
    mariadb_server: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement ends by itself while the connection that is to kill it is dialled."""
    made = Sql(SqlConnection(url=mariadb_server.database()), Destinations())
    database = made._database
    dial, execute = database.dial, database.execute
    executing, dialling, late = (asyncio.Event() for _ in range(3))

    async def dialled() -> object:
        dialling.set()
        await late.wait()
        return await dial()

    async def executed(driver: Any, statement: str, values: Sequence[object]) -> Rows:
        if "SLEEP" in statement:
            executing.set()
        return await execute(driver, statement, values)

    monkeypatch.setattr(database, "dial", dialled)  # the pool has the other
    monkeypatch.setattr(database, "execute", executed)
    call = Call(SqlAction(connection="db", statement="SELECT SLEEP(0.5) AS slept"), {}, 1000)
    first = asyncio.ensure_future(made.perform(call))
    await executing.wait()
    first.cancel()
    await dialling.wait()
    await eventually(lambda: made._engine.pool.checkedout() == 0, "the statement has ended")  # type: ignore[attr-defined]
    executing.clear()
    second = asyncio.ensure_future(made.perform(call))
    await executing.wait()
    late.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == {"rows": [{"slept": 0}], "truncated": False}
    await made.aclose()


@pytest.mark.covers("ACT-36")
async def test_a_server_that_dies_opens_the_breaker_and_heals(server: Database) -> None:
    actions = 'quick: {connection: db, statement: "SELECT 1 AS one"}'
    breaker = "{enabled: true, failure_threshold: 3, recovery_timeout: 1}"
    async with Calling(server.file(actions, circuit_breaker=breaker)) as make:
        assert await make.code("quick") == ""
        await asyncio.to_thread(server.server.kill)
        codes = [await make.code("quick") for _ in range(4)]
        assert codes[3] == "breaker_open"
        assert set(codes[:3]) <= {"upstream_reset", "dial_timeout"}
        await asyncio.to_thread(server.server.again)
        async with asyncio.timeout(30):
            while await make.code("quick"):
                pass


async def test_connections_are_closed_when_no_call_has_used_them(server: Database) -> None:
    counted = {
        "postgresql": "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()",
        "mariadb": "SELECT count(*) AS n FROM information_schema.processlist WHERE db = database()",
    }
    actions = f'count: {{connection: db, statement: "{counted[server.kind]}"}}'
    async with Calling(server.file(actions, idle=0.2)) as make, Calling(server.file(actions)) as other:
        await make.body("count")
        assert (await other.body("count"))["rows"][0]["n"] == 2
        async with asyncio.timeout(20):
            while (await other.body("count"))["rows"][0]["n"] != 1:
                pass
        assert (await make.body("count"))["rows"][0]["n"] == 2


async def test_a_reload_closes_what_it_replaces(server: Database) -> None:
    actions = 'quick: {connection: db, statement: "SELECT 1 AS one"}'
    async with Calling(server.file(actions)) as make:
        assert await make.code("quick") == ""
        await make.reload(server.file(actions, max_response_bytes=1000))
        assert await make.code("quick") == ""
        await make.reload("connections: {}")
        assert await make.code("quick") == "not_found.action"


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    text = f"connections: {{db: {{kind: sql, url: 'sqlite:///{path}'}}}}"
    async with Calling(text) as make:
        assert await make.test("db") == "The sql back end at sqlite:// failed (DatabaseAwayError)"
    assert not path.exists()
