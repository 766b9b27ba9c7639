"""The client's side of HTTP/1.1: one connection to an endpoint, one request at a time.

    IDLE --send--> HEAD --final head--> BODY --last byte--> DONE --rest--> IDLE
    any  --error, close, rule broken--> BROKEN (the connection is closed and never reused)

Only an answer that ended where its framing said, on a connection that the request used up entirely, leads back to IDLE.
Bytes that come in IDLE or after the end belong to nobody: the connection is broken, so that they can not be taken for the
answer to the next request.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from time import monotonic

from gateway import errors
from gateway.core.message import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connection import Connection
from gateway.wire.framing import ChunkedDecoder
from gateway.wire.grammar import BARE_LINE_END
from gateway.wire.head import HeadParser
from gateway.wire.watchdog import Watchdog

_MAX_HEAD = 65536
_MAX_STASH = 65536
_MAX_INTERIM = 16


class State(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    BROKEN = enum.auto()


class UpstreamConnection(Connection):
    """A `asyncio.BufferedProtocol` that `aiohttp.TCPConnector` dials for; aiohttp asks for the members marked so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser) -> None:
        super().__init__(loop, buffers)
        self._parser = parser
        self.watchdog = Watchdog(loop, self._on_timeout)
        self.state = State.IDLE
        self.on_lost: Callable[[UpstreamConnection], None] | None = None
        self.requests = 0
        """Requests sent on this connection; above 1 it was reused."""
        self.first_byte_at = 0.0
        self.last_byte_at = 0.0
        self.answered = False
        """A byte of an answer to the current request has come."""
        self.error: GatewayError | None = None
        self._timeout_reason = errors.HEADER_TIMEOUT
        self.body_idle = 0.0
        """Longest pause in a body, in seconds; 0: none."""
        self._to_head = False
        self._last_head = b""
        self._last_response: ResponseHead | None = None
        self._stash = b""
        self._head: asyncio.Future[ResponseHead] | None = None
        self._on_interim: Callable[[ResponseHead], None] | None = None
        self._interim_count = 0
        self._keep_alive = False
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._sink: Connection | None = None
        self._done: asyncio.Future[None] | None = None

    # -- what aiohttp asks of its protocols

    @property
    def closed(self) -> None:
        return None

    @property
    def should_close(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return self.alive

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    # -- one request

    def send(
        self, head: bytes, to_head: bool, on_interim: Callable[[ResponseHead], None]
    ) -> asyncio.Future[ResponseHead]:
        """Write the head of a request; the future holds the final answer's head or a `GatewayError`.

        ``to_head``: it is a HEAD request; ``on_interim`` is called with each 1xx.
        """
        assert self.state is State.IDLE
        self.state = State.HEAD
        self.requests += 1
        self.answered = False
        self._to_head = to_head
        self._on_interim = on_interim
        self._interim_count = 0
        self._head = head_future = self.loop.create_future()
        if self.transport is None:
            self._fail(errors.UPSTREAM_RESET, "The pooled connection was closed")
        else:
            self.transport.write(head)
        return head_future

    def expect_within(self, seconds: float, reason: Reason) -> None:
        """Fail with ``reason`` unless this is called again, or the head comes, within ``seconds`` (0: for ever)."""
        self._timeout_reason = reason
        if seconds:
            self.watchdog.arm(monotonic() + seconds)
        else:
            self.watchdog.disarm()

    def await_upload(self) -> None:
        """The endpoint takes no more of the request's body: bound how long it may stall."""
        self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)

    def take_body(self) -> bytes:
        """The whole body, when the state is DONE: it came together with the head, or before anyone asked for it."""
        return self._stash

    def relay(self, sink: Connection) -> asyncio.Future[None]:
        """Give the body to ``sink`` as it comes; the future ends with its last byte or with a `GatewayError`."""
        self._done = done = self.loop.create_future()
        self._sink = sink
        if self.error is not None:
            done.set_exception(self.error)
            return done
        stash, self._stash = self._stash, b""
        if stash:
            self._relay(memoryview(stash), pooled=False)
        if self.state is State.BODY and not sink.write_paused:
            self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)
            self.resume_reading()
        return done

    def rest(self, request_complete: bool) -> bool:
        """After the answer: True when the connection is IDLE and fit for another request."""
        self.watchdog.expires_at = 0.0
        self._head = self._done = self._sink = self._on_interim = None
        self._stash = b""
        if self.state is State.DONE and self._keep_alive and request_complete and self.alive and not self._source:
            self.state = State.IDLE
            return True
        self.state = State.BROKEN
        return False

    # -- events of the transport

    def received(self, data: memoryview) -> None:
        self.last_byte_at = monotonic()
        if self.state is State.BODY:
            if self._sink is not None:
                self._relay(data, pooled=True)
                return
            self._stash += bytes(data)
            if len(self._stash) > _MAX_STASH:
                self.pause_reading()
        elif self.state is State.HEAD:
            if not self.answered:
                self.answered = True
                self.first_byte_at = self.last_byte_at
            self._stash = self._stash + bytes(data) if self._stash else bytes(data)
            try:
                self._parse_heads()
            except GatewayError as error:
                self.fail_with(error)
        else:
            self.state = State.BROKEN
            self.abort()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.watchdog.close()
        if self.state is State.BODY and self._left == UNTIL_CLOSE and exc is None:
            self._finish()
            self._keep_alive = False
        elif self.state in (State.HEAD, State.BODY):
            self._fail(errors.UPSTREAM_RESET, "")
        if self.on_lost is not None:
            self.on_lost(self)

    # -- backpressure

    def sink_blocked(self) -> None:
        # The client is slow: no fault of the upstream, whose time stops.
        self.watchdog.disarm()
        self.pause_reading()

    def sink_ready(self) -> None:
        if self.state is State.BODY:
            self.expect_within(self.body_idle, errors.BODY_IDLE_TIMEOUT)
        self.resume_reading()

    # -- inside

    def _parse_heads(self) -> None:
        while True:
            end = self._stash.find(b"\r\n\r\n")
            if end < 0:
                if len(self._stash) > _MAX_HEAD:
                    raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The head of the answer is too long")
                if BARE_LINE_END.search(self._stash) or self._stash[:5] != b"HTTP/"[: len(self._stash)]:
                    raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The answer is not HTTP/1.1")
                return
            head = self._parse(self._stash[:end])
            self._stash = self._stash[end + 4 :]
            if head.status >= 200:
                self._final(head)
                return
            self._interim(head)

    def _parse(self, head: bytes) -> ResponseHead:
        # An endpoint often answers alike, byte for byte, within a second.
        if head != self._last_head or self._to_head or self._last_response is None:
            self._last_head = b""
            self._last_response = self._parser.response(head, to_head=self._to_head)
            if not self._to_head:
                self._last_head = head
        return self._last_response

    def _interim(self, head: ResponseHead) -> None:
        self._interim_count += 1
        if head.status == 101 or self._interim_count > _MAX_INTERIM:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The answer switches protocols or never becomes final")
        if self._on_interim is not None:
            self._on_interim(head)

    def _final(self, head: ResponseHead) -> None:
        self.watchdog.disarm()
        self._keep_alive = head.keep_alive
        self._left = length = head.length
        self._decoder = None
        if length == CHUNKED:
            self._decoder = ChunkedDecoder(errors.UPSTREAM_BAD_RESPONSE)
        if 0 <= length <= len(self._stash):
            if length < len(self._stash):  # bytes after the end of the answer
                self._keep_alive = False
                self._stash = self._stash[:length]
            self.state = State.DONE
        else:
            self.state = State.BODY
        assert self._head is not None
        if not self._head.done():
            self._head.set_result(head)

    def _relay(self, data: memoryview, *, pooled: bool) -> None:
        sink = self._sink
        assert sink is not None
        if self.body_idle and not sink.write_paused:
            self.watchdog.arm(self.last_byte_at + self.body_idle)
        if self._decoder is not None:
            self._relay_chunked(data, sink, self._decoder, pooled=pooled)
            return
        if self._left == UNTIL_CLOSE:
            sink.send_body(data, pooled=pooled)
            return
        size = len(data)
        if size > self._left:
            self._keep_alive = False
            data = data[: self._left]
            size = self._left
        self._left -= size
        sink.send_body(data, pooled=pooled)
        if not self._left:
            sink.end_body([])
            self._finish()

    def _relay_chunked(self, data: memoryview, sink: Connection, decoder: ChunkedDecoder, *, pooled: bool) -> None:
        payload: list[memoryview] = []
        try:
            consumed = decoder.feed(data, payload)
        except GatewayError as error:
            # What came before the fault is not passed on: the client's connection is about to be cut.
            self.fail_with(error)
            return
        sink.send_payload(payload, pooled=pooled)
        if decoder.done:
            if consumed < len(data):
                self._keep_alive = False
            sink.end_body(decoder.trailers)
            self._finish()

    def _finish(self) -> None:
        if self._left == UNTIL_CLOSE and self._sink is not None:
            self._sink.end_body([])
        self.state = State.DONE
        self.watchdog.disarm()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _on_timeout(self) -> None:
        self._fail(self._timeout_reason, "")

    def _fail(self, reason: Reason, details: str) -> None:
        # RFC 9110 9.2.2: a reused connection that closed before it said anything may just have been stale.
        stale = reason is errors.UPSTREAM_RESET and self.requests > 1 and not self.answered
        self.fail_with(GatewayError(reason, details, retryable=stale))

    def fail_with(self, error: GatewayError) -> None:
        """End the request that runs with ``error``, and the connection with it."""
        self.state = State.BROKEN
        self.error = error
        self.watchdog.disarm()
        for future in (self._head, self._done):
            if future is not None and not future.done():
                future.set_exception(error)
        self.abort()
