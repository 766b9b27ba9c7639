"""RESP3 over a real socket: every kind of reply, in pieces, and bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.connectors.connector import TooLargeError
from gateway.connectors.resp import ProtocolError, ReplyError, RespConnection


@asynccontextmanager
async def talking(reply: bytes, *, piece: int = 0) -> AsyncIterator[tuple[RespConnection, list[bytes]]]:
    """A connection to a server that answers all with ``reply``, in pieces of ``piece`` bytes; 0: as a whole."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            got.append(data)
            for at in range(0, len(reply), piece or len(reply)):
                writer.write(reply[at : at + (piece or len(reply))])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = await RespConnection.open("127.0.0.1", server.sockets[0].getsockname()[1], None)
    yield connection, got
    connection.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":-7\r\n", -7),
        (b"$3\r\na\r\n\r\n", b"a\r\n"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"_\r\n", None),
        (b"#t\r\n", True),
        (b"#f\r\n", False),
        (b",1.5\r\n", 1.5),
        (b"(12345678901234567890123\r\n", "12345678901234567890123"),
        (b"=5\r\ntxt:a\r\n", b"a"),
        (b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", [1, [b"x"]]),
        (b"(-7\r\n", "-7"),
        (b"(" + b"9" * 5000 + b"\r\n", "9" * 5000),
        (b"*-1\r\n", None),
        (b">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n:5\r\n", 5),
        (b"*1\r\n|1\r\n+ttl\r\n:9\r\n:5\r\n", [5]),
        (b"~1\r\n:1\r\n", [1]),
        (b"%2\r\n$1\r\na\r\n:1\r\n:2\r\n+b\r\n", {"a": 1, "2": "b"}),
    ],
)
async def test_each_kind_of_reply(reply: bytes, value: object, piece: int) -> None:
    async with talking(reply, piece=piece) as (connection, _):
        assert await connection.call(["GET", "x"], 10_000) == value
        assert connection.usable
        assert await connection.call(["GET", "x"], 10_000) == value


async def test_an_argument_is_one_string_whatever_it_holds() -> None:
    async with talking(b"+OK\r\n") as (connection, got):
        await connection.call(["SET", "a\r\nFLUSHALL\r\n", b"\x00\xff", ""], 1000)
        assert got == [b"*4\r\n$3\r\nSET\r\n$13\r\na\r\nFLUSHALL\r\n\r\n$2\r\n\x00\xff\r\n$0\r\n\r\n"]


@pytest.mark.parametrize("reply", [b"-ERR no such thing\r\n", b"!17\r\nERR no such thing\r\n"])
async def test_an_error_leaves_a_connection_that_works(reply: bytes) -> None:
    async with talking(reply) as (connection, _):
        with pytest.raises(ReplyError) as error:
            await connection.call(["X"], 1000)
        assert (error.value.code, error.value.message) == ("ERR", "no such thing")
        assert connection.usable


@pytest.mark.parametrize(
    "reply", [b"$1000000000\r\n", b"*2\r\n$60\r\n" + b"a" * 60 + b"\r\n$60\r\n", b"*9\r\n" + b":1\r\n" * 9]
)
async def test_what_is_too_large_is_not_read(reply: bytes) -> None:
    async with talking(reply) as (connection, _):
        with pytest.raises(TooLargeError):
            await connection.call(["X"], 200)
        assert not connection.usable


@pytest.mark.parametrize(
    "reply",
    [
        *(b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b":\r\n", b"*1\r\n" * 20, b"+" + b"a" * 200_000),
        *(b"(x\r\n", b"(\r\n", b",x\r\n", b">0\r\n" * 20),
    ],
)
async def test_what_is_no_reply_is_a_failure(reply: bytes) -> None:
    async with talking(reply) as (connection, _):
        with pytest.raises((ProtocolError, TooLargeError)):
            await connection.call(["X"], 100_000)
        assert not connection.usable


async def test_a_server_that_leaves_is_a_failure() -> None:
    leave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None] = lambda reader, writer: writer.close()  # noqa: E731
    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    connection = await RespConnection.open("127.0.0.1", server.sockets[0].getsockname()[1], None)
    with pytest.raises((EOFError, OSError)):
        await connection.call(["X"], 1000)
    assert not connection.usable
    connection.close()
    server.close()


async def test_a_call_that_is_cancelled_leaves_a_connection_that_is_not_used() -> None:
    async with talking(b"$5\r\nab") as (connection, _):
        task = asyncio.ensure_future(connection.call(["X"], 1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.usable
