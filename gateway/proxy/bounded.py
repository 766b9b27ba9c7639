"""A response that is kept in memory as a whole may have so many bytes and no more: what is larger is cut.

The upstream did what it was asked for, so the reason is one of the gateway's own, which teaches no breaker. A response
may also be there before its body ends: an upstream that leaves the stream open holds up nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink, Source
from gateway.errors import ANSWER_TOO_LARGE, INTERNAL, GatewayError
from gateway.proxy.reply import Relay
from gateway.wire.memory import MemoryStream

GRACE: Final = 0.25
"""Seconds that the upstream has to end a body in which nothing more is expected: its connection is used again then."""


class EnoughError(GatewayError):
    """The rest of a response is not waited for: the exchange is good, and its connection is given up."""

    def __init__(self) -> None:
        super().__init__(INTERNAL, "The response is there, and its body has not ended")


def _error(most: int) -> GatewayError:
    return GatewayError(ANSWER_TOO_LARGE, f"The response has more than the {most} bytes that its action takes")


class BoundedRelay(Relay):
    """A `Relay` that takes bodies of at most ``treatment.most`` bytes."""

    __slots__ = ()

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """As `Relay.begin`. A length that is announced and too large is rejected before anything is committed."""
        most = self.treatment.most
        if head.length <= most:
            down = self.exchange.downstream
            enough = partial(down.enough, down) if isinstance(down, MemoryStream) and down.enough else None
            return Bounded(super().begin(head, source), self.stream, most, enough)
        nowhere = Bounded(None, self.stream, most)
        nowhere.overflow()
        return nowhere


class Bounded:
    """A `gateway.core.stream.Sink` that gives ``most`` bytes to ``sink``, and fails ``stream`` when more come.

    ``sink`` None: nothing is given on. ``enough``: whether the response is there; None: with the end of its body.
    """

    __slots__ = (
        "_enough",
        "_exceeded",
        "_over",
        "_sink",
        "_stream",
        "_timer",
        "blocked",
        "body_out",
        "full",
        "most",
        "takes_chunks",
    )

    def __init__(
        self, sink: Sink | None, stream: ClientStream, most: int, enough: Callable[[], bool] | None = None
    ) -> None:
        self._sink = sink
        self._stream = stream
        self.most = most
        self._enough = enough
        self._timer: asyncio.TimerHandle | None = None
        """Runs while the response is there and its body has not ended."""
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
            if self._enough is not None and self._timer is None and self._enough():
                self._timer = asyncio.get_running_loop().call_later(GRACE, self._stop)

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
        if self._timer is not None:
            self._timer.cancel()
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

    def _stop(self) -> None:
        """The rest is not waited for. A stream that has failed meanwhile ignores it."""
        if not self._over and self._sink is not None:
            self._over = True
            self._sink.end([])
            self._stream.fail(EnoughError())

    def _exceed(self) -> None:
        if not self._exceeded:
            self._exceeded = True
            # Not within this read, whose rest the stream has yet to look at.
            asyncio.get_running_loop().call_soon(self.overflow)
