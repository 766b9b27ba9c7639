"""Gives the upstream of a fallback a request in which another model is named.

The body is needed as a whole for it. Where nothing was taken of it yet, as behind an open breaker, it is collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead, ResponseHead
from gateway.core.stream import Source
from gateway.errors import GatewayError
from gateway.proxy.json_member import with_member

MOST_BYTES: Final = 1_048_576
"""Of a body that is collected."""
_CONTINUE: Final = ResponseHead(100, b"Continue", 1, [], {}, 0, True)
_LENGTH: Final = b"content-length"
_DIGESTS: Final = (b"content-digest", b"content-md5", b"digest", b"repr-digest")
"""Fields that speak of the bytes of the body (RFC 9530, RFC 1864)."""

BodyRewrite = Callable[[Exchange], Awaitable[None]]


def rewrite_of(members: tuple[tuple[str, str], ...]) -> BodyRewrite | None:
    """What puts ``members``, names and texts, into the JSON object that is the body of a request; None: there are none.

    A body that is no JSON object, or is compressed, stays as it is. Raises `GatewayError` when a body does not come.
    """
    if not members:
        return None

    async def rewrite(ex: Exchange) -> None:
        if not ex.request.length:
            return
        if ex.body is None:
            ex.body = await _collected(ex)
        body: bytes | None = ex.body
        for name, value in members:
            body = with_member(body, name, value) if body is not None else None
        if body is not None:
            ex.body = body
            ex.request = _having_length(ex.request, len(body))

    return rewrite


def is_possible(ex: Exchange) -> bool:
    """The body is there, or can be collected: its length is known, and not too much."""
    return ex.body is not None or 0 <= ex.request.length <= MOST_BYTES


def bytes_to_collect(ex: Exchange) -> int:
    """How many bytes of the body are yet to come into memory; 0: none."""
    return 0 if ex.body is not None else max(0, ex.request.length)


async def _collected(ex: Exchange) -> bytes:
    down = ex.downstream
    body = down.take_body()
    if body is not None:
        return body
    if down.awaits_continue:
        down.interim(_CONTINUE)
    collector = _Collector(asyncio.get_running_loop().create_future())
    down.pipe(collector, collector.on_end)
    try:
        return await collector.done
    except BaseException:
        down.stop_body()
        raise


class _Collector:
    """A `gateway.core.stream.BodySink`."""

    __slots__ = ("_parts", "body_idle", "done", "full")

    def __init__(self, done: asyncio.Future[bytes]) -> None:
        self.done = done
        self._parts: list[bytes] = []
        self.full = False
        self.body_idle = 0.0

    def begin_body(self, source: Source, length: int) -> None:
        """As `BodySink.begin_body`: nothing is to be prepared."""
        del source, length

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `BodySink.data`."""
        del pooled
        self._parts.append(bytes(piece))

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `BodySink.pieces`."""
        del pooled
        self._parts.extend(map(bytes, parts))

    def end(self, trailers: list[bytes]) -> None:
        """As `BodySink.end`. A body of known length has no trailers in HTTP/1.1; those of HTTP/2 are dropped."""
        del trailers

    def fail(self, error: GatewayError) -> None:
        """As `BodySink.fail`."""
        if not self.done.done():
            self.done.set_exception(error)

    def on_end(self) -> None:
        """The body is complete."""
        if not self.done.done():
            self.done.set_result(b"".join(self._parts))


def _having_length(head: RequestHead, length: int) -> RequestHead:
    """The head of a body that is so long now; fields that describe the bytes of the former one are left out."""
    lines = [b"Content-Length: %d" % length if _name(line) == _LENGTH else line for line in head.fields]
    kept = [line for line in lines if _name(line) not in _DIGESTS]
    known = {**head.known, _LENGTH: b"%d" % length}
    return RequestHead(head.method, head.target, head.minor, kept, known, length, head.keep_alive, head.claims)


def _name(line: bytes) -> bytes:
    return line[: line.find(b":")].lower()
