"""What errors of drivers mean, and when TLS is spoken. `tests/connectors` has them with real servers."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import Mock

import aiosqlite
import pytest
from harness.patience import eventually

from gateway.config.networks import Destinations
from gateway.config.schema.sql import ServerTls, SqlConnection
from gateway.connectors.databases import DATABASES, Database, Mysql, Postgres, Sqlite

DatabaseT = TypeVar("DatabaseT", bound=Database)


def database(kind: type[DatabaseT], url: str, **more: object) -> DatabaseT:
    return kind(SqlConnection.model_validate({"url": url, **more}), Destinations())


class PostgresError(Exception):
    def __init__(self, state: str) -> None:
        super().__init__("no\nmore")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("state", "status"),
    [("42P01", 400), ("22012", 400), ("23505", 409), ("40001", 409), ("42501", 403), ("25006", 403)]
    + [(state, None) for state in ("08006", "28P01", "3D000", "53300", "57P01", "57014", "58030", "XX000")],
)
def test_errors_of_postgresql(state: str, status: int | None) -> None:
    found = database(Postgres, "postgresql://u@h/n").rejection(PostgresError(state))
    assert (None if found is None else (found.status, found.code, found.message)) == (
        None if status is None else (status, state, "no")
    )


def test_errors_of_the_driver_of_postgresql() -> None:
    made = database(Postgres, "postgresql://u@h/n")
    found = made.rejection(ValueError("invalid input for query argument $1"))
    assert found is not None
    assert found.status == 400
    assert made.rejection(RuntimeError("connection is closed")) is None


@pytest.mark.parametrize(
    ("number", "status"),
    [(1064, 400), (1062, 409), (1213, 409), (1142, 403), (1792, 403), (2013, None), (1045, None), (1040, None)],
)
def test_errors_of_mysql(number: int, status: int | None) -> None:
    found = database(Mysql, "mysql://u@h/n").rejection(RuntimeError(number, "no"))
    assert (None if found is None else (found.status, found.code, found.message)) == (
        None if status is None else (status, str(number), "no")
    )


def test_errors_of_the_driver_of_mysql() -> None:
    made = database(Mysql, "mysql://u@h/n")
    assert made.rejection(RuntimeError("(0, 'Not connected')")) is None
    found = made.rejection(TypeError("dict can not be used as parameter"))
    assert found is not None
    assert found.status == 400


@pytest.mark.parametrize(
    ("code", "status"), [(1, 400), (19, 409), (1555, 409), (8, 403), (264, 403), (5, None), (14, None), (11, None)]
)
def test_errors_of_sqlite(code: int, status: int | None) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_X"
    found = database(Sqlite, "sqlite:///f").rejection(error)
    assert (None if found is None else (found.status, found.code)) == (None if status is None else (status, "SQLITE_X"))
    found = database(Sqlite, "sqlite:///f").rejection(sqlite3.ProgrammingError("type 'list' is not supported"))
    assert found is not None
    assert found.status == 400


@pytest.mark.parametrize(
    ("url", "mode", "spoken"),
    [
        ("postgresql://u@db/n", "auto", True),
        ("postgresql://u@127.0.0.1/n", "auto", False),
        ("postgresql://u@localhost/n", "verify", True),
        ("mysql://u@db/n", "off", False),
        ("mysql://u@db/n", "auto", True),
    ],
)
def test_tls_is_verified_unless_the_server_is_here(url: str, mode: str, spoken: bool) -> None:
    made = database(DATABASES[SqlConnection(url=url).dialect], url, tls=ServerTls.model_validate({"mode": mode}))
    assert (made.tls is not None) is spoken
    if made.tls is not None:
        assert made.tls.check_hostname


async def test_what_is_dialled() -> None:
    assert await database(Postgres, "postgresql://u@localhost/n").address() in ("127.0.0.1", "::1")
    assert await database(Postgres, "postgresql://u@localhost/n", tls={"mode": "verify"}).address() == "localhost"


async def received_by(parts: tuple[bytes, ...], made: Callable[[int], Database]) -> bytes:
    """What a server gets from a connection that fails. It sends each of ``parts`` after what the client sends, and
    closes after the last one."""
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            data = await reader.read(65536)
            got.extend(data)
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each driver has its own
            await made(server.sockets[0].getsockname()[1]).dial()
        async with asyncio.timeout(5):
            await ended.wait()
    return bytes(got)


def _greeting(offered: int) -> bytes:
    """Of a MySQL (Protocol::HandshakeV10) that wants the password as it is. ``offered``: CLIENT_SSL, or nothing."""
    capabilities = 0x8208 | offered  # CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION
    parts = (b"\x0a8.0.0\0", struct.pack("<I", 7), b"12345678\0", struct.pack("<H", capabilities))
    more = (b"\x2d\x02\0", struct.pack("<HB", 0x0008, 21), bytes(10), b"123456789012\0", b"mysql_clear_password\0")
    body = b"".join((*parts, *more))
    return len(body).to_bytes(3, "little") + b"\0" + body


@pytest.mark.parametrize("offered", [0x0000, 0x0800])
async def test_mysql_gets_no_user_and_no_password_without_tls(offered: int) -> None:
    def made(port: int) -> Database:
        url = f"mysql://reader:sesame@127.0.0.1:{port}/n"
        return database(Mysql, url, tls={"mode": "verify"}, connect_timeout_ms=2000)

    got = await received_by((_greeting(offered),), made)
    assert b"reader" not in got
    assert b"sesame" not in got
    assert bool(got) is bool(offered)  # the request for TLS


ENVIRONMENT = {
    **dict.fromkeys(("PGUSER", "PGDATABASE", "PGHOST", "PGPASSWORD", "PGSERVICE", "PGAPPNAME"), "from-the-environment"),
    **dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME", "MYSQL_PWD", "MYSQL_HOST"), "from-the-environment"),
    **dict.fromkeys(("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "MYSQL_HOME"), "/from-the-environment"),
    "PGPORT": "1",
    "PGSSLMODE": "prefer",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "from-the-environment",
    "PGKRBSRVNAME": "from-the-environment",
    "PGGSSLIB": "gssapi",
    "PGOPTIONS": "-c search_path=from-the-environment",
    "PGCLIENTENCODING": "LATIN1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables and files of this process's user that libpq or the client of MySQL reads."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in {
        ".pgpass": "*:*:*:*:from-a-file\n",
        ".pg_service.conf": "[from-the-environment]\nuser=from-a-file\npassword=from-a-file\n",
        ".my.cnf": "[client]\nuser=from-a-file\npassword=from-a-file\n",
    }.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / ".pgpass"))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / ".pg_service.conf"))


CLEAR = b"R" + struct.pack(">II", 8, 3)  # AuthenticationCleartextPassword
TICKET = b"R" + struct.pack(">II", 8, 7)  # AuthenticationGSS


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("url", "user", "name", "password"),
    [("reader@{}/n", b"reader", b"n", b""), ("reader:sesame@{}", b"reader", b"reader", b"sesame")],
)
async def test_postgresql_gets_nothing_that_the_connection_does_not_say(
    url: str, user: bytes, name: bytes, password: bytes
) -> None:
    got = await received_by((b"", CLEAR), lambda port: _postgres(url, port))
    assert b"user\0%b\0database\0%b\0" % (user, name) in got
    assert b"p%b%b\0" % (struct.pack(">I", len(password) + 5), password) in got
    assert b"from-" not in got
    assert b"search_path" not in got
    assert b"UTF8" in got.upper().replace(b"-", b"") or b"utf-8" in got


@pytest.mark.usefixtures("environment")
async def test_postgresql_gets_no_ticket_of_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    kerberos = Mock()
    kerberos.SecurityContext.return_value.step.return_value = b"a ticket"
    monkeypatch.setitem(sys.modules, "gssapi", kerberos)
    got = await received_by((b"", TICKET), lambda port: _postgres("reader@{}/n", port))
    assert got.endswith(b"database\0n\0\0"), "the startup message, and nothing else"
    assert not kerberos.mock_calls


@pytest.mark.usefixtures("environment")
async def test_postgresql_is_asked_for_tls_as_it_always_is() -> None:
    got = await received_by((b"",), lambda port: _postgres("reader@{}/n", port, tls={"mode": "verify"}))
    assert got == struct.pack(">II", 8, 80877103), "SSLRequest"


@pytest.mark.usefixtures("environment")
async def test_mysql_gets_nothing_that_the_connection_does_not_say() -> None:
    got = await received_by((_greeting(0),), lambda port: database(Mysql, f"mysql://reader@127.0.0.1:{port}"))
    assert b"reader\0" in got
    assert b"from-" not in got


def _postgres(url: str, port: int, **more: object) -> Postgres:
    at = url.format(f"127.0.0.1:{port}")
    return database(Postgres, f"postgresql://{at}", connect_timeout_ms=2000, **more)


async def test_a_dial_that_is_cancelled_leaves_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    sqlite3.connect(path).close()
    made = database(Sqlite, f"sqlite:///{path}")
    opened = []
    connect = aiosqlite.connect

    def noted(*arguments: Any, **more: Any) -> aiosqlite.Connection:
        opened.append(connect(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr(aiosqlite, "connect", noted)
    for step in ("execute", "set_authorizer"):
        asked = asyncio.Event()

        async def hang(*_: object, asked: asyncio.Event = asked) -> None:
            asked.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(aiosqlite.Connection, step, hang)
            dialling = asyncio.ensure_future(made.dial())
            await asked.wait()
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
        await eventually(lambda: opened[-1]._connection is None, f"closed after {step}")
