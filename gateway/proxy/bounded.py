"""A response that is kept in memory as a whole may have so many bytes and no more: what is larger is cut.

The upstream did what it was asked for, so the reason is one of the gateway's own, which teaches no breaker.
"""

from __future__ import annotations

import asyncio

from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink, Source
from gateway.errors import ANSWER_TOO_LARGE, GatewayError
from gateway.proxy.reply import Relay


def _error(most: int) -> GatewayError:
    return GatewayError(ANSWER_TOO_LARGE, f"The response has more than the {most} bytes that its action takes")


class BoundedRelay(Relay):
    """A `Relay` that takes bodies of at most ``treatment.most`` bytes."""

    __slots__ = ()

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """As `Relay.begin`. A length that is announced and too large is rejected before anything is committed."""
        most = self.treatment.most
        if head.length <= most:
            return Bounded(super().begin(head, source), self.stream, most)
        nowhere = Bounded(None, self.stream, most)
        nowhere.overflow()
        return nowhere


class Bounded:
    """A `gateway.core.stream.Sink` that gives ``most`` bytes to ``sink``, and fails ``stream`` when more come.

    ``sink`` None: nothing is given on.
    """

    __slots__ = ("_exceeded", "_over", "_sink", "_stream", "blocked", "body_out", "full", "most", "takes_chunks")

    def __init__(self, sink: Sink | None, stream: ClientStream, most: int) -> None:
        self._sink = sink
        self._stream = stream
        self.most = most
        self._exceeded = self._over = False
        self.full = self.takes_chunks = False
        self.body_out = 0
        self.blocked = 0.0

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        self.body_out += len(piece)
        if self.body_out > self.most:
            self._exceed()
        elif self._sink is not None:
            self._sink.data(piece, pooled=pooled)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`."""
        for part in parts:
            self.data(part, pooled=pooled)

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("what is counted takes no chunks")

    def flush(self) -> None:
        """As `Sink.flush`."""
        if self._sink is not None:
            self._sink.flush()

    def end(self, trailers: list[bytes]) -> None:
        """As `Sink.end`."""
        if self._exceeded:
            self.overflow()  # the stream is about to take the response for a good one
        elif self._sink is not None:
            self._sink.end(trailers)

    def ended(self) -> None:
        raise AssertionError("what is counted takes no chunks")

    def whole(self, body: memoryview) -> None:
        """As `Sink.whole`."""
        self.data(body, pooled=False)
        self.end([])

    def overflow(self) -> None:
        """Fail the stream, once: its connection may serve others afterwards."""
        if not self._over:
            self._over = True
            self._stream.fail(_error(self.most))

    def _exceed(self) -> None:
        if not self._exceeded:
            self._exceeded = True
            # Not within this read, whose rest the stream has yet to look at.
            asyncio.get_running_loop().call_soon(self.overflow)
