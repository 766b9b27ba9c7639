"""Holds the head of a stream of events back until its first event, so that another attempt may take its place.

An endpoint whose work hangs often sends the head at once, and then comments. Once the caller has that head, no other
attempt can serve the request. Only proxies that list ``stall`` pay for this: their callers get the head later.

    held --first data, the end, or more than HELD_BYTES--> released: the caller gets the head and what was held
      any --the attempt fails--> forgotten: the caller has nothing of it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.stream import Sink
from gateway.proxy.pass_through import PassThrough

HELD_BYTES: Final = 16384
"""Of comments and fields before the first data. What sends more gets its head through: memory is bounded."""


class HeldHead(PassThrough):
    """The `gateway.core.stream.Sink` of a response that its caller does not have yet. `release` is idempotent."""

    __slots__ = ("_begin", "_held")

    def __init__(self, down: Sink, begin: Callable[[], None]) -> None:
        """``begin``: gives the head to the caller, whose stream is ``down``."""
        super().__init__(down)
        self._begin = begin
        self._held: bytearray | None = bytearray()

    @property
    def full(self) -> bool:
        """As `Sink.full`. What is held has a bound of its own."""
        return self._held is None and self._sink.full

    @property
    def body_out(self) -> int:
        """As `Sink.body_out`. The number of the sink is that of the message before, until this one begins."""
        return 0 if self._held is not None else self._sink.body_out

    @property
    def blocked(self) -> float:
        """As `Sink.blocked`, and as `body_out`."""
        return 0.0 if self._held is not None else self._sink.blocked

    def release(self) -> None:
        """Commit: the head and what was held go to the caller."""
        held, self._held = self._held, None
        if held is None:
            return
        self._begin()
        if held:
            self._sink.data(memoryview(bytes(held)), pooled=False)

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        if not self._keeps((piece,)):
            self._sink.data(piece, pooled=pooled)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`."""
        if not self._keeps(parts):
            self._sink.pieces(parts, pooled=pooled)

    def flush(self) -> None:
        """As `Sink.flush`."""
        if self._held is None:
            self._sink.flush()

    def end(self, trailers: list[bytes]) -> None:
        """As `Sink.end`. A stream without events is a response too."""
        self.release()
        self._sink.end(trailers)

    def whole(self, body: memoryview) -> None:
        raise NotImplementedError  # a response that is there as a whole is not held

    def _keeps(self, parts: list[memoryview] | tuple[memoryview, ...]) -> bool:
        if self._held is None:
            return False
        if len(self._held) + sum(map(len, parts)) > HELD_BYTES:
            self.release()
            return False
        for part in parts:
            self._held += part
        return True
