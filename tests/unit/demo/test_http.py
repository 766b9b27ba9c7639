"""The sidecar's HTTP/1.1: requests read from a fed stream, and connections on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.demo.http import MAX_BODY, Connection, Request, read_request


async def read(raw: bytes) -> Request:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    return await read_request(reader)


async def test_a_request_is_taken_apart() -> None:
    request = await read(b"GET /slow?seconds=2&x=%20 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert request == Request("GET", "/slow", {"seconds": ["2"], "x": [" "]}, b"")
    assert request.number("seconds", 1) == 2
    assert request.number("n", 20) == 20
    with pytest.raises(ValueError, match=r".+"):
        request.number("x", 1)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (b"content-length:0\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\nTrailer: t\r\n\r\n", b""),
    ],
)
async def test_a_body_comes_whole(framing: bytes, body: bytes) -> None:
    assert (await read(b"POST /echo HTTP/1.1\r\n" + framing)).body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY + 1),
    ],
)
async def test_what_is_beyond_it_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await read(raw)


async def test_a_connection_that_ends_in_mid_request_is_incomplete() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")


Serve = Callable[[Request, Connection], Awaitable[None]]
Dial = Callable[[Serve], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Serves with the given function and gives a client's streams to it."""
    live: set[Connection] = set()
    opened: list[tuple[asyncio.Server, asyncio.StreamWriter]] = []

    async def start(serve: Serve) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = await asyncio.get_running_loop().create_server(lambda: Connection(serve, live), "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        opened.append((server, writer))
        return reader, writer

    yield start
    tasks = [connection.task for connection in live]
    for server, writer in opened:
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_requests_on_one_connection_are_answered_in_turn(dial: Dial) -> None:
    async def serve(request: Request, connection: Connection) -> None:
        connection.reply(200, {"path": request.path})

    reader, writer = await dial(serve)
    for path in (b"/a", b"/b"):
        writer.write(b"GET " + path + b" HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readline() == b'{"path": "' + path + b'"}\n'


async def test_a_stream_goes_out_chunk_by_chunk(dial: Dial) -> None:
    go_on = asyncio.Event()

    async def serve(request: Request, connection: Connection) -> None:
        connection.begin_stream("text/event-stream")
        connection.chunk(b"first")
        await go_on.wait()
        connection.chunk(b"")

    reader, writer = await dial(serve)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(10) == b"5\r\nfirst\r\n"
    go_on.set()
    assert await reader.readexactly(5) == b"0\r\n\r\n"


async def test_nonsense_is_answered_with_400_and_the_end(dial: Dial) -> None:
    async def serve(request: Request, connection: Connection) -> None:
        raise AssertionError("nothing to serve")

    reader, writer = await dial(serve)
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_a_client_that_leaves_cancels_its_request(dial: Dial) -> None:
    inside, cancelled = asyncio.Event(), asyncio.Event()

    async def serve(request: Request, connection: Connection) -> None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    _, writer = await dial(serve)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await inside.wait()
    writer.close()
    await asyncio.wait_for(cancelled.wait(), 5)
