"""The connector `sql`: fixed statements with values beside them, in PostgreSQL, MySQL, MariaDB and SQLite."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import functools
import importlib
import json
import sys
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlAction, SqlConnection
from gateway.config.statements import Statement
from gateway.connectors.connector import Call, Connector, RejectedError, TooLargeError
from gateway.connectors.databases import DATABASES, Database
from gateway.connectors.encoding import encoded
from gateway.connectors.rows import Row, Rows, size_of
from gateway.core.tasks import Tasks

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_STATEMENTS: Final = 256
"""Texts that are kept in the form of the driver."""
_STOP_SECONDS: Final = 2.0
"""For a statement that was stopped to say so."""
_STOPS: Final = 10
"""So often within that time."""


class DatabaseAwayError(Exception):
    """The database is away, or does not work."""


@dataclass(slots=True, eq=False)
class _Borrowed:
    """The connection that a call has from the pool."""

    driver: Any = None
    """None: the call has none yet, or none any more."""
    stopped: bool = False
    """A stop of what runs on it has begun. It does not go back to the pool, because the stop may come late, and would
    end the statement of the next call."""

    def runs(self) -> bool:
        """Whether the call still has it."""
        return self.driver is not None


class Sql(Connector[SqlConnection, SqlAction]):
    """A database, with a pool of connections that are closed when no call has used one for `idle` seconds."""

    Connection = SqlConnection
    Action = SqlAction
    failures = (DatabaseAwayError, OSError, EOFError, TimeoutError)

    @classmethod
    def load(cls) -> None:
        """SQLAlchemy takes a third of a second."""
        for module in ("sqlalchemy.ext.asyncio", "sqlalchemy.dialects"):
            importlib.import_module(module)

    def __init__(self, connection: SqlConnection, destinations: Destinations) -> None:
        super().__init__(connection, destinations)
        from sqlalchemy import AsyncAdaptedQueuePool
        from sqlalchemy.ext.asyncio import create_async_engine

        self._database: Database = DATABASES[connection.dialect](connection, destinations)
        enforced = connection.limiter.mode == "enforce"
        self._engine = create_async_engine(
            self._database.engine_url,
            async_creator=self._database.dial,
            poolclass=AsyncAdaptedQueuePool,  # of SQLite too
            pool_size=connection.max_concurrent,
            max_overflow=0 if enforced and connection.limiter.adaptive is None else -1,
            pool_pre_ping=True,
            pool_use_lifo=True,
            hide_parameters=True,
        )
        self._compiled = functools.lru_cache(_STATEMENTS)(self._compile)
        self._calls = 0
        self._closing: asyncio.TimerHandle | None = None
        self._disposed = asyncio.Event()
        """No pool is being thrown away."""
        self._disposed.set()
        self._tasks = Tasks()

    async def perform(self, call: Call[SqlAction]) -> object:
        """Rows, or how many rows have changed. Raises as `Connector.perform`."""
        values = {name: _bound(call, name) for name in call.action.names()}
        return await self._watched(lambda borrowed: self._execute(borrowed, call, values))

    async def test(self) -> None:
        """Whether the database executes SELECT 1."""
        call = Call(SqlAction(connection="test", statement="SELECT 1"), {}, 1000)
        await self.perform(call)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._closing is not None:
            self._closing.cancel()
        await self._tasks.finish()
        await self._engine.dispose()

    async def _watched(self, work: Callable[[_Borrowed], Coroutine[Any, Any, object]]) -> object:
        """Run ``work``. When this is cancelled, its statement is stopped at the server first."""
        while not self._disposed.is_set():
            await self._disposed.wait()
        borrowed = _Borrowed()
        self._calls += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        task = asyncio.get_running_loop().create_task(work(borrowed), name="statement")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stopped = asyncio.get_running_loop().create_future()
            self._tasks.start(self._stop(task, borrowed, stopped), "stop statement")
            await stopped
            raise
        finally:
            self._calls -= 1
            if not self._calls:
                loop = asyncio.get_running_loop()
                self._closing = loop.call_later(self.connection.idle, self._close_idle)

    async def _stop(self, task: asyncio.Task[object], borrowed: _Borrowed, stopped: asyncio.Future[None]) -> None:
        borrowed.stopped = True
        try:
            # Again and again, because a stop that comes before the statement has begun is lost.
            for _ in range(_STOPS):
                if not borrowed.runs() or not await self._database.stop(borrowed.driver, borrowed.runs):
                    break
                await asyncio.wait({task}, timeout=_STOP_SECONDS / _STOPS)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # no one waits for it
        finally:
            if not stopped.done():
                stopped.set_result(None)

    def _close_idle(self) -> None:
        self._closing = None
        self._disposed = disposed = asyncio.Event()
        self._tasks.start(self._dispose(disposed), "close idle connections")

    async def _dispose(self, disposed: asyncio.Event) -> None:
        """A call waits until this is over: the pool that it would take a connection from is thrown away."""
        try:
            await self._engine.dispose()
        finally:
            disposed.set()

    async def _execute(self, borrowed: _Borrowed, call: Call[SqlAction], values: Mapping[str, Any]) -> object:
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        try:
            async with self._engine.connect() as connection:
                borrowed.driver = driver = (await connection.get_raw_connection()).driver_connection
                try:
                    return await self._transact(connection, driver, call, values)
                finally:
                    borrowed.driver = None
                    if borrowed.stopped:
                        await connection.invalidate()
        except DBAPIError as error:  # of the pool, which checks the connection
            origin = error.orig
            cause = getattr(origin, "__cause__", None) or origin
            assert cause is not None
            raise self._meant(cause) from None
        except SQLAlchemyError as error:
            raise DatabaseAwayError(type(error).__name__) from None
        except (OSError, TimeoutError, RejectedError, TooLargeError):
            raise
        except (OverflowError, UnicodeError):
            # Of the driver: their texts hold the value.
            message = "a value of the input is a number or a text that the database does not take; write another"
            raise RejectedError(message) from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("asyncpg", "pymysql", "aiomysql", "sqlite3"):
                raise
            raise self._meant(error) from None

    def _meant(self, error: BaseException) -> Exception:
        """``error`` is one of the driver: what it says of the call."""
        if isinstance(error, OSError | TimeoutError):
            return error
        return self._database.rejection(error) or DatabaseAwayError(type(error).__name__)

    async def _transact(
        self, connection: AsyncConnection, driver: Any, call: Call[SqlAction], values: Mapping[str, Any]
    ) -> object:
        """A transaction that is rolled back unless this returns. What only reads is rolled back always."""
        database, action = self._database, call.action
        text, names = self._compiled(action.statement)
        rows: Rows | None = None
        committed = False
        try:
            await database.begin(driver, read_only=action.read_only)
            rows = await database.execute(driver, text, [values[name] for name in names])
            if action.read_only:
                return await _selected(rows, call)
            found = await _changed(rows, call)
            await database.commit(driver)
            committed = True
            return found
        finally:
            if not committed:
                await self._undo(connection, driver, rows, sys.exception())

    async def _undo(
        self, connection: AsyncConnection, driver: Any, rows: Rows | None, error: BaseException | None
    ) -> None:
        """Roll back, or throw the connection away: no call gets one that is in the middle of something."""
        unread = rows is not None and not rows.ended
        kept = False
        try:
            if not (unread and self._database.reads_all) and (error is None or isinstance(error, Exception)):
                if rows is not None:
                    await rows.aclose()
                await self._database.rollback(driver)
                kept = True
        except Exception:
            kept = False  # the first error says more
        finally:
            if not kept:
                if unread and self._database.reads_all:
                    driver.close()  # the pool would read what is left
                await connection.invalidate()

    def _compile(self, statement: str) -> tuple[str, list[str]]:
        """The text in the form of the driver, and the names of its places in their order."""
        from sqlalchemy import text
        from sqlalchemy.sql.compiler import SQLCompiler

        compiled = text(Statement.of(statement).text).compile(dialect=self._engine.dialect)
        assert isinstance(compiled, SQLCompiler)
        return compiled.string, list(compiled.positiontup or ())


async def _selected(rows: Rows, call: Call[SqlAction]) -> dict[str, Any]:
    if not rows.columns:
        return {"rows": [], "truncated": False}
    read = await _read(rows, call)
    if len(read) <= call.action.max_rows:
        await rows.rest()  # the end of a procedure
    return _result(rows.columns, read, call.action.max_rows)


async def _changed(rows: Rows, call: Call[SqlAction]) -> dict[str, Any]:
    """The statement has run to its end after that, whatever its result was cut to. Raises `TooLargeError`."""
    if not rows.columns:
        await rows.rest()
        return {"rows_affected": rows.affected}
    read = await _read(rows, call)
    affected = len(read) + await rows.rest()
    found = {"rows_affected": affected} | _result(rows.columns, read, call.action.max_rows)
    if len(encoded(found)) > call.max_bytes:  # before it is committed: an error means that nothing was
        raise TooLargeError
    return found


async def _read(rows: Rows, call: Call[SqlAction]) -> list[Row]:
    """The rows, and one more than there may be when there are more. Raises `TooLargeError`."""
    _unique(rows.columns)
    names = sum(len(column) + 4 for column in rows.columns)
    read: list[Row] = []
    room = call.max_bytes * 2  # at least so many when it is JSON, because a value may be one digit
    most = call.action.max_rows
    while len(read) <= most and (some := await rows.next(room, most + 1 - len(read))):
        room -= sum(names + size_of(row) for row in some[: most - len(read)])  # the one more is not returned
        read += some
        if room < 0:
            raise TooLargeError
    return read


def _unique(columns: Sequence[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise RejectedError(f"two columns have the name {twice}; give one of them another by AS", "duplicate_column")


def _result(columns: Sequence[str], rows: Sequence[Row], most: int) -> dict[str, Any]:
    return {
        "rows": [dict(zip(columns, row, strict=True)) for row in rows[:most]],
        "truncated": len(rows) > most,
    }


_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date-time": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
}


def _bound(call: Call[SqlAction], name: str) -> object:
    """The value of ``name`` for a driver: a text of a parameter with a `format` becomes what that says."""
    value = call.input[name]
    if isinstance(value, Mapping):
        return json.dumps(value)
    declared = next((each for each in call.action.parameters if each.name == name), None)
    form = "" if declared is None else str(declared.schema_.get("format", ""))
    if not isinstance(value, str) or form not in _FORMATS:
        return value
    try:
        return _FORMATS[form](value)
    except (ValueError, ArithmeticError):
        raise RejectedError(f"{name} is no {form}; write one") from None
