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


class Portal:
    """Of a result with ``rows`` rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    async def fetch(self, most: int) -> Sequence[tuple[int]]:
        taken = min(self.rows, most)
        self.rows -= taken
        return [(1,)] * taken

    async def forward(self, most: int) -> int:
        moved = min(self.rows, most)
        self.rows -= moved
        return moved


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 2**31 + 31, 2**32 + 29])
async def test_what_is_skipped_is_counted(rows: int) -> None:
    made = PostgresRows(["n"], Portal(rows))
    first = await made.next()
    assert len(first) == min(rows, 32)
    assert len(first) + await made.rest() == rows
    assert made.ended
    assert (await made.next(), await made.rest()) == ((), 0)


async def test_a_statement_without_rows_has_ended() -> None:
    made = PostgresRows([], None, 7)
    assert (made.ended, made.affected, await made.next(), await made.rest()) == (True, 7, (), 0)


async def test_a_statement_that_was_not_read_to_its_end_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (n)")
        other.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(100)])
    made = Sqlite(SqlConnection(url=f"sqlite:///{path}"), Destinations())
    driver = await made.dial()
    rows = await made.execute(driver, "SELECT n FROM t ORDER BY n", ())
    assert [row[0] for row in await rows.next()] == list(range(32))
    assert not rows.ended
    await rows.aclose()
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("DELETE FROM t")
    other.close()
    await driver.close()
