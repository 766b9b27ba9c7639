"""A request that no socket brought, and its response in memory: a `gateway.core.stream.ServerStream`.

A `PieceStream` has a part of the response at a time, as its taker takes them.

For exchanges that the gateway makes by itself: they run through the same layers as those of callers.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from gateway.core.limits import Limits
from gateway.core.message import ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import BodySink, ClientStream, Source, Trailer, Tunnel

Enough = Callable[["MemoryStream"], bool]
"""Whether the response is there, although its body has not ended. It is asked after each piece."""


class MemoryStream:
    """The request's body is whole from the beginning. Nothing is slow here: the stream is never full."""

    __slots__ = (
        "_body",
        "_trailer",
        "body_out",
        "complete",
        "enough",
        "full",
        "given",
        "head",
        "interims",
        "limits",
        "lines",
        "peer",
        "received",
        "status",
        "takes_chunks",
        "trailers",
        "tunnel",
        "waited",
    )

    def __init__(self, peer: Peer, limits: Limits, body: bytes = b"", enough: Enough | None = None) -> None:
        self.peer = peer
        self.enough = enough
        """None: the response is all that the upstream sends."""
        self.limits = limits
        self._body: bytes | None = body or None
        self._trailer: Trailer | None = None
        self.tunnel: Tunnel | None = None
        self.full = False
        self.takes_chunks = False
        self.body_out = 0
        self.waited = 0.0
        """Seconds for which it was full, in waits that are over."""
        self.interims: list[ResponseHead] = []
        """The 1xx responses."""
        self.status = 0
        """Of the final response; 0: it has not begun."""
        self.head: ResponseHead | None = None
        """Of the upstream's response; None: the response is the gateway's own."""
        self.lines = b""
        """Field lines besides those of `head`, each ended by CRLF."""
        self.received = bytearray()
        """The response's body."""
        self.trailers: list[bytes] = []
        self.complete = False
        """The response has ended, and was not cut."""
        self.given = False
        """A part of the response has to go before the rest can come, so that there is no other attempt."""

    def again(self, body: bytes, enough: Enough | None = None) -> MemoryStream:
        """One for another attempt."""
        return MemoryStream(self.peer, self.limits, body, enough)

    @property
    def blocked(self) -> float:
        """As `Sink.blocked`."""
        return self.waited

    # -- the request's body

    @property
    def body_complete(self) -> bool:
        return self._body is None

    @property
    def awaits_continue(self) -> bool:
        return False

    def take_body(self) -> bytes | None:
        body, self._body = self._body, None
        return body

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
        body = self.take_body() or b""
        sink.begin_body(self, len(body))
        if body:
            sink.data(memoryview(body), pooled=False)
        sink.end([])
        on_end()

    def stop_body(self) -> None:
        self._body = None

    def hold(self) -> None:
        """The body is one piece, which the sink has."""

    def resume(self) -> None:
        """As `hold`."""

    # -- the response

    def interim(self, head: ResponseHead) -> None:
        self.interims.append(head)

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        del source  # it is never held
        self.status = head.status
        self.head = head
        self.lines = lines
        self._trailer = trailer

    def switch(self, head: ResponseHead, lines: bytes, far: ClientStream) -> None:
        raise AssertionError("a stream in memory asks for no other protocol")

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.stop_body()
        self.status = status
        self.lines = lines
        self.whole(memoryview(body))

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        del pooled  # it is copied
        self.received += piece
        self.body_out += len(piece)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        for part in parts:
            self.data(part, pooled=pooled)

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("a stream in memory takes no chunks")

    def flush(self) -> None:
        """The head is there already."""

    def end(self, trailers: list[bytes]) -> None:
        self.trailers = trailers if self._trailer is None else [*trailers, self._trailer.line()]
        self._trailer = None  # it leads back to this stream
        self.complete = True

    def ended(self) -> None:
        raise AssertionError("a stream in memory takes no chunks")

    def whole(self, body: memoryview) -> None:
        self.data(body, pooled=False)
        self.end([])

    async def sent(self) -> float:
        return self.blocked

    def cut(self) -> None:
        self.complete = False
        self._trailer = None


class PieceStream(MemoryStream):
    """From ``window`` bytes on the upstream waits until they are taken. ``changed`` is called when there is more to
    take, and at the end."""

    __slots__ = ("_changed", "_full_since", "_source", "_window")

    def __init__(self, peer: Peer, limits: Limits, body: bytes, window: int, changed: Callable[[], None]) -> None:
        super().__init__(peer, limits, body)
        self._window = window
        self._changed = changed
        self._full_since = 0.0
        self._source: Source | None = None

    @property
    def blocked(self) -> float:
        """As `Sink.blocked`, with the wait that is going on."""
        return self.waited + (monotonic() - self._full_since if self.full else 0.0)

    def again(self, body: bytes, enough: Enough | None = None) -> MemoryStream:
        del enough  # as in the first attempt
        return PieceStream(self.peer, self.limits, body, self._window, self._changed)

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        super().begin(head, lines, None, trailer)
        self._source = source

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        super().data(piece, pooled=pooled)
        if not self.full and len(self.received) >= self._window:
            self.full = self.given = True
            self._full_since = monotonic()
            if self._source is not None:
                self._source.hold()
        if self.given:
            self._changed()

    def end(self, trailers: list[bytes]) -> None:
        super().end(trailers)
        self._over()

    def cut(self) -> None:
        super().cut()
        self._over()

    def _over(self) -> None:
        """The upstream waits for nothing any more, however long the rest is not taken."""
        self._no_longer_full()
        self._source = None
        self._changed()

    def _no_longer_full(self) -> None:
        self.waited = self.blocked
        self.full = False

    def take(self) -> bytes:
        """What has come since the last call; the upstream may send more."""
        piece = bytes(self.received)
        self.received.clear()
        if self.full:
            self._no_longer_full()
            if self._source is not None:
                self._source.resume()
        return piece
