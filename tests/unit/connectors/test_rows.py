"""Rows that are read as they are needed, of drivers that say what a server would."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlConnection
from gateway.connectors.databases import Sqlite
from gateway.connectors.rows import PostgresRows

ROOM = 1000


class Portal:
    """Of a result with ``rows`` rows, whose only value is ``value``."""

    def __init__(self, rows: int, value: object = 1) -> None:
        self.rows = rows
        self.value = value
        self.fetched: list[int] = []

    async def fetch(self, most: int) -> Sequence[tuple[object]]:
        self.fetched.append(most)
        taken = min(self.rows, most)
        self.rows -= taken
        return [(self.value,)] * taken

    async def forward(self, most: int) -> int:
        moved = min(self.rows, most)
        self.rows -= moved
        return moved


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 2**31 + 31, 2**32 + 29])
async def test_what_is_skipped_is_counted(rows: int) -> None:
    made = PostgresRows(["n"], Portal(rows))
    first = await made.next(ROOM)
    assert len(first) == min(rows, 2)
    assert len(first) + await made.rest() == rows
    assert made.ended
    assert (await made.next(ROOM), await made.rest()) == ((), 0)


@pytest.mark.parametrize(
    ("size", "fetched"), [(1, [2, 4, 8, 16, 32, 32]), (100, [2, 4, 8, 10, 10, 10]), (5000, [2, 1, 1, 1, 1, 1])]
)
async def test_so_many_rows_are_read_at_once_as_have_room(size: int, fetched: list[int]) -> None:
    portal = Portal(1000, "x" * size)
    made = PostgresRows(["x"], portal)
    for _ in fetched:
        await made.next(ROOM)
    assert portal.fetched == fetched
    await made.next(ROOM, 1)
    assert portal.fetched[-1] == 1


@pytest.mark.parametrize(
    ("size", "most", "read"), [(1, 32, 32), (1, 7, 7), (100, 32, 11), (1000, 32, 2), (5000, 32, 1)]
)
async def test_no_row_is_read_after_one_that_has_no_room(tmp_path: Path, size: int, most: int, read: int) -> None:
    made = Sqlite(SqlConnection(url=f"sqlite:///{tmp_path / 'a.db'}"), Destinations())
    sqlite3.connect(tmp_path / "a.db").close()
    driver = await made.dial()
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT zeroblob(?) AS x FROM c"
    rows = await made.execute(driver, endless, (size,))
    assert len(await rows.next(ROOM, most)) == read
    await rows.aclose()
    await driver.close()


async def test_a_statement_without_rows_has_ended() -> None:
    made = PostgresRows([], None, 7)
    assert (made.ended, made.affected, await made.next(ROOM), await made.rest()) == (True, 7, (), 0)


async def test_a_statement_that_was_not_read_to_its_end_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (n)")
        other.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(100)])
    made = Sqlite(SqlConnection(url=f"sqlite:///{path}"), Destinations())
    driver = await made.dial()
    rows = await made.execute(driver, "SELECT n FROM t ORDER BY n", ())
    assert [row[0] for row in await rows.next(ROOM)] == list(range(32))
    assert not rows.ended
    await rows.aclose()
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("DELETE FROM t")
    other.close()
    await driver.close()
