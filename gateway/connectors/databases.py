"""How the databases of the connector `sql` differ: how they are dialled and stopped, and what their errors mean."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from gateway.config import tls_context
from gateway.config.networks import Destinations
from gateway.config.schema.sql import SqlConnection
from gateway.connectors.addresses import permitted
from gateway.connectors.connector import RejectedError
from gateway.connectors.rows import MysqlRows, PostgresRows, Rows, SqliteRows

_STOP_SECONDS: Final = 2.0
_PRAGMAS: Final = frozenset(
    (
        *("query_only", "trusted_schema", "table_info", "table_xinfo", "table_list", "index_list", "index_info"),
        *("index_xinfo", "foreign_key_list", "foreign_key_check", "integrity_check", "quick_check"),
    )
)
"""Those of SQLite that may have a value: it is what they read, or they are the gateway's own."""
_MYSQL_TLS: Final = 0x800
"""CLIENT_SSL (MySQL, Capabilities Flags)."""
_CONFLICT: Final = 409
_FORBIDDEN: Final = 403


class NoTlsError(ssl.SSLError):
    """The server offers no TLS, and got neither user nor password."""

    reason = "NOT_OFFERED"


class Database(ABC):
    """One connection's database, spoken to by an asynchronous driver of SQLAlchemy."""

    engine_url: ClassVar[str]
    reads_all: ClassVar[bool] = False
    """A result is read to its end, or its connection is lost."""

    def __init__(self, connection: SqlConnection, destinations: Destinations) -> None:
        self.connection = connection
        self.server = connection.server
        self.destinations = destinations
        self.seconds = connection.connect_timeout_ms / 1000
        self.socket = connection.socket
        mode = connection.tls.mode
        local = self.socket is not None or self.server.local
        verified = mode == "verify" or (mode == "auto" and not local)
        self.tls: ssl.SSLContext | None = None
        if verified and connection.dialect != "sqlite":
            self.tls = tls_context.client_context(ca=connection.tls.ca_pem or "", alpn=())

    @abstractmethod
    async def dial(self, *args: object, **more: object) -> Any:
        """A connection of the driver, with the user logged in."""

    @abstractmethod
    async def begin(self, driver: Any, *, read_only: bool) -> None:
        """Begin a transaction, in which the database itself rejects changes, or which may change things."""

    @abstractmethod
    async def execute(self, driver: Any, statement: str, values: Sequence[object]) -> Rows:
        """Execute ``statement``, in the form of the driver, with ``values`` in the order of its places."""

    async def commit(self, driver: Any) -> None:
        """Keep what the transaction has changed."""
        await driver.commit()

    async def rollback(self, driver: Any) -> None:
        """Undo what it has changed, unless the pool does so by the method of the driver."""
        del driver

    async def stop(self, driver: Any, runs: Callable[[], bool]) -> bool:
        """End what runs on the connection ``driver`` at the server. False: nothing was stopped here.

        ``runs``: whether the call still has the connection. It is asked directly before the stop is sent, because the
        statement may end by itself meanwhile.
        """
        del driver, runs  # it is the driver that stops a statement when it is cancelled
        return False

    @abstractmethod
    def rejection(self, error: BaseException) -> RejectedError | None:
        """What the caller gets; None: the database is ill, or away."""


class _Server(Database):
    """One that is reached over the network, or by a Unix socket."""

    async def address(self) -> str:
        """What is dialled. Raises as `permitted`."""
        found = await permitted(self.server.host, self.server.port, self.destinations)
        return self.server.host if self.tls is not None else found

    async def dial(self, *args: object, **more: object) -> Any:
        """Raises TimeoutError when `connect_timeout_ms` is over before the user is logged in."""
        # The drivers bound parts of it: a server that takes a connection and says nothing would hold a call.
        async with asyncio.timeout(self.seconds):
            return await self._dial()

    @abstractmethod
    async def _dial(self) -> Any: ...


class Postgres(_Server):
    """PostgreSQL by asyncpg, which sends a CancelRequest when a statement is cancelled. A connection on which a
    statement was cancelled is closed and not used again, so that the request ends no other statement."""

    engine_url = "postgresql+asyncpg://"
    _ILL: Final = ("08", "28", "3D", "53", "57", "58", "F0", "XX")
    """Classes of SQLSTATE (PostgreSQL, appendix A) that do not speak of the statement."""

    async def _dial(self) -> Any:
        import asyncpg  # type: ignore[import-untyped]

        try:
            return await asyncpg.connect(
                host=self.socket or await self.address(),
                port=self.server.port,
                **self._said(),
                ssl=self.tls or False,
                # A pooler between us and the server may give each transaction another connection.
                statement_cache_size=0,
            )
        except ConnectionError as error:
            if "rejected SSL" in str(error):
                raise NoTlsError from None
            raise

    def _said(self) -> dict[str, object]:
        """What the driver would take from variables and files of this process (PGUSER, .pgpass) where it is None."""
        server = self.server
        return {
            "user": server.user,
            "password": server.password,
            "database": server.name or server.user,  # as the server has it (PostgreSQL, StartupMessage)
            "direct_tls": False,
            "target_session_attrs": "any",
            # That of Windows alone: a server that asks for a ticket of Kerberos gets none of this process's user.
            "gsslib": "sspi",
        }

    async def begin(self, driver: Any, *, read_only: bool) -> None:
        await driver.execute("BEGIN READ ONLY" if read_only else "BEGIN")

    async def execute(self, driver: Any, statement: str, values: Sequence[object]) -> Rows:
        prepared = await driver.prepare(statement)
        columns = [each.name for each in prepared.get_attributes()]
        if columns:
            return PostgresRows(columns, await prepared.cursor(*values))
        await prepared.fetch(*values)
        count = (prepared.get_statusmsg() or "").rpartition(" ")[2]  # INSERT 0 7, UPDATE 7, CREATE TABLE
        return PostgresRows(columns, None, int(count) if count.isdigit() else -1)

    async def commit(self, driver: Any) -> None:
        await driver.execute("COMMIT")

    async def rollback(self, driver: Any) -> None:
        await driver.execute("ROLLBACK")

    def rejection(self, error: BaseException) -> RejectedError | None:
        state = str(getattr(error, "sqlstate", None) or "")
        if not state:
            # The driver found that a value does not fit its place.
            fits = isinstance(error, ValueError) or "invalid input for query argument" in str(error)
            return RejectedError(_first_line(error), "", 400) if fits else None
        if state.startswith(self._ILL):
            return None
        status = _CONFLICT if state.startswith(("23", "40")) else _FORBIDDEN if state in ("25006", "42501") else 400
        return RejectedError(_first_line(error), state, status)


class Mysql(_Server):
    """MySQL and MariaDB by aiomysql. A statement goes on when its connection ends, so that it has to be killed."""

    engine_url = "mysql+aiomysql://"
    reads_all = True
    _ILL: Final = frozenset(
        {*range(2000, 3000), 1040, 1044, 1045, 1049, 1053, 1077, 1152, 1153, 1184, 1203, 1927, 3118}
    )
    """Numbers of errors (MySQL, Server Error Message Reference) that do not speak of the statement."""
    _CONFLICTS: Final = frozenset({1022, 1048, 1062, 1205, 1213, 1216, 1217, 1451, 1452, 1557, 3819, 4025})
    _DENIED: Final = frozenset({1142, 1143, 1227, 1290, 1370, 1792})

    async def _dial(self) -> Any:
        import aiomysql  # type: ignore[import-untyped]

        server = self.server
        driver = aiomysql.Connection(
            host="" if self.socket else await self.address(),
            port=server.port,
            unix_socket=self.socket,
            user=server.user,
            password=server.password,
            db=server.name or None,
            charset="utf8mb4",
            ssl=self.tls,
            local_infile=False,
        )
        if self.tls is not None:
            _require_tls(driver)
        try:
            await driver._connect()  # noqa: SLF001 - as `aiomysql.connect`
            # COM_SET_OPTION, MYSQL_OPTION_MULTI_STATEMENTS_OFF: the driver has switched it on.
            await driver._execute_command(0x1B, struct.pack("<H", 1))  # noqa: SLF001 - it has no public way
            await driver._read_packet()  # noqa: SLF001
        except BaseException as error:
            driver.close()  # the driver leaves its socket when it is cancelled
            if isinstance(error.__cause__, ssl.SSLError):
                raise error.__cause__ from None
            raise
        return driver

    async def begin(self, driver: Any, *, read_only: bool) -> None:
        # Of the session: a statement that changes a table's definition would end a transaction that reads, and go on.
        await self.execute(driver, f"SET SESSION TRANSACTION READ {'ONLY' if read_only else 'WRITE'}", ())

    async def execute(self, driver: Any, statement: str, values: Sequence[object]) -> Rows:
        import aiomysql

        cursor = await driver.cursor(aiomysql.SSCursor)
        cursor._show_warnings = _unsaid  # noqa: SLF001 - it would ask for them, and print them with their values
        await cursor.execute(statement, tuple(values))
        return MysqlRows(driver, cursor)

    async def stop(self, driver: Any, runs: Callable[[], bool]) -> bool:
        """By KILL, from another connection."""
        number = int(driver.thread_id())
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_STOP_SECONDS):
                other = await self.dial()
                try:
                    cursor = await other.cursor()
                    if not runs():
                        return False
                    await cursor.execute(f"KILL {number}")
                finally:
                    other.close()
                return True
        return False

    def rejection(self, error: BaseException) -> RejectedError | None:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if not number:
            return RejectedError(_first_line(error), "", 400) if isinstance(error, TypeError | ValueError) else None
        if number in self._ILL:
            return None
        status = _CONFLICT if number in self._CONFLICTS else _FORBIDDEN if number in self._DENIED else 400
        return RejectedError(str(error.args[1]) if len(error.args) > 1 else "", str(number), status)


class Sqlite(Database):
    """A file of SQLite, by aiosqlite in a thread."""

    engine_url = "sqlite+aiosqlite://"
    _ILL: Final = (5, 6, 7, 8, 10, 11, 13, 14, 26)
    """Primary result codes (SQLite, Result Codes) of a file that is locked, full, broken or away."""
    _CONSTRAINT: Final = 19
    _READONLY: Final = 8
    _NOT_AUTHORIZED: Final = 23

    async def dial(self, *args: object, **more: object) -> Any:
        import aiosqlite

        name = self.server.name
        # The wait for a lock: an interruption does not end it, so that no call would have its time.
        busy = min(self.seconds, self.connection.timeout_ms / 1000)
        # mode=rw: a wrong path is an error, and not a new and empty database.
        driver = await aiosqlite.connect(f"file:{quote(name)}?mode=rw", uri=True, timeout=busy)
        try:
            await driver.execute("PRAGMA trusted_schema = OFF")
            await driver.set_authorizer(_authorize)
        except BaseException:
            driver.stop()  # no pool has it yet, to close it
            raise
        return driver

    async def begin(self, driver: Any, *, read_only: bool) -> None:
        await driver.execute(f"PRAGMA query_only = {int(read_only)}")
        if not read_only:
            # The driver itself begins one for some statements alone, so that others could not be undone.
            await driver.execute("BEGIN")

    async def execute(self, driver: Any, statement: str, values: Sequence[object]) -> Rows:
        return SqliteRows(await driver.execute(statement, values))

    async def stop(self, driver: Any, runs: Callable[[], bool]) -> bool:
        if not runs():
            return False
        await driver.interrupt()
        return True

    def rejection(self, error: BaseException) -> RejectedError | None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            # Of the driver: a value does not fit.
            return RejectedError(_first_line(error), "", 400)
        primary = code & 0xFF
        if primary in self._ILL and primary != self._READONLY:
            return None
        name = str(getattr(error, "sqlite_errorname", ""))
        status = {self._CONSTRAINT: _CONFLICT, self._READONLY: _FORBIDDEN, self._NOT_AUTHORIZED: _FORBIDDEN}.get(
            primary, 400
        )
        return RejectedError(_first_line(error), name, status)


def _require_tls(driver: Any) -> None:
    """Let ``driver`` of aiomysql send nothing to a server that offers no TLS: it would go on without, and anyone on the
    way can remove the offer, which comes in plain text (MySQL, Protocol::Handshake)."""
    authenticate = driver._request_authentication  # noqa: SLF001 - it has no public way

    async def checked() -> None:
        if not driver.server_capabilities & _MYSQL_TLS:
            raise NoTlsError
        await authenticate()

    driver._request_authentication = checked  # noqa: SLF001


async def _unsaid(_: object) -> None:
    """Instead of what the driver does about warnings."""


def _authorize(action: int, name: str | None, value: str | None, *_: object) -> int:
    """Deny what ``query_only`` permits: another file, and settings of the file or of a connection that others use next
    (SQLite, Compile-Time Authorization Callbacks)."""
    attaches = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    sets = action == sqlite3.SQLITE_PRAGMA and value is not None and name not in _PRAGMAS
    return sqlite3.SQLITE_DENY if attaches or sets else sqlite3.SQLITE_OK


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rpartition(">: ")[2]


DATABASES: Final[dict[str, type[Database]]] = {"postgresql": Postgres, "mysql": Mysql, "sqlite": Sqlite}
