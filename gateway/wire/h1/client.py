"""The client's side of HTTP/1.1: one connection to an endpoint, which is the stream of one request at a time.

    IDLE --send--> HEAD --final head--> BODY --last byte--> DONE --release--> IDLE

`states.py` has the other ways, and the timer of each state. Only a response that ended where its framing said, on a
connection that the request used up entirely, leads back to IDLE. Bytes that come in IDLE or after the end belong to no
request: the connection is broken, so that they cannot be taken for the response to the next one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from gateway import errors
from gateway.core.forwarded import folded
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, UNTIL_CLOSE, OutgoingRequest, ResponseHead
from gateway.core.stream import Reply, Source, Tunnel
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientConnection
from gateway.wire.grammar import tokens
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.response_reader import ResponseReader
from gateway.wire.h1.serialize import request_head
from gateway.wire.h1.states import ClientEvent, ClientState

_MAX_REST = 262144
"""Bytes that are still taken from the kernel after a failed write."""

# Bound once: Python 3.11 takes 0.13 us to look a member up.
IDLE, HEAD, STALLED, BODY, HELD, DONE, TUNNEL, BROKEN, CLOSED = ClientState
_ANSWERING = (HEAD, STALLED, BODY, HELD)
_READING = (*_ANSWERING, TUNNEL)


class H1Client(ResponseReader):
    """A `gateway.wire.connections.ClientConnection`, and the `asyncio.BufferedProtocol` of its socket."""

    __slots__ = (
        "_eof",
        "_head_reason",
        "_replaced",
        "_tunnel",
        "_upgrade",
        "abandoned_at",
        "http_version",
        "on_idle",
        "on_lost",
        "requests",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser) -> None:
        super().__init__(loop, buffers, parser)
        self.on_lost: Callable[[ClientConnection], None] | None = None
        self.on_idle: Callable[[ClientConnection], None] | None = None
        """Keeps the connection for another request; None: it is closed after its first one."""
        self.http_version = "1.1"
        self.requests = 0
        """Requests sent on this connection; above 1 it was reused."""
        self.abandoned_at = 0.0
        """When the departure of the caller that it served was noticed."""
        self._replaced: frozenset[bytes] = frozenset()
        """Folded names of fields that the caller may not send, in trailers neither."""
        self._head_reason = errors.HEADER_TIMEOUT
        """Why the request fails when the timer ends in HEAD."""
        self._upgrade = b""
        """The protocol that the request asks for; empty: none."""
        self._tunnel: Tunnel | None = None
        """In the state TUNNEL."""
        self._eof = False
        """The endpoint ended its bytes itself: by FIN, or by close_notify under TLS, where anyone can send a FIN."""

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    # -- the request

    def send(
        self, request: OutgoingRequest, lines: bytes, body: bytes, reply: Reply, limits: Limits
    ) -> asyncio.Future[None]:
        """As `ClientStream.send`."""
        self._done = done = self.loop.create_future()
        self.requests += 1
        self.first_byte_at = 0.0
        self._interim_count = 0
        if self.state is not IDLE:
            self._refuse()
            return done
        self.state = HEAD
        self._to_head = request.method == b"HEAD"
        self._upgrade = request.upgrade
        self._replaced = request.replaced
        self._reply = reply
        self.limits = limits
        head = request.rendered
        if head is None:
            head = request.rendered = request_head(request)
        self.write(b"".join((head, lines, b"\r\n", body)))  # half as many instructions as a format
        return done

    def _refuse(self) -> None:
        """The connection is not fit for a request any more."""
        if self.state is CLOSED:
            self._fail(errors.UPSTREAM_RESET, "The pooled connection was closed")
        else:  # its bytes came before the request did
            self.fail(GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The upstream sent bytes before any request"))

    def expect_by(self, at: float, reason: Reason) -> None:
        """As `ClientStream.expect_by`."""
        if self.state is STALLED:
            self.move(ClientEvent.EXPECT)
        if self.state is HEAD:
            self._head_reason = reason
            timer = self.timer
            timer.expires_at = at
            if 0.0 < at < timer.fires_at:  # nearly never: no call for it
                timer.arm(at)

    def begin_body(self, source: Source, length: int) -> None:
        """As `ClientStream.begin_body`."""
        self.chunked_out = length == CHUNKED
        self.start(b"", source)
        if self.full:
            self.move(ClientEvent.FULL)

    def end(self, trailers: list[bytes]) -> None:
        """The request's body is complete. Of its trailers those are sent that no configured field replaces."""
        if self._replaced:
            trailers = [line for line in trailers if folded(line[: line.find(b":")]) not in self._replaced]
        super().end(trailers)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._source is not None:
            self.move(ClientEvent.FULL)

    def resume_writing(self) -> None:
        if self._source is not None:
            self.move(ClientEvent.TAKEN)
        super().resume_writing()

    # -- a tunnel

    def _switch(self, head: ResponseHead, data: memoryview, *, pooled: bool) -> None:
        """The endpoint has switched protocols; ``data`` is the first that it says in the new one (RFC 9110 7.8)."""
        reply, asked = self._reply, self._upgrade
        if not asked:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The response switches protocols")
        if (
            not head.minor
            or tokens(head.known.get(b"upgrade", b"")) != [asked]
            or b"upgrade" not in tokens(head.known.get(b"connection", b""))
        ):
            raise GatewayError(
                errors.UPSTREAM_BAD_RESPONSE, f"The response does not switch to {asked.decode()}, which was asked for"
            )
        if reply is None:
            return
        self.move(ClientEvent.SWITCH)
        reply.switch(head)
        if data:
            self._pass_on(data, pooled=pooled)
        elif self._tunnel is not None:
            self._tunnel.outward.flush()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _pass_on(self, data: memoryview, *, pooled: bool) -> None:
        if self._tunnel is not None:
            way = self._tunnel.outward
            way.data(data, pooled=pooled)
            self.took_pieces(way.pieces)

    def join(self, tunnel: Tunnel) -> None:
        """As `ClientStream.join`."""
        self._tunnel = tunnel
        self.chunked_out = False
        self.start(b"", tunnel.inward)

    # -- its end

    def release(self, request_complete: bool) -> None:
        """Back to the pool when the connection is fit for another request, else closed."""
        transport = self.transport
        self.timer.expires_at = 0.0
        self._done = self._sink = self._reply = None
        if (
            self.state is DONE
            and self._keep_alive
            and request_complete
            and transport is not None
            and not transport.is_closing()
            and self._source is None
            and self.on_idle is not None
        ):
            self.state = IDLE
            if self._stopped:  # the caller has yet to take the end of the response: the next response is not affected
                self.resume_reading()
            self.on_idle(self)
        elif self.state is not TUNNEL:  # which ends it by `abandon`
            self.move(ClientEvent.DROP)
            self.abort()

    def abandon(self, gone_at: float) -> None:
        """Close the connection in the middle of an exchange."""
        self.abandoned_at = gone_at
        self.move(ClientEvent.FAIL)
        self.abort()

    def _on_timeout(self) -> None:
        self._fail(self._head_reason if self.state is HEAD else errors.BODY_IDLE_TIMEOUT, "")

    def _fail(self, reason: Reason, details: str) -> None:
        # RFC 9110 9.2.2: a reused connection that closed before any byte came may just have been stale.
        silent = not self.first_byte_at and not self._interim_count
        stale = reason is errors.UPSTREAM_RESET and self.requests > 1 and silent
        self.fail(GatewayError(reason, details, retryable=stale))

    # -- events of the transport

    def eof_received(self) -> bool:
        if self._tunnel is not None and self.state is TUNNEL:
            self._tunnel.outward.end()
            return True
        self._eof = True
        # No response follows to what the endpoint has not read: a close that waits for the send would never end.
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._fd >= 0:
            self._read_rest(exc)
        super().connection_lost(exc)
        complete = self._eof and self._left == UNTIL_CLOSE and (self.state is BODY or self.state is HELD)
        if complete:
            if self._sink is not None:
                self._sink.end([])
            self._keep_alive = False
            self._finish()
        elif self.state in _ANSWERING:
            self._fail(errors.UPSTREAM_RESET, "")
        else:
            self.move(ClientEvent.LOST)
        if self._tunnel is not None:
            self._tunnel.endpoint_lost()
            self._tunnel = None
        self.timer.close()
        if self.on_lost is not None:
            self.on_lost(self)
        # They lead back to this connection.
        self._sink = self._reply = self._done = None

    def _read_rest(self, exc: Exception) -> None:
        """After a failed write: take what had arrived before it, which the transport reads no more.

        An endpoint that rejects an upload responds, closes, and resets the connection when the next piece comes
        (RFC 9112 9.6). The kernel keeps what it received before the reset.
        """
        taken = 0
        while self.state in _READING and taken < _MAX_REST:
            try:
                size = os.readv(self._fd, [self._buffers.current])
            except OSError:
                return
            if not size:
                # EPIPE: its FIN had come before the reset. ECONNRESET: there was none.
                self._eof = isinstance(self._first_error or exc, BrokenPipeError)
                return
            taken += size
            self.buffer_updated(size)
