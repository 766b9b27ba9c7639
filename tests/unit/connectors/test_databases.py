"""What errors of drivers mean, and when TLS is spoken. `tests/connectors` has them with real servers."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

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
    found = database(Postgres, "postgresql://h/n").rejection(PostgresError(state))
    assert (None if found is None else (found.status, found.code, found.message)) == (
        None if status is None else (status, state, "no")
    )


def test_errors_of_the_driver_of_postgresql() -> None:
    made = database(Postgres, "postgresql://h/n")
    found = made.rejection(ValueError("invalid input for query argument $1"))
    assert found is not None
    assert found.status == 400
    assert made.rejection(RuntimeError("connection is closed")) is None


@pytest.mark.parametrize(
    ("number", "status"),
    [(1064, 400), (1062, 409), (1213, 409), (1142, 403), (1792, 403), (2013, None), (1045, None), (1040, None)],
)
def test_errors_of_mysql(number: int, status: int | None) -> None:
    found = database(Mysql, "mysql://h/n").rejection(RuntimeError(number, "no"))
    assert (None if found is None else (found.status, found.code, found.message)) == (
        None if status is None else (status, str(number), "no")
    )


def test_errors_of_the_driver_of_mysql() -> None:
    made = database(Mysql, "mysql://h/n")
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
        ("postgresql://db/n", "auto", True),
        ("postgresql://127.0.0.1/n", "auto", False),
        ("postgresql://localhost/n", "verify", True),
        ("mysql://db/n", "off", False),
        ("mysql://db/n", "auto", True),
    ],
)
def test_tls_is_verified_unless_the_server_is_here(url: str, mode: str, spoken: bool) -> None:
    made = database(DATABASES[SqlConnection(url=url).dialect], url, tls=ServerTls.model_validate({"mode": mode}))
    assert (made.tls is not None) is spoken
    if made.tls is not None:
        assert made.tls.check_hostname


async def test_what_is_dialled() -> None:
    assert await database(Postgres, "postgresql://localhost/n").address() in ("127.0.0.1", "::1")
    assert await database(Postgres, "postgresql://localhost/n", tls={"mode": "verify"}).address() == "localhost"


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


@pytest.mark.parametrize("offered", [0x0000, 0x0800])
async def test_mysql_gets_no_user_and_no_password_without_tls(offered: int) -> None:
    capabilities = 0x8208 | offered  # CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION
    parts = (b"\x0a8.0.0\0", struct.pack("<I", 7), b"12345678\0", struct.pack("<H", capabilities))
    more = (b"\x2d\x02\0", struct.pack("<HB", 0x0008, 21), bytes(10), b"123456789012\0", b"mysql_clear_password\0")
    body = b"".join((*parts, *more))

    def made(port: int) -> Database:
        url = f"mysql://reader:sesame@127.0.0.1:{port}/n"
        return database(Mysql, url, tls={"mode": "verify"}, connect_timeout_ms=2000)

    got = await received_by((len(body).to_bytes(3, "little") + b"\0" + body,), made)
    assert b"reader" not in got
    assert b"sesame" not in got
    assert bool(got) is bool(offered)  # the request for TLS


async def test_postgresql_gets_no_password_that_the_connection_does_not_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "pgpass"
    file.touch(0o600)
    file.write_text("*:*:*:*:from a file\n")
    clear = b"R" + struct.pack(">II", 8, 3)  # AuthenticationCleartextPassword
    for name, value in (("PGPASSWORD", "from the environment"), ("PGPASSFILE", str(file))):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            got = await received_by((b"", clear), lambda port: _postgres(port, ""))
        assert b"p\0\0\0\x05\0" in got  # an empty one
        assert value.encode() not in got
        assert b"from a file" not in got
    assert b"sesame\0" in await received_by((b"", clear), lambda port: _postgres(port, ":sesame"))


def _postgres(port: int, password: str) -> Database:
    return database(Postgres, f"postgresql://reader{password}@127.0.0.1:{port}/n", connect_timeout_ms=500)
