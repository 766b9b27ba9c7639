"""The interfaces at which everything on the wire meets: one request is a stream, on any protocol and on none.

    caller -> ServerStream -> the chain of layers -> ClientStream -> endpoint
              ServerStream <- Reply.begin          <- ClientStream

A body flows from a `Source` to a `Sink` inside the callbacks of the event loop, and no task wakes up for a piece of it.
A sink that is full calls `Source.hold`, and `Source.resume` when it takes bytes again. So a `ServerStream` is the
source of the request's body and the sink of the response's, and a `ClientStream` the other way round.

An endpoint may switch protocols instead of responding (`Reply.switch`). The two streams are then the ends of a
`Tunnel`, and what each of them reads goes to the other one as it is.

HTTP/1.1 serves one request at a time on a connection. There the connection itself is the stream of the request that
runs, because a second object would hold nothing of its own and cost time at each request and each streamed frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

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

    @property
    def full(self) -> bool:
        """Bytes that were written wait for the peer."""
        ...

    @property
    def takes_chunks(self) -> bool:
        """Chunks of HTTP/1.1 may be passed through as they came, by `chunks`."""
        ...

    @property
    def body_out(self) -> int:
        """Bytes of payload taken in the current message."""
        ...

    @property
    def blocked(self) -> float:
        """Seconds for which the peer was too slow in the current message."""
        ...

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


class Passage(Source, Protocol):
    """One way through a tunnel: where the end that reads puts its bytes, and the source of those that the other end
    writes."""

    pieces: int
    """Frames that began in the last `data`: what they cost."""

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        ...

    def flush(self) -> None:
        """Nothing has come yet: what precedes it does not wait."""
        ...

    def end(self) -> None:
        """The end that reads has seen the last byte. Does nothing when it is called again."""
        ...


class TunnelEnd(Source, Protocol):
    """One side of a tunnel: the stream of an exchange that has switched protocols. Nothing is framed any more."""

    @property
    def full(self) -> bool:
        """As `Sink.full`."""
        ...

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        ...

    def flush(self) -> None:
        """As `Sink.flush`."""
        ...

    def finish(self) -> None:
        """Write nothing more: the peer sees the end after all that was written, and may itself go on."""
        ...

    def waiting(self) -> int:
        """Bytes that were written and that the peer's host has not acknowledged yet."""
        ...


TUNNEL_ENDS: Final = ("client", "upstream", "idle", "drained", "cut")
"""What ends a tunnel: a side that ended first, too long a silence, the farewell of a gateway that goes down, a cut."""


class Tunnel(Protocol):
    """What an exchange becomes when its endpoint switches protocols: two passages between two streams."""

    ending: str
    """The first of `TUNNEL_ENDS` that came; empty: it is open."""

    @property
    def inward(self) -> Passage:
        """From the caller to the endpoint."""
        ...

    @property
    def outward(self) -> Passage:
        """From the endpoint to the caller."""
        ...

    @property
    def clean(self) -> bool:
        """Both sides have taken leave as the protocol wants it (RFC 6455 7.1.4)."""
        ...

    async def over(self, idle: float) -> None:
        """Wait for its end. ``idle``: seconds without a byte after which it ends; 0: no bound.

        Raises `GatewayError`: ``tunnel_idle_timeout``, ``upstream_reset``.
        """
        ...

    def when_over(self, call: Callable[[], None]) -> None:
        """``call`` at its end, or soon when that has come already."""
        ...

    def caller_lost(self) -> bool:
        """The caller's stream has broken off; whether that is more than the rest of an end."""
        ...

    def caller_leaves(self) -> None:
        """The caller has ended, behind bytes that the endpoint does not take."""
        ...

    def endpoint_lost(self) -> None:
        """The endpoint's stream has broken off."""
        ...

    def drain(self) -> None:
        """The gateway goes down: take leave of both sides as soon as their protocol allows it."""
        ...

    def cut(self, gone_at: float) -> None:
        """End it now. ``gone_at`` as in `ClientStream.abandon`."""
        ...


class Reply(Protocol):
    """What a `ClientStream` gives its response to."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response."""
        ...

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """The final response: the sink of its body, which comes from ``source``; None: it is there already."""
        ...

    def switch(self, head: ResponseHead) -> None:
        """The endpoint switches to the protocol that it was asked for, with this head: `ClientStream.join` follows."""
        ...


class BodySink(Protocol):
    """Where the body of a request goes: a `ClientStream`, or what stands in front of one after the other."""

    @property
    def full(self) -> bool:
        """As `Sink.full`."""
        ...

    @property
    def body_idle(self) -> float:
        """Longest pause in a body, in seconds; 0: none."""
        ...

    def begin_body(self, source: Source, length: int) -> None:
        """As `ClientStream.begin_body`."""
        ...

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        ...

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`."""
        ...

    def end(self, trailers: list[bytes]) -> None:
        """As `Sink.end`."""
        ...

    def fail(self, error: GatewayError) -> None:
        """As `ClientStream.fail`."""
        ...


class ClientStream(Sink, TunnelEnd, Protocol):
    """A request to an endpoint, and its response."""

    body_idle: float
    """Longest pause in a body, in seconds; 0: none."""
    first_byte_at: float
    """When the first byte of the final response came (monotonic clock, seconds); 0.0: none has come."""
    last_byte_at: float
    """When the newest bytes came."""
    http_version: str
    """What is spoken to the endpoint: one of `gateway.core.message.VERSIONS`."""

    @property
    def trailers(self) -> list[bytes]:
        """Those of the response that has ended: field lines without CRLF."""
        ...

    def send(
        self, request: OutgoingRequest, lines: bytes, body: bytes, reply: Reply, limits: Limits
    ) -> Awaitable[None]:
        """Send the head and a ``body`` that is complete; the result is there with the last byte of the response.

        ``lines``: more field lines, each ended by CRLF. ``limits``: bounds of the response. Awaiting it raises
        `GatewayError`. When the endpoint switches protocols, the result is there with the head, and `release` does
        nothing: the tunnel has the stream.
        """
        ...

    def begin_body(self, source: Source, length: int) -> None:
        """The body of the request comes from ``source``; ``length`` as in `RequestHead`."""
        ...

    def expect_by(self, at: float, reason: Reason) -> None:
        """Fail with ``reason`` unless the response begins, or this is called again, until ``at``: seconds of the
        monotonic clock; 0.0: no bound.
        """
        ...

    def fail(self, error: GatewayError) -> None:
        """End the request with ``error``."""
        ...

    def join(self, tunnel: Tunnel) -> None:
        """The head of the response was passed on: this stream is the far end of ``tunnel``."""
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
    tunnel: Tunnel | None
    """What the exchange has become by `switch`. It stays when it is over."""

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

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
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

    def switch(self, head: ResponseHead, lines: bytes, far: ClientStream) -> None:
        """Switch protocols as the endpoint at ``far`` has done, and begin the tunnel. ``lines`` as in `begin`."""
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
