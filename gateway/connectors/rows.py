"""A statement that a driver has executed, and its rows, which are read as they are needed.

Each class is one driver's: they do not agree on how a result is read without taking all of it into memory.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

Row = Sequence[object]
_AHEAD: Final = 32
"""Rows that are read at a time, at most."""
_BEGIN: Final = 2
"""Rows of PostgreSQL that are read first, when no size is known. With 1, a result of one row would take another round
trip to show its end."""
_CELL: Final = 8
"""Bytes of a value of unknown length, with its comma."""
_MOST: Final = 2**31 - 1
"""Rows that one MOVE of PostgreSQL may skip."""


def size_of(row: Row) -> int:
    """About its bytes."""
    return sum(len(each) if isinstance(each, str | bytes) else _CELL for each in row)


class Rows(ABC):
    """``columns``: the names, none when the statement has no rows. ``ended``: it has run to its end, and nothing of its
    result is left. ``affected``: rows that a statement without rows has changed; -1: unknown.
    """

    def __init__(self, columns: Sequence[str], affected: int = -1) -> None:
        self.columns = [str(column) for column in columns]
        self.affected = affected
        self.ended = not columns and not self._further

    @property
    def _further(self) -> bool:
        """Whether another result follows, as that of a procedure does."""
        return False

    async def next(self, room: int, most: int = _AHEAD) -> Sequence[Row]:
        """Some of the next rows, at most ``most``; none at the end. Raises what the driver does.

        ``room``: bytes. No row is read after one that exceeds it, as far as the driver reads row by row.
        """
        if self.ended:
            return ()
        rows = await self._fetch(room, min(most, _AHEAD))
        self.ended = not rows and not self._further
        return rows

    async def rest(self) -> int:
        """Run the statement to its end without its other rows: how many there were. Raises what the driver does."""
        if self.ended:
            return 0
        skipped = await self._skip()
        self.ended = True
        return skipped

    @abstractmethod
    async def _fetch(self, room: int, most: int) -> Sequence[Row]: ...

    @abstractmethod
    async def _skip(self) -> int: ...

    async def aclose(self) -> None:
        """Leave out what was not read. It is not to be called for a driver that reads all."""
        self.ended = True


class PostgresRows(Rows):
    """A portal. Its statement runs no further than its rows are read, unless it changes something by itself."""

    def __init__(self, columns: Sequence[str], cursor: Any, affected: int = -1) -> None:
        super().__init__(columns, affected)
        self._cursor = cursor
        self._ahead = _BEGIN
        self._largest = 1

    async def _fetch(self, room: int, most: int) -> Sequence[Row]:
        """So many rows come at once as have room when none is larger than the largest before, and at most twice as
        many as the last time, because the next ones may be larger."""
        most = max(1, min(most, self._ahead, room // self._largest))
        rows: Sequence[Row] = await self._cursor.fetch(most)
        self._ahead = min(most * 2, _AHEAD)
        self._largest = max([self._largest, *map(size_of, rows)])
        return rows

    async def _skip(self) -> int:
        """MOVE executes the statement, and sends no row."""
        skipped = moved = await self._cursor.forward(_MOST)
        while moved == _MOST:
            moved = await self._cursor.forward(_MOST)
            skipped += moved
        return int(skipped)


class MysqlRows(Rows):
    """A result without a buffer: the server goes on with its statement while the rows are read."""

    def __init__(self, driver: Any, cursor: Any) -> None:
        self._driver = driver
        self._cursor = cursor
        super().__init__([each[0] for each in cursor.description or ()], cursor.rowcount)

    @property
    def _further(self) -> bool:
        result = self._driver._result  # noqa: SLF001 - it has no public way
        return result is not None and bool(result.has_next)

    async def _fetch(self, room: int, most: int) -> Sequence[Row]:
        rows: list[Row] = []
        while self.columns and len(rows) < most and room >= 0 and (row := await self._cursor.fetchone()) is not None:
            rows.append(row)
            room -= size_of(row)
        # Rows that are here already are read without a wait: others have their turn too.
        await asyncio.sleep(0)
        return rows

    async def _skip(self) -> int:
        skipped = await self._passed()
        while self._further:
            # Not by `nextset`, which reads a result into memory.
            await self._driver._read_query_result(unbuffered=True)  # noqa: SLF001
            await self._passed()
        return skipped

    async def _passed(self) -> int:
        """Read what is left of one result, row by row, without the values: these take most of the time."""
        result = self._driver._result  # noqa: SLF001
        passed = 0
        while result.unbuffered_active:
            packet = await self._driver._read_packet()  # noqa: SLF001
            if result._check_packet_is_eof(packet):  # noqa: SLF001
                result.unbuffered_active = False
                result.connection = None
                break
            passed += 1
            if not passed % _AHEAD:
                await asyncio.sleep(0)
        return passed


class SqliteRows(Rows):
    """A statement that is executed step by step, in the thread of its connection."""

    def __init__(self, cursor: Any) -> None:
        super().__init__([each[0] for each in cursor.description or ()], cursor.rowcount)
        self._cursor = cursor

    async def _fetch(self, room: int, most: int) -> Sequence[Row]:
        rows: list[Row] = await self._cursor._execute(_some, self._cursor._cursor, room, most)  # noqa: SLF001
        return rows

    async def _skip(self) -> int:
        # In one turn of the thread: a turn for some rows each takes longer than they do.
        return int(await self._cursor._execute(_counted, self._cursor._cursor))  # noqa: SLF001

    async def aclose(self) -> None:
        await self._cursor.close()
        await super().aclose()


def _some(cursor: Any, room: int, most: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < most and room >= 0 and (row := cursor.fetchone()) is not None:
        rows.append(row)
        room -= size_of(row)
    return rows


def _counted(cursor: Any) -> int:
    return sum(1 for _ in cursor)
