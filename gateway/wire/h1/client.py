"""The client's side of HTTP/1.1: one connection to an endpoint, one request at a time, whose stream it is.

    IDLE --send--> HEAD --final head: begin--> BODY --last byte--> DONE --release--> IDLE
    any  --error, close, rule broken--> BROKEN (the connection is closed and never reused)

The reply begins within the callback that read the final head, and the body follows as it comes: the task that waits
for the exchange wakes once, at its end.

Only an answer that ended where its framing said, on a connection that the request used up entirely, leads back to IDLE.
Bytes that come in IDLE or after the end belong to no request: the connection is broken, so that they cannot be taken
for the response to the next one.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Callable
from math import inf
from time import monotonic

from gateway import errors
from gateway.core.forwarded import folded
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, MAX_KEPT_HEAD, UNTIL_CLOSE, OutgoingRequest, ResponseHead
from gateway.core.stream import Reply, Sink, Source
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.chunked import ChunkedDecoder
from gateway.wire.h1.grammar import BARE_LINE_END
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.message import COPY_BELOW, MessageWriter
from gateway.wire.h1.serialize import request_head
from gateway.wire.timer import LazyTimer

_HEAD_WINDOW = 4096
_LIMITS = Limits()
_MAX_REST = 262144
"""Bytes that are still taken from the kernel after a failed write."""


class State(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    BROKEN = enum.auto()


IDLE, HEAD, BODY, DONE, BROKEN = State  # bound once: Python 3.11 takes 0.13 us to look a member up


class H1Client(MessageWriter):
    """A `gateway.core.stream.ClientStream`, and the `asyncio.BufferedProtocol` of its socket."""

    __slots__ = (
        "_decoder",
        "_done",
        "_eof",
        "_held",
        "_interim_count",
        "_keep_alive",
        "_last_head",
        "_last_response",
        "_left",
        "_parser",
        "_replaced",
        "_reply",
        "_scanned",
        "_sink",
        "_stash",
        "_timeout_reason",
        "_to_head",
        "abandoned_at",
        "body_idle",
        "first_byte_at",
        "idle_limit",
        "last_byte_at",
        "limits",
        "named_body",
        "on_idle",
        "on_lost",
        "requests",
        "state",
        "timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser) -> None:
        super().__init__(loop, buffers)
        self._parser = parser
        self.timer = LazyTimer(loop, self._on_timeout)
        self.state = IDLE
        self.on_lost: Callable[[H1Client], None] | None = None
        self.on_idle: Callable[[H1Client], None] | None = None
        """Keeps the connection for another request; None: it is closed after its first one."""
        self._replaced: frozenset[bytes] = frozenset()
        """Folded names of fields that the caller may not send, in trailers neither."""
        self.requests = 0
        """Requests sent on this connection; above 1 it was reused."""
        self.first_byte_at = 0.0
        self.last_byte_at = 0.0
        self.abandoned_at = 0.0
        """The client that it worked for was seen to have left."""
        self._timeout_reason = errors.HEADER_TIMEOUT
        self.body_idle = 0.0
        """Longest pause in a body, in seconds; 0: none."""
        self.limits = _LIMITS
        """Bounds of the response."""
        self.named_body = False
        """The last response spoke of a body that does not follow: the connection should rest before it is used again,
        lest a body that follows all the same be read as a response."""
        self.idle_limit = inf
        """Seconds after which the peer closes the connection when it is not used, as it said itself."""
        self._to_head = False
        self._last_head = b""
        self._last_response: ResponseHead | None = None
        self._stash = bytearray()
        """Bytes of a head that has not come whole."""
        self._scanned = 0
        """Bytes of the stash in which no end of a head was found: a head that drips is not scanned from its start."""
        self._reply: Reply | None = None
        self._interim_count = 0
        self._held = False
        """Nothing is read, because the client is slow."""
        self._eof = False
        """The endpoint ended its bytes itself: by FIN, or by close_notify under TLS, where anyone can send a FIN."""
        self._keep_alive = False
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._sink: Sink | None = None
        self._done: asyncio.Future[None] | None = None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    # -- one request

    def send(
        self, request: OutgoingRequest, lines: bytes, body: bytes, reply: Reply, limits: Limits
    ) -> asyncio.Future[None]:
        """As `ClientStream.send`."""
        self._done = done = self.loop.create_future()
        if self.state is not IDLE:  # its bytes came before the request did
            self.fail(GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The upstream sent bytes before any request"))
            return done
        self.state = HEAD
        self.requests += 1
        self.first_byte_at = 0.0
        self._to_head = request.method == b"HEAD"
        self._replaced = request.replaced
        self._reply = reply
        self._interim_count = 0
        self.limits = limits
        head = request.rendered
        if head is None:
            head = request.rendered = request_head(request)
        if self.transport is None:
            self._fail(errors.UPSTREAM_RESET, "The pooled connection was closed")
        else:
            self.write(b"%b%b\r\n%b" % (head, lines, body))
        return done

    def expect_within(self, seconds: float, reason: Reason) -> None:
        """As `ClientStream.expect_within`."""
        self._timeout_reason = reason
        if seconds:
            self.timer.arm(monotonic() + seconds)
        else:
            self.timer.disarm()

    def begin_body(self, source: Source, length: int) -> None:
        """As `ClientStream.begin_body`."""
        self.chunked_out = length == CHUNKED
        self.start(b"", source)
        if self.full:
            self._await_upload()

    def end(self, trailers: list[bytes]) -> None:
        """The request's body is complete. Of its trailers those are sent that no configured field replaces."""
        if self._replaced:
            trailers = [line for line in trailers if folded(line[: line.find(b":")]) not in self._replaced]
        super().end(trailers)

    def _await_upload(self) -> None:
        """The endpoint takes no more of the request's body: bound how long it may stall."""
        if self.state is HEAD:
            self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._source is not None:
            self._await_upload()

    def resume_writing(self) -> None:
        if self._source is not None and self.state is HEAD:
            self.timer.disarm()
        super().resume_writing()

    def release(self, request_complete: bool) -> None:
        """Back to the pool when the connection is fit for another request, else closed."""
        self.timer.expires_at = 0.0
        self._done = self._sink = self._reply = None
        if (
            self.state is DONE
            and self._keep_alive
            and request_complete
            and self.alive
            and self._source is None
            and self.on_idle is not None
        ):
            self.state = IDLE
            if self._held:  # the caller has yet to take the end of the response: no matter of the next one's
                self._held = False
                self.resume_reading()
            self.on_idle(self)
        else:
            self.state = BROKEN
            self.abort()

    def abandon(self, gone_at: float) -> None:
        """Close the connection in the middle of an exchange."""
        self.abandoned_at = gone_at
        self.abort()

    # -- events of the transport

    def buffer_updated(self, nbytes: int) -> None:
        self.last_byte_at = now = monotonic()
        data = self._buffers.current[:nbytes]
        if self.state is BODY:
            if self.timer.expires_at:
                self.timer.expires_at = now + self.body_idle  # later than before: the timer may stay
            decoder, sink = self._decoder, self._sink
            # The way of a streamed token, kept short: no call that it can do without.
            if decoder is not None and nbytes < COPY_BELOW and sink is not None and sink.takes_chunks:
                chunks = data.tobytes()
                size = decoder.whole_chunks(chunks)
                if size >= 0:
                    sink.chunks(chunks, size)
                    if decoder.done:
                        sink.ended()
                        self._finish()
                    return
            self._relay(data, pooled=True)
            if nbytes == self._read_size:
                self.full_read()
        elif self.state is HEAD:
            if not self.first_byte_at:
                self.first_byte_at = now
            try:
                self._take_heads(data, pooled=True)
            except GatewayError as error:
                self.fail(error)
        else:
            self.state = BROKEN
            self.abort()

    def eof_received(self) -> None:
        self._eof = True
        # What it has not read it will not answer: a close that waits for it to be sent would have no end.
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._fd >= 0:
            self._read_rest(exc)
        super().connection_lost(exc)
        self.timer.close()
        if self.state is BODY and self._left == UNTIL_CLOSE and self._eof:
            self._finish()
            self._keep_alive = False
        elif self.state in (HEAD, BODY):
            self._fail(errors.UPSTREAM_RESET, "")
        if self.on_lost is not None:
            self.on_lost(self)
        # They lead back to this connection.
        self._sink = self._reply = self._done = None

    # -- backpressure

    def hold(self) -> None:
        # The client is slow: no fault of the upstream, whose time stops.
        self.timer.disarm()
        self._held = True
        self.pause_reading()

    def resume(self) -> None:
        if self.state is BODY:
            self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)
        self._held = False
        self.resume_reading()

    # -- inside

    def _read_rest(self, exc: Exception) -> None:
        """After a failed write: take what had arrived before it, which the transport reads no more.

        An endpoint that rejects an upload responds, closes, and resets the connection when the next piece comes
        (RFC 9112 9.6). The kernel keeps what it received before the reset.
        """
        taken = 0
        while self.state in (HEAD, BODY) and taken < _MAX_REST:
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

    def _take_heads(self, data: memoryview, *, pooled: bool) -> None:
        if self._stash:
            self._take_rest_of_head(data)
            return
        while self.state is HEAD and data:
            # A head is short: what lies behind it is not copied.
            window = bytes(data[:_HEAD_WINDOW])
            end = window.find(b"\r\n\r\n")
            if end < 0 and len(data) > _HEAD_WINDOW:
                window = bytes(data)
                end = window.find(b"\r\n\r\n")
            if end < 0:
                self._stash += window
                self._scanned = 0
                self._check_partial()
                return
            head = self._parse(window[:end])
            data = data[end + 4 :]
            if head.status >= 200:
                self._final(head, data, pooled=pooled)
                return
            self._interim(head)
            if data:
                self.first_byte_at = self.last_byte_at

    def _take_rest_of_head(self, data: memoryview) -> None:
        stash = self._stash
        stash += data
        end = stash.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._check_partial()
            return
        self._stash = bytearray()
        self._take_heads(memoryview(bytes(stash)), pooled=False)

    def _check_partial(self) -> None:
        """Refuse what can no longer become a good head."""
        stash = self._stash
        self._check_size(len(stash))
        if BARE_LINE_END.search(stash, max(0, self._scanned - 1)) or stash[:5] != b"HTTP/"[: len(stash)]:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The answer is not HTTP/1.1")
        self._scanned = len(stash)

    def _check_size(self, size: int) -> None:
        limit = self.limits.max_response_header_bytes
        if size > limit:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, f"The head of the response exceeds {limit} bytes")

    def _parse(self, head: bytes) -> ResponseHead:
        # An endpoint often answers alike, byte for byte, within a second.
        if head == self._last_head and self._last_response is not None and not self._to_head:
            return self._last_response
        self._check_size(len(head))
        response = self._parser.response(head, to_head=self._to_head)
        if not self._to_head and len(head) <= MAX_KEPT_HEAD:
            self._last_head = head
            self._last_response = response
        return response

    def _interim(self, head: ResponseHead) -> None:
        self._interim_count += 1
        self.first_byte_at = 0.0
        if head.status == 101:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The response switches protocols")
        if self._interim_count > self.limits.max_interim_responses:
            raise GatewayError(
                errors.UPSTREAM_BAD_RESPONSE,
                f"No final response came after {self.limits.max_interim_responses} interim responses",
            )
        if self._reply is not None:
            self._reply.interim(head)

    def _final(self, head: ResponseHead, data: memoryview, *, pooled: bool) -> None:
        self.timer.expires_at = 0.0
        self._keep_alive = head.keep_alive
        self.named_body = head.names_body
        self.idle_limit = head.idle_limit
        self._left = length = head.length
        reply = self._reply
        if reply is None:
            return
        if 0 <= length <= len(data):
            if length < len(data):  # bytes after the end of the response
                self._keep_alive = False
                data = data[:length]
            reply.begin(head, None).whole(data)
            self._finish()
            return
        self.state = BODY
        self._decoder = None
        if length == CHUNKED:
            self._decoder = ChunkedDecoder(errors.UPSTREAM_BAD_RESPONSE, self.limits.max_trailer_bytes)
        self._sink = sink = reply.begin(head, self)
        if data:
            self._relay(data, pooled=pooled)
        else:
            sink.flush()
        if self.state is BODY and not sink.full:
            self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)

    def _relay(self, data: memoryview, *, pooled: bool) -> None:
        sink, decoder = self._sink, self._decoder
        assert sink is not None
        if decoder is not None:
            self._relay_chunked(data, sink, decoder, pooled=pooled)
            return
        if self._left == UNTIL_CLOSE:
            sink.data(data, pooled=pooled)
            return
        size = len(data)
        if size > self._left:
            self._keep_alive = False
            data = data[: self._left]
            size = self._left
        self._left -= size
        sink.data(data, pooled=pooled)
        if not self._left:
            sink.end([])
            self._finish()

    def _relay_chunked(self, data: memoryview, sink: Sink, decoder: ChunkedDecoder, *, pooled: bool) -> None:
        payload: list[memoryview] = []
        try:
            consumed = decoder.feed(data, payload)
            self.took_pieces(decoder.pieces)
        except GatewayError as error:
            # What came before the fault is not passed on: the client's connection is about to be cut.
            self.fail(error)
            return
        sink.pieces(payload, pooled=pooled)
        if decoder.done:
            if consumed < len(data):
                self._keep_alive = False
            sink.end(decoder.trailers)
            self._finish()

    def _finish(self) -> None:
        if self._left == UNTIL_CLOSE and self._sink is not None:
            self._sink.end([])
        self.state = DONE
        self.timer.expires_at = 0.0
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _on_timeout(self) -> None:
        self._fail(self._timeout_reason, "")

    def _fail(self, reason: Reason, details: str) -> None:
        # RFC 9110 9.2.2: a reused connection that closed before any byte came may just have been stale.
        silent = not self.first_byte_at and not self._interim_count
        stale = reason is errors.UPSTREAM_RESET and self.requests > 1 and silent
        self.fail(GatewayError(reason, details, retryable=stale))

    def fail(self, error: GatewayError) -> None:
        """End the request that runs with ``error``, and the connection with it."""
        self.state = BROKEN
        self.timer.disarm()
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.abort()
