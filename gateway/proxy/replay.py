"""The body of a request that is relayed as it comes, for attempts one after the other: what the first one was given is
kept, so that the next can have it.

It stands between the caller's stream, whose body it takes once, and the endpoint's stream of the attempt that runs.
While none runs, the caller is held, as by an endpoint that takes nothing. What is kept counts in the budget of the
relay buffers; a body that outgrows its bound is relayed on, and no longer kept.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.stream import ClientStream, ServerStream, Source
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool


class _Feed:
    """The `gateway.core.stream.Source` of one attempt: an endpoint of an earlier one has no say any more."""

    __slots__ = ("_caller", "_replay")

    def __init__(self, replay: Replay, caller: ServerStream) -> None:
        self._replay = replay
        self._caller = caller

    def hold(self) -> None:
        if self._replay.feed is self:
            self._caller.hold()

    def resume(self) -> None:
        if self._replay.feed is self:
            self._caller.resume()


class Replay:
    """A `gateway.core.stream.BodySink` in front of those of the attempts."""

    __slots__ = (
        "_begun",
        "_buffers",
        "_caller",
        "_complete",
        "_failure",
        "_kept",
        "_length",
        "_most",
        "_on_end",
        "_size",
        "_target",
        "_trailers",
        "feed",
        "given",
    )

    def __init__(self, caller: ServerStream, buffers: BufferPool, most: int) -> None:
        """``most``: bytes that are kept at most."""
        self._caller = caller
        self._buffers = buffers
        self._most = most
        self._kept: list[bytes] | None = []
        """What came so far; None: it is kept no longer."""
        self._size = 0
        self._length = 0
        self._begun = False
        self._complete = False
        """All of it came."""
        self._trailers: list[bytes] = []
        self._failure: GatewayError | None = None
        """Of the caller's side, while no attempt ran."""
        self._target: ClientStream | None = None
        self._on_end: Callable[[], None] | None = None
        self.feed: _Feed | None = None
        """Of the attempt that runs."""
        self.given = False
        """The attempt that runs has all of it, or the last one had."""

    @property
    def whole(self) -> bool:
        """Everything that came is kept: another attempt can have it."""
        return self._kept is not None

    def attach(self, target: ClientStream, on_end: Callable[[], None]) -> None:
        """An attempt begins: ``target`` gets all from the beginning; ``on_end`` is called after its last byte."""
        self.feed = feed = _Feed(self, self._caller)
        self._target, self._on_end, self.given = target, on_end, False
        if not self._begun:
            self._begun = True
            self._caller.pipe(self, self._ended)
            return
        target.begin_body(feed, self._length)
        if self._kept:
            target.data(memoryview(b"".join(self._kept)), pooled=False)
        if self._failure is not None:
            target.fail(self._failure)
        elif self._complete:
            target.end(self._trailers)
            self._ended()
        elif not target.full:
            self._caller.resume()

    def detach(self) -> None:
        """The attempt is over."""
        if self._target is not None and not self._complete:
            self._caller.hold()
        self._target = self._on_end = self.feed = None

    def forget(self) -> None:
        """No other attempt follows: nothing is kept any more."""
        self._kept = None
        self._buffers.let_go(self._size)
        self._size = 0

    # -- a sink

    @property
    def full(self) -> bool:
        """As `BodySink.full`. What comes while no attempt runs waits at the caller's stream."""
        return self._target is None or self._target.full

    @property
    def body_idle(self) -> float:
        """As `BodySink.body_idle`."""
        return 0.0 if self._target is None else self._target.body_idle

    def begin_body(self, source: Source, length: int) -> None:
        """As `BodySink.begin_body`; ``source`` is the caller's stream, which is known."""
        del source
        self._length = length
        assert self._target is not None, "it is called within `attach`"
        assert self.feed is not None
        self._target.begin_body(self.feed, length)

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `BodySink.data`."""
        self._keep((piece,))
        if self._target is not None:
            self._target.data(piece, pooled=pooled)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `BodySink.pieces`."""
        self._keep(parts)
        if self._target is not None:
            self._target.pieces(parts, pooled=pooled)

    def end(self, trailers: list[bytes]) -> None:
        """As `BodySink.end`."""
        self._complete = True
        self._trailers = trailers
        if self._target is not None:
            self._target.end(trailers)

    def fail(self, error: GatewayError) -> None:
        """As `BodySink.fail`."""
        if self._target is not None:
            self._target.fail(error)
        else:
            self._failure = error

    def _ended(self) -> None:
        if self._on_end is not None:
            self.given = True
            self._on_end()

    def _keep(self, parts: list[memoryview] | tuple[memoryview, ...]) -> None:
        if self._kept is None:
            return
        size = sum(map(len, parts))
        if self._size + size > self._most or not self._buffers.keep(size):
            self.forget()
            return
        self._size += size
        self._kept.extend(map(bytes, parts))
