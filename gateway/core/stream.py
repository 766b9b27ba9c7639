"""The interfaces at which everything on the wire meets: one request is a stream, on any protocol and on none.

    caller -> ServerStream -> the chain of layers -> ClientStream -> endpoint
              ServerStream <- Reply.begin          <- ClientStream

A body flows from a `Source` to a `Sink` inside the callbacks of the event loop, and no task wakes up for a piece of it.
A sink that is full calls `Source.hold`, and `Source.resume` when it takes bytes again. So a `ServerStream` is the
source of the request's body and the sink of the response's, and a `ClientStream` the other way round.

HTTP/1.1 serves one request at a time on a connection. There the connection itself is the stream of the request that
runs, because a second object would hold nothing of its own and cost time at each request and each streamed frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.core.limits import Limits
from gateway.core.message import OutgoingRequest, ResponseHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError, Reason


class Source(Protocol):
    """Sends a body."""

    def hold(self) -> None:
        """The sink is full: send nothing until `resume`."""
        ...

    def resume(self) -> None: ...


class Sink(Protocol):
    """Takes a body, and frames it as its protocol wants it. Writes at once what the kernel takes at once."""

    full: bool
    """Bytes that were written wait for the peer."""
    takes_chunks: bool
    """Chunks of HTTP/1.1 may be passed through as they came, by `chunks`."""
    body_out: int
    """Bytes of payload taken in the current message."""
    blocked: float
    """Seconds for which the peer was too slow in the current message."""

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """A piece of the body. ``pooled``: it lies in the current buffer of the pool, which may be lent to the
        transport instead of copied."""
        ...

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """What one read brought, in the order in which it came."""
        ...

    def chunks(self, raw: bytes, size: int) -> None:
        """Whole chunks with ``size`` bytes of payload; only when `takes_chunks`."""
        ...

    def flush(self) -> None:
        """Send the head now: it does not wait for the first piece."""
        ...

    def end(self, trailers: list[bytes]) -> None:
        """The body is complete. ``trailers``: field lines without CRLF."""
        ...

    def ended(self) -> None:
        """The body is complete, and its end was among the `chunks`."""
        ...

    def whole(self, body: memoryview) -> None:
        """The body, complete and in one piece: instead of `data` and `end`."""
        ...


class Reply(Protocol):
    """What a `ClientStream` gives its response to."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response."""
        ...

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """The final response: the sink of its body, which comes from ``source``; None: it is there already."""
        ...


class ClientStream(Sink, Source, Protocol):
    """A request to an endpoint, and its response."""

    first_byte_at: float
    """When the first byte of the final response came (monotonic clock, seconds); 0.0: none has come."""
    last_byte_at: float
    """When the newest bytes came."""

    def send(
        self, request: OutgoingRequest, lines: bytes, body: bytes, reply: Reply, limits: Limits
    ) -> Awaitable[None]:
        """Send the head and a ``body`` that is complete; the result is there with the last byte of the response.

        ``lines``: more field lines, each ended by CRLF. ``limits``: bounds of the response. Awaiting it raises
        `GatewayError`.
        """
        ...

    def begin_body(self, source: Source, length: int) -> None:
        """The body of the request comes from ``source``; ``length`` as in `RequestHead`."""
        ...

    def expect_within(self, seconds: float, reason: Reason) -> None:
        """Fail with ``reason`` unless the response begins, or this is called again, within ``seconds``; 0: no bound."""
        ...

    def fail(self, error: GatewayError) -> None:
        """End the request with ``error``."""
        ...

    def release(self, request_complete: bool) -> None:
        """The exchange is over, and the stream decides what becomes of its connection."""
        ...

    def abandon(self, gone_at: float) -> None:
        """The exchange is broken off. ``gone_at``: when its caller was seen to have left; 0.0: it had not."""
        ...


class ServerStream(Sink, Source, Protocol):
    """A request from a caller, and the response to it."""

    peer: Peer
    limits: Limits
    """Bounds of the messages of this stream."""

    @property
    def body_complete(self) -> bool:
        """Every byte of the request's body was taken."""
        ...

    @property
    def awaits_continue(self) -> bool:
        """The caller sent ``Expect: 100-continue`` and holds its body back."""
        ...

    def take_body(self) -> bytes | None:
        """The whole body, when its length is known and it has come already; None when it must be relayed."""
        ...

    def pipe(self, sink: ClientStream, on_end: Callable[[], None]) -> None:
        """Relay the body to ``sink`` as it comes; ``on_end`` is called after its last byte."""
        ...

    def stop_body(self) -> None:
        """The body is not read any further."""
        ...

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx response on, where the protocol has such."""
        ...

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        """Begin the final response. This is the point of no return: what follows is its body.

        ``lines``: field lines besides those of ``head``, each ended by CRLF. ``trailer``: a field that follows the
        body, where the protocol and the framing allow one.
        """
        ...

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole response of the gateway's own; Content-Length is added to ``lines``."""
        ...

    async def sent(self) -> float:
        """Wait until the kernel has taken all that was written; the seconds for which this response waited for it."""
        ...

    def cut(self) -> None:
        """Break off: what was sent of a response must not look like a complete one."""
        ...


class Trailer(Protocol):
    """A field that follows a body, because its value is not known before."""

    name: bytes

    def line(self) -> bytes:
        """``name: value``, when the body has ended."""
        ...
