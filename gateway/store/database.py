"""Connections to the database: SQLite by aiosqlite or PostgreSQL by asyncpg, behind one interface."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:  # with PostgreSQL nothing else of SQLite is imported
    from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection

_ANSWER_SECONDS: Final = 5.0
_WRITERS: Final = 0x62726B77
"""The advisory lock of PostgreSQL that writers hold; any number that no other program uses."""
_ARGUMENT: Final = "query argument"
"""asyncpg's prefix for a value that it cannot send. The value follows it, so the text must not be passed on."""


def is_embedded(url: str) -> bool:
    """Whether the database is a file of this machine alone."""
    return url.startswith("sqlite:")


def file_of(url: str) -> pathlib.Path:
    """Where an embedded database is."""
    return pathlib.Path(url.removeprefix("sqlite:///"))


class Database:
    """An engine and its transactions.

    ``url`` as in the configuration; ``patience``: the seconds that a statement or the wait for other writers may take.
    """

    def __init__(self, url: str, patience: float = _ANSWER_SECONDS) -> None:
        self.url = url
        self.barred = ""
        """Why no transaction may begin; empty: it may."""
        self.engine = _engine(url, patience)

    async def aclose(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write, one at a time on both databases: what it has read is true until it ends.

        Raises `StoreUnavailable`; an IntegrityError is the caller's to explain.
        """
        self._check_bar()
        async with _explained(), self.engine.begin() as connection:
            if not is_embedded(self.url):  # SQLite does it by BEGIN IMMEDIATE
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS})
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads and never waits for writers. Raises `StoreUnavailable`."""
        self._check_bar()
        async with _explained(), self.engine.connect() as connection:
            await connection.execution_options(gateway_reads=True)
            yield connection

    def _check_bar(self) -> None:
        if self.barred:
            raise StoreUnavailable(self.barred)


@asynccontextmanager
async def _explained() -> AsyncIterator[None]:
    """Driver errors hold statements and values: only a sentence without them is passed on."""
    try:
        yield
    except IntegrityError:
        raise
    except UnicodeEncodeError:
        raise StoreError("a text holds characters that are not Unicode; write it in UTF-8") from None
    except OverflowError:  # SQLite's driver
        raise _refused() from None
    except DBAPIError as error:
        if _ARGUMENT in str(error.orig):
            raise _refused() from None
        raise StoreUnavailable(f"the database does not respond as it should ({_cause(error)})") from None
    except (SQLAlchemyError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise StoreUnavailable(f"the database cannot be reached ({type(error).__name__})") from None


def _refused() -> StoreError:
    return StoreError("the database rejects a value: it is of the wrong kind, or outside the bounds of its column")


def _cause(error: DBAPIError) -> str:
    cause = error.orig
    text = str(cause).splitlines()[0] if cause is not None and str(cause) else ""
    return text.rpartition(": ")[2][:200] or type(error).__name__


def _engine(url: str, patience: float) -> AsyncEngine:
    parsed = make_url(url)
    if is_embedded(url):
        engine = create_async_engine(parsed.set(drivername="sqlite+aiosqlite"))
        event.listen(engine.sync_engine, "connect", partial(_prepare_sqlite, patience))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        parsed.set(drivername="postgresql+asyncpg"),
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=2,
        pool_timeout=_ANSWER_SECONDS,
        connect_args={"timeout": _ANSWER_SECONDS, "command_timeout": patience},
    )


def _prepare_sqlite(patience: float, connection: AsyncAdapt_aiosqlite_connection, _: object) -> None:
    # The driver would begin transactions by itself, and never around DDL: _begin_sqlite does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {round(patience * 1000)}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "synchronous = NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("gateway_reads")
    # A writer that begins as a reader would have to give up when another writes meanwhile.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
