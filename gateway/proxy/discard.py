"""The body of a response that the caller does not get, because the request is sent again.

A short one is read to its end, so that its connection serves another request. A long one, or one that does not come, is
not worth the wait: it is broken off.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.core.stream import ClientStream
from gateway.errors import UPSTREAM_RESET, GatewayError

MOST_BYTES: Final = 65536
"""A new connection costs about as much as reading so much."""
MOST_SECONDS: Final = 0.1


class Discard:
    """A `gateway.core.stream.Sink` that forgets what it takes."""

    __slots__ = ("_left", "_loop", "_stream", "_timer", "blocked", "body_out", "full", "over", "takes_chunks")

    def __init__(self, stream: ClientStream, *, worth: bool) -> None:
        """``worth``: the connection of ``stream`` may serve another request behind this response."""
        self._stream = stream
        self._left = MOST_BYTES if worth else 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.full = self.takes_chunks = False
        self.body_out = 0
        self.blocked = 0.0
        self.over = False

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        del pooled
        self.body_out += len(piece)
        self.flush()

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`."""
        del pooled
        self.body_out += sum(map(len, parts))
        self.flush()

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("what is discarded takes no chunks")

    def flush(self) -> None:
        """As `Sink.flush`: this is not the end, so time counts from now on."""
        if self.body_out >= self._left:
            # Not within this read, whose rest the stream has yet to look at.
            self._loop.call_soon(self.give_up)
        elif self._timer is None:
            self._timer = self._loop.call_later(MOST_SECONDS, self.give_up)

    def end(self, trailers: list[bytes]) -> None:
        """As `Sink.end`."""
        del trailers
        self.close()

    def ended(self) -> None:
        raise AssertionError("what is discarded takes no chunks")

    def whole(self, body: memoryview) -> None:
        """As `Sink.whole`."""
        del body
        self.close()

    def close(self) -> None:
        """The response has ended, or its attempt has."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def give_up(self) -> None:
        """Break the response off, unless it has ended."""
        if not self.over:
            self.close()
            self._stream.fail(GatewayError(UPSTREAM_RESET, "The rest of a response that is not used is not awaited"))
