"""Takes the body of a request as a whole, for what has to read it before it can go on."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import Source
from gateway.errors import BODY_TOO_LARGE, GatewayError

_CONTINUE: Final = ResponseHead(100, b"Continue", 1, [], {}, 0, True)


async def collected(ex: Exchange, most: int) -> bytes:
    """The body of the request of ``ex``, of which nothing was taken yet.

    Raises `GatewayError`: it does not come, or has more than ``most`` bytes.
    """
    if ex.request.length > most:
        raise _too_large(most)
    down = ex.downstream
    body = down.take_body()
    if body is not None:
        return body
    if down.awaits_continue:
        down.interim(_CONTINUE)
    collector = _Collector(asyncio.get_running_loop().create_future(), most)
    down.pipe(collector, collector.on_end)
    try:
        return await collector.done
    except BaseException:
        down.stop_body()
        raise


def _too_large(most: int) -> GatewayError:
    return GatewayError(BODY_TOO_LARGE, f"The request body exceeds {most} bytes")


class _Collector:
    """A `gateway.core.stream.BodySink`."""

    __slots__ = ("_left", "_most", "_parts", "body_idle", "done", "full")

    def __init__(self, done: asyncio.Future[bytes], most: int) -> None:
        self.done = done
        self._most = self._left = most
        self._parts: list[bytes] = []
        self.full = False
        self.body_idle = 0.0

    def begin_body(self, source: Source, length: int) -> None:
        """As `BodySink.begin_body`: nothing is to be prepared."""
        del source, length

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `BodySink.data`."""
        del pooled
        self._left -= len(piece)
        if self._left >= 0:
            self._parts.append(bytes(piece))
        else:
            self.fail(_too_large(self._most))

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `BodySink.pieces`."""
        for part in parts:
            self.data(part, pooled=pooled)

    def end(self, trailers: list[bytes]) -> None:
        """As `BodySink.end`. What takes a whole body has no use for trailers."""
        del trailers

    def fail(self, error: GatewayError) -> None:
        """As `BodySink.fail`."""
        if not self.done.done():
            self.done.set_exception(error)

    def on_end(self) -> None:
        """The body is complete."""
        if not self.done.done():
            self.done.set_result(b"".join(self._parts))
