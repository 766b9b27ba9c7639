"""The connector `sql` on a file. `tests/connectors/test_sql.py` has real servers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.patience import eventually

from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlAction, SqlConnection
from gateway.connectors.connector import Call, RejectedError, TooLargeError
from gateway.connectors.rows import Rows
from gateway.connectors.sql import DatabaseAwayError, Sql


def connector(path: Path) -> Sql:
    sqlite3.connect(path).close()
    Sql.load()
    return Sql(SqlConnection(url=f"sqlite:///{path}"), Destinations())


def call(statement: str, given: dict[str, object] | None = None, most: int = 1000, **keys: object) -> Call[SqlAction]:
    return Call(SqlAction.model_validate({"connection": "c", "statement": statement, **keys}), given or {}, most)


async def test_values_of_other_types_than_text(tmp_path: Path) -> None:
    made = connector(tmp_path / "a.db")
    found = await made.perform(call("SELECT :a AS a, :b AS b, :c AS c", {"a": {"x": 1}, "b": None, "c": True}))
    assert found == {"rows": [{"a": '{"x": 1}', "b": None, "c": 1}], "truncated": False}
    with pytest.raises(RejectedError) as error:
        await made.perform(call("SELECT :a AS a", {"a": [1]}))
    assert error.value.status == 400
    await made.aclose()


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, -(2**63) - 1, "\ud800"])
@pytest.mark.parametrize("read_only", [True, False])
async def test_a_value_that_no_column_takes_is_the_callers_to_know(
    tmp_path: Path, value: object, read_only: bool
) -> None:
    made = connector(tmp_path / "a.db")
    with pytest.raises(RejectedError, match="number or a text that the database does not take") as error:
        await made.perform(call("SELECT :a AS a", {"a": value}, read_only=read_only))
    assert error.value.status == 400
    assert await made.perform(call("SELECT :a AS a", {"a": 2**63 - 1}))
    await made.aclose()


@pytest.mark.parametrize(
    "statement", ["ATTACH '{}/other.db' AS o", "DETACH main", "PRAGMA journal_mode = wal", "PRAGMA writable_schema(1)"]
)
@pytest.mark.parametrize("read_only", [True, False])
async def test_no_statement_reaches_another_file_or_changes_settings(
    tmp_path: Path, statement: str, read_only: bool
) -> None:
    made = connector(tmp_path / "a.db")
    with pytest.raises(RejectedError) as error:
        await made.perform(call(statement.format(tmp_path), read_only=read_only))
    assert (error.value.status, error.value.code) == (403, "SQLITE_AUTH")
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]
    found = await made.perform(call("PRAGMA table_info(sqlite_master)"))
    assert isinstance(found, dict)
    assert len(found["rows"]) == 5
    assert await made.perform(call("PRAGMA journal_mode")) == {"rows": [{"journal_mode": "delete"}], "truncated": False}
    await made.aclose()


async def test_a_result_is_not_read_beyond_its_bound(tmp_path: Path) -> None:
    made = connector(tmp_path / "a.db")
    with pytest.raises(TooLargeError):
        await made.perform(call("SELECT printf('%.*c', 5000, 'x') AS a"))
    await made.aclose()


async def test_a_change_that_fails_is_not_kept(tmp_path: Path) -> None:
    made = connector(tmp_path / "a.db")
    await made.perform(call("CREATE TABLE t (id INTEGER PRIMARY KEY)", read_only=False))
    found = await made.perform(call("INSERT INTO t VALUES (1), (2), (3) RETURNING id", read_only=False, max_rows=2))
    assert found == {"rows_affected": 3, "rows": [{"id": 1}, {"id": 2}], "truncated": True}
    with pytest.raises(RejectedError) as error:
        await made.perform(call("INSERT INTO t VALUES (4), (1)", read_only=False))
    assert (error.value.status, error.value.code) == (409, "SQLITE_CONSTRAINT_PRIMARYKEY")
    assert await made.perform(call("SELECT count(*) AS n FROM t")) == {"rows": [{"n": 3}], "truncated": False}
    await made.aclose()


async def test_a_change_that_the_driver_does_not_know_as_one_is_undone_too(tmp_path: Path) -> None:
    """The driver begins no transaction for WITH."""
    made = connector(tmp_path / "a.db")
    await made.perform(call("CREATE TABLE t (id INTEGER PRIMARY KEY)", read_only=False))
    change = (
        "WITH s(n) AS (VALUES (1), (2), (3)) INSERT INTO t SELECT n FROM s RETURNING id, printf('%.*c', 5000, 'x') AS a"
    )
    with pytest.raises(TooLargeError):
        await made.perform(call(change, read_only=False))
    assert await made.perform(call("SELECT count(*) AS n FROM t")) == {"rows": [{"n": 0}], "truncated": False}
    await made.aclose()


async def test_a_file_that_is_locked_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made = Sql(SqlConnection(url=f"sqlite:///{path}", connect_timeout_ms=1), Destinations())
    with sqlite3.connect(path) as holder:
        holder.execute("CREATE TABLE t (id)")
        holder.commit()
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseAwayError):
            await made.perform(call("SELECT * FROM t"))
    holder.close()
    await made.aclose()


@pytest.mark.parametrize(("connect", "call_", "busy"), [(300, 5000, 300), (5000, 300, 300)])
async def test_a_lock_is_awaited_no_longer_than_a_call_may_take(
    tmp_path: Path, connect: int, call_: int, busy: int
) -> None:
    path = tmp_path / "a.db"
    sqlite3.connect(path).close()
    made = Sql(SqlConnection(url=f"sqlite:///{path}", connect_timeout_ms=connect, timeout_ms=call_), Destinations())
    assert await made.perform(call("PRAGMA busy_timeout")) == {"rows": [{"timeout": busy}], "truncated": False}
    await made.aclose()


async def test_a_statement_without_a_result_has_no_rows(tmp_path: Path) -> None:
    made = connector(tmp_path / "a.db")
    assert await made.perform(call("PRAGMA query_only = 1")) == {"rows": [], "truncated": False}
    await made.test()
    await made.aclose()


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"


async def test_a_stop_that_comes_too_early_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite forgets an interruption that comes before the statement runs."""
    made = connector(tmp_path / "a.db")
    begin, stop = made._database.begin, made._database.stop
    stops: list[Any] = []
    begins = asyncio.Event()

    async def begun(driver: Any, *, read_only: bool) -> None:
        begins.set()
        await begin(driver, read_only=read_only)

    async def stopped(driver: Any, runs: Callable[[], bool]) -> bool:
        stops.append(driver)
        return len(stops) == 1 or await stop(driver, runs)

    monkeypatch.setattr(made._database, "begin", begun)
    monkeypatch.setattr(made._database, "stop", stopped)
    task = asyncio.ensure_future(made.perform(call(ENDLESS)))
    await begins.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stops) > 1
    await made.aclose()  # it waits for the thread of the connection


async def test_a_stop_that_comes_late_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement ends by itself while its stop is on the way, and the next call runs meanwhile."""
    made = connector(tmp_path / "a.db")
    database = made._database
    execute, stop = database.execute, database.stop
    drivers: list[Any] = []
    stopped: list[bool] = []
    executing, stopping, ends, late = (asyncio.Event() for _ in range(4))

    async def executed(driver: Any, statement: str, values: Sequence[object]) -> Rows:
        drivers.append(driver)
        executing.set()
        await ends.wait()
        return await execute(driver, statement, values)

    async def on_the_way(driver: Any, runs: Callable[[], bool]) -> bool:
        stopping.set()
        await late.wait()
        stopped.append(await stop(driver, runs))
        return stopped[-1]

    monkeypatch.setattr(database, "execute", executed)
    monkeypatch.setattr(database, "stop", on_the_way)
    first = asyncio.ensure_future(made.perform(call("SELECT 1 AS a")))
    await executing.wait()
    first.cancel()
    await stopping.wait()
    ends.set()
    found = {"rows": [{"a": 2}], "truncated": False}
    await eventually(lambda: made._engine.pool.checkedout() == 0, "the statement has ended")  # type: ignore[attr-defined]
    assert await made.perform(call("SELECT 2 AS a")) == found
    late.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert stopped == [False]
    assert await made.perform(call("SELECT 2 AS a")) == found
    assert drivers[0] not in drivers[1:], "its connection is not used again"
    assert drivers[1] is drivers[2]
    await made.aclose()
