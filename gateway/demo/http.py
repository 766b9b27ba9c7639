"""The little HTTP/1.1 that the demo's sidecar speaks: keep-alive, bodies by Content-Length or chunked, no more.

It stands beside the gateway's own wire code on purpose: the back end of a demo should not share its faults.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes

    def number(self, name: str, default: float) -> float:
        """The query's value of ``name``; ValueError when it is not a number."""
        return float(self.query.get(name, [str(default)])[0])


Serve = Callable[[Request, "Connection"], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One connection: reads requests one after another and hands each to ``serve``, which answers through it.

    When the client goes away, ``serve`` is cancelled at its next await. ``connections`` holds the live ones.
    """

    def __init__(self, serve: Serve, connections: set[Connection]) -> None:
        self._serve = serve
        self._connections = connections
        self._reader = asyncio.StreamReader()
        self._transport: asyncio.Transport
        self.task: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reader.set_transport(transport)
        self._connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._run(), name="demo sidecar connection")

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        self._reader.feed_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.task.cancel()
        self._connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    async def _run(self) -> None:
        try:
            while True:
                await self._serve(await read_request(self._reader), self)
        except asyncio.IncompleteReadError:
            pass
        except (ValueError, asyncio.LimitOverrunError):
            self.reply(400, {"error": "this request is beyond the sidecar"})
        finally:
            self._transport.close()

    def reply(self, status: int, document: Mapping[str, object]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self._head(status, "application/json", f"Content-Length: {len(body)}")
        self._transport.write(body)

    def begin_stream(self, content_type: str) -> None:
        self._head(200, content_type, "Cache-Control: no-cache\r\nTransfer-Encoding: chunked")

    def chunk(self, data: bytes) -> None:
        """Send a chunk; an empty one ends the stream."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _head(self, status: int, content_type: str, framing: str) -> None:
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
        self._transport.write(f"{line}\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n".encode())


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request. IncompleteReadError at the end of the connection, ValueError when it is beyond us."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip().split("\r\n")
    method, target, _ = request_line.split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    url = urlsplit(target)
    return Request(method, url.path, parse_qs(url.query), await read_body(reader, fields))


async def read_body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    """The body by Content-Length or in chunks (RFC 9112, 6 and 7.1; trailers are dropped), `MAX_BODY` bytes at most."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await read_chunks(reader)
    return await reader.readexactly(_bounded(int(fields.get("content-length", "0"))))


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        _bounded(len(body) + size)
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def _bounded(length: int) -> int:
    if not 0 <= length <= MAX_BODY:
        raise ValueError(f"a body of {length} bytes")
    return length
