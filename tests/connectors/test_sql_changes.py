"""Statements of the connector `sql` that may change something: what is cut is committed, what fails is not."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest
from harness.calling import Calling
from harness.databases import MILLION, Database, database
from harness.mariadb import MariaDb
from harness.patience import eventually

from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlConnection
from gateway.connectors.databases import Mysql

pytestmark = pytest.mark.timeout(180)

NUMBERS = {
    "postgresql": "SELECT n, 'abcdefghij' FROM generate_series(1, {}) AS n",
    "mariadb": "SELECT seq, 'abcdefghij' FROM seq_1_to_{}",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) "
    "SELECT n, 'abcdefghij' FROM s",
}
"""As many rows as are written in the place."""
TABLE = """
create: {connection: db, read_only: false, statement: "CREATE TABLE words (n INTEGER PRIMARY KEY, word VARCHAR(40))"}
count: {connection: db, statement: "SELECT count(*) AS n FROM words"}
one: {connection: db, max_rows: 1, statement: "SELECT 1 AS one"}
"""


def filling(db: Database, rows: int, name: str = "fill", **keys: object) -> str:
    """An action that adds ``rows`` and returns each of them."""
    statement = f"INSERT INTO words {NUMBERS[db.kind].format(rows)} RETURNING n, word"
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f'{name}: {{connection: db, read_only: false, statement: "{statement}"{more}}}\n'


async def count(make: Calling) -> int:
    (row,) = (await make.body("count"))["rows"]
    return int(row["n"])


@pytest.mark.covers("ACT-36")
async def test_a_million_rows_of_a_change_are_cut_within_32_mib(db: Database) -> None:
    actions = TABLE + filling(db, 1_000_000, max_rows=1000)
    async with Calling(db.file(actions, timeout_ms=150_000)) as make:
        await make.body("create")
        await make.body("one")
        tracemalloc.start()
        try:
            found = await make.body("fill")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 32 * 1024 * 1024
        assert (len(found["rows"]), found["truncated"], found["rows_affected"]) == (1000, True, 1_000_000)
        assert found["rows"][-1] == {"n": 1000, "word": "abcdefghij"}
        assert (await make.body("one"))["rows"] == [{"one": 1}]
        assert await count(make) == 1_000_000, "what was cut is committed"


@pytest.mark.covers("ACT-36")
async def test_what_is_selected_where_changes_are_permitted_is_cut_too(db: Database) -> None:
    actions = f'select: {{connection: db, read_only: false, max_rows: 7, statement: "{MILLION[db.kind]}"}}\n'
    async with Calling(db.file(actions, timeout_ms=150_000)) as make:
        found = await make.body("select")
        assert (len(found["rows"]), found["truncated"], found["rows_affected"]) == (7, True, 1_000_000)


async def test_a_result_as_long_as_its_bound_is_not_cut(db: Database) -> None:
    actions = TABLE + "".join(filling(db, rows, f"fill-{rows}", max_rows=64) for rows in (64, 65))
    async with Calling(db.file(actions)) as make:
        await make.body("create")
        for rows in (64, 65):
            found = await make.body(f"fill-{rows}")
            assert (len(found["rows"]), found["truncated"], found["rows_affected"]) == (64, rows > 64, rows)
            async with Calling(db.file(CLEAR)) as other:
                assert (await other.body("clear"))["rows_affected"] == rows


async def test_a_change_whose_result_is_too_large_is_undone(db: Database) -> None:
    actions = TABLE + filling(db, 500, limits="{max_bytes: 1000}") + filling(db, 20, "few", limits="{max_bytes: 600}")
    async with Calling(db.file(actions, max_concurrent=1)) as make:
        await make.body("create")
        assert await make.code("fill") == "answer_too_large"
        assert await make.code("few") == "answer_too_large", "by its JSON alone"
        assert await count(make) == 0
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")


CLEAR = 'clear: {connection: db, read_only: false, statement: "DELETE FROM words"}'
PUT = """CREATE FUNCTION put(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO words VALUES (n, null) RETURNING n'"""
LONG = {
    "postgresql": "SELECT put(n) AS n, CAST(pg_sleep(CASE WHEN n > 500 THEN 0.1 ELSE 0 END) AS text) AS slept "
    "FROM generate_series(1, 100000) AS n",
    "mariadb": "INSERT INTO words SELECT seq, IF(seq > 5000, SLEEP(0.1), 0) FROM seq_1_to_100000 RETURNING n",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000000000) "
    "INSERT INTO words SELECT n, null FROM s RETURNING n",
}
"""Changes whose first rows come at once, and whose last ones do not come in the time of a test."""


def long(db: Database, **keys: object) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    put = f'put: {{connection: db, read_only: false, statement: "{PUT}"}}\n' if db.kind == "postgresql" else ""
    return (
        TABLE + put + f'long: {{connection: db, read_only: false, max_rows: 5, statement: "{LONG[db.kind]}"{more}}}\n'
    )


async def prepared(make: Calling, db: Database) -> None:
    await make.body("create")
    if db.kind == "postgresql":
        await make.body("put")


@pytest.mark.covers("ACT-36")
async def test_a_change_whose_end_takes_longer_than_its_call_is_undone(db: Database) -> None:
    async with Calling(db.file(long(db, timeout_ms=1000), max_concurrent=1)) as make:
        await prepared(make, db)
        assert await make.code("long") == "total_timeout"
        assert await count(make) == 0
        caller = asyncio.ensure_future(make("long"))
        await eventually(lambda: make.upstream.limiter.in_flight == 1, "the call runs")
        caller.cancel()  # it has left
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await count(make) == 0
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")


@pytest.mark.covers("ACT-36")
async def test_a_server_that_dies_in_the_middle_of_a_change_keeps_nothing_of_it(server: Database) -> None:
    async with Calling(server.file(long(server), max_concurrent=1)) as make:
        await prepared(make, server)
        caller = asyncio.ensure_future(make.code("long"))
        async with Calling(server.file(RUNNING[server.kind])) as other:
            async with asyncio.timeout(30):
                while not (await other.body("running"))["rows"][0]["n"]:
                    pass
            await asyncio.to_thread(server.server.kill)
            assert await caller == "upstream_reset"
            await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")
            await asyncio.to_thread(server.server.again)
        async with asyncio.timeout(60):
            while await make.code("one"):
                pass
        assert await count(make) == 0


RUNNING = {
    "postgresql": """running: {connection: db, statement: "SELECT count(*) AS n FROM pg_stat_activity
        WHERE query LIKE 'MOVE FORWARD%' AND state = 'active'"}""",
    "mariadb": """running: {connection: db, statement: "SELECT count(*) AS n FROM information_schema.processlist
        WHERE info LIKE 'INSERT INTO words SELECT seq, IF%'"}""",
}


async def test_a_function_is_called_for_each_row_also_for_those_that_are_cut(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """PostgreSQL would execute a SELECT no further than its rows are read."""
    db = database("postgresql", request, tmp_path)
    actions = f'call: {{connection: db, read_only: false, max_rows: 5, statement: "SELECT put(n) AS n {SERIES}"}}\n'
    async with Calling(db.file(long(db) + actions)) as make:
        await prepared(make, db)
        found = await make.body("call")
        assert (len(found["rows"]), found["truncated"], found["rows_affected"]) == (5, True, 3000)
        assert await count(make) == 3000


SERIES = "FROM generate_series(1, 3000) AS n"


async def test_a_constraint_that_is_checked_at_the_end_undoes_the_change(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    db = database("postgresql", request, tmp_path)
    actions = (
        TABLE
        + """
refer: {connection: db, read_only: false,
  statement: "CREATE TABLE uses (n INTEGER REFERENCES words (n) DEFERRABLE INITIALLY DEFERRED)"}
use: {connection: db, read_only: false, statement: "INSERT INTO uses VALUES (1) RETURNING n"}
uses: {connection: db, statement: "SELECT n FROM uses"}
"""
    )
    async with Calling(db.file(actions, max_concurrent=1)) as make:
        await make.body("create")
        await make.body("refer")
        called = await make("use")
        assert (called["status"], b'"code":"23503"' in called["body"]) == (409, True)
        assert (await make.body("uses"))["rows"] == []


async def test_what_a_procedure_returns_besides_its_first_result_is_not_kept(mariadb_server: MariaDb) -> None:
    url = mariadb_server.database()
    made = Mysql(SqlConnection(url=url), Destinations())
    driver = await made.dial()
    block = "BEGIN NOT ATOMIC SELECT 1 AS a UNION SELECT 2; SELECT seq FROM seq_1_to_5000; SET @x = 1; END"
    try:
        rows = await made.execute(driver, block, ())
        assert rows.columns == ["a"]
        assert list(await rows.next(1000)) == [(1,), (2,)]
        assert (list(await rows.next(1000)), rows.ended) == ([], False)
        assert (await rows.rest(), rows.ended) == (0, True)
        again = await made.execute(driver, "SELECT @x AS x", ())
        assert list(await again.next(1000)) == [(1,)]
    finally:
        driver.close()
