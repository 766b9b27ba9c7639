"""The response on a connection to an endpoint: its head, and its body in whatever framing, given on as it comes.

The lowest layer of `H1Client`. It has the state of the connection. The reply begins within the callback that read the
final head, and the body follows as it comes: the task that waits for the exchange wakes once, at its end.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, MAX_KEPT_HEAD, UNTIL_CLOSE, ResponseHead
from gateway.core.stream import Reply, Sink
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.grammar import BARE_LINE_END
from gateway.wire.h1.chunked import ChunkedDecoder
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.message import COPY_BELOW, MessageWriter
from gateway.wire.h1.states import CLIENT, CLIENT_TIMERS, ClientEvent, ClientState
from gateway.wire.state_table import following
from gateway.wire.timer import LazyTimer

_HEAD_WINDOW = 4096
_LIMITS = Limits()

# Bound once: Python 3.11 takes 0.13 us to look a member up.
HEAD, STALLED, BODY, HELD, DONE, TUNNEL = (
    ClientState.HEAD,
    ClientState.STALLED,
    ClientState.BODY,
    ClientState.HELD,
    ClientState.DONE,
    ClientState.TUNNEL,
)


class ResponseReader(MessageWriter):
    """Base of the client's side of HTTP/1.1: a `gateway.core.stream.Source`."""

    __slots__ = (
        "_decoder",
        "_done",
        "_interim_count",
        "_keep_alive",
        "_last_head",
        "_last_response",
        "_left",
        "_parser",
        "_reply",
        "_scanned",
        "_sink",
        "_stash",
        "_to_head",
        "body_idle",
        "first_byte_at",
        "idle_limit",
        "last_byte_at",
        "limits",
        "named_body",
        "state",
        "timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser) -> None:
        super().__init__(loop, buffers)
        self._parser = parser
        self.state = ClientState.IDLE
        self.timer = LazyTimer(loop, self._on_timeout)
        self.limits = _LIMITS
        """Bounds of the response."""
        self.body_idle = 0.0
        """Longest pause in a body, in seconds; 0: none."""
        self._done: asyncio.Future[None] | None = None
        """The end of the request that runs."""
        self._reply: Reply | None = None
        self._sink: Sink | None = None
        self.first_byte_at = 0.0
        self.last_byte_at = 0.0
        self._to_head = False
        """The request was a HEAD: no body follows."""
        self._last_head = b""
        """Of `_last_response`, with the empty line that ended it."""
        self._last_response: ResponseHead | None = None
        self._stash = bytearray()
        """Bytes of a head that has not come whole."""
        self._scanned = 0
        """Bytes of the stash in which no end of a head was found: a head that drips is not scanned from its start."""
        self._interim_count = 0
        self._keep_alive = False
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self.named_body = False
        """The last response announced a body that does not follow. The connection should rest before it is used again,
        so that a body that follows nevertheless is not read as a response."""
        self.idle_limit = inf
        """Seconds after which the peer closes an unused connection, as its Keep-Alive field announced."""

    def move(self, event: ClientEvent) -> bool:
        """Follow the table of `states.py`, to the next state and its timer; False when the state ignores ``event``.

        The transitions of each small request, from IDLE to IDLE, do the same by hand, because a call costs.
        """
        after = following(CLIENT[event], self.state)
        if after is self.state:
            return False
        self.state = after
        if CLIENT_TIMERS[after] == "idle" and self.body_idle:
            self.timer.arm(monotonic() + self.body_idle)
        else:
            self.timer.disarm()
        return True

    def _on_timeout(self) -> None:
        """The endpoint did not do what the state waits for."""
        raise NotImplementedError

    def fail(self, error: GatewayError) -> None:
        """End the request that runs with ``error``, and the connection with it."""
        self.move(ClientEvent.FAIL)
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.abort()

    # -- bytes

    def buffer_updated(self, nbytes: int) -> None:
        self.last_byte_at = now = monotonic()
        data = self._buffers.current[:nbytes]
        state = self.state
        if state is BODY or state is HELD:  # HELD: what had come before a reset
            if self.timer.expires_at:
                self.timer.expires_at = now + self.body_idle  # later than before: the timer may stay
            decoder, sink = self._decoder, self._sink
            # The path of a streamed token, kept short: it makes no avoidable call.
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
        elif state is HEAD or state is STALLED:
            if not self.first_byte_at:
                self.first_byte_at = now
            try:
                self._take_heads(data, pooled=True)
            except GatewayError as error:
                self.fail(error)
        elif state is TUNNEL:
            self._pass_on(data, pooled=True)
            if nbytes == self._read_size:
                self.full_read()
        elif self.move(ClientEvent.PART):  # they belong to no request
            self.abort()

    # -- the head

    def _take_heads(self, data: memoryview, *, pooled: bool) -> None:
        if self._stash:
            self._take_rest_of_head(data)
            return
        while data and (self.state is HEAD or self.state is STALLED):
            # A head is short: what lies far behind it is not copied.
            window = (data if len(data) <= _HEAD_WINDOW else data[:_HEAD_WINDOW]).tobytes()
            head = self._last_response
            # An endpoint often repeats a head, byte for byte, within a second.
            if head is not None and window.startswith(self._last_head) and not self._to_head:
                data = data[len(self._last_head) :]
            else:
                end = window.find(b"\r\n\r\n") + 4
                if end < 4 and len(data) > _HEAD_WINDOW:
                    window = bytes(data)
                    end = window.find(b"\r\n\r\n") + 4
                if end < 4:
                    self._stash += window
                    self._scanned = 0
                    self._check_partial()
                    return
                head = self._parse(window[:end])
                data = data[end:]
            if head.status >= 200:
                self._final(head, data, pooled=pooled)
                return
            if head.status == 101:
                self._switch(head, data, pooled=pooled)
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
        """Reject what can no longer become a valid head."""
        stash = self._stash
        self._check_size(len(stash))
        if BARE_LINE_END.search(stash, max(0, self._scanned - 1)) or stash[:5] != b"HTTP/"[: len(stash)]:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The response is not HTTP/1.1")
        self._scanned = len(stash)

    def _check_size(self, size: int) -> None:
        limit = self.limits.max_response_header_bytes
        if size > limit:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, f"The head of the response exceeds {limit} bytes")

    def _parse(self, raw: bytes) -> ResponseHead:
        head = raw[:-4]
        self._check_size(len(head))
        response = self._parser.response(head, to_head=self._to_head)
        if not self._to_head and len(head) <= MAX_KEPT_HEAD:
            self._last_head = raw
            self._last_response = response
        return response

    def _interim(self, head: ResponseHead) -> None:
        self._interim_count += 1
        self.first_byte_at = 0.0
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
        self._decoder = None
        if length == CHUNKED:
            self._decoder = ChunkedDecoder(errors.UPSTREAM_BAD_RESPONSE, self.limits.max_trailer_bytes)
        self.move(ClientEvent.BEGIN)
        self._sink = sink = reply.begin(head, self)
        if data:
            self._relay(data, pooled=pooled)
        else:
            sink.flush()

    def _switch(self, head: ResponseHead, data: memoryview, *, pooled: bool) -> None:
        """The endpoint sent a 101; ``data`` is what follows it."""
        raise NotImplementedError

    def _pass_on(self, data: memoryview, *, pooled: bool) -> None:
        """Bytes of a tunnel."""
        raise NotImplementedError

    # -- the body

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
            # What came before the fault is not passed on: the caller's connection is about to be cut.
            self.fail(error)
            return
        sink.pieces(payload, pooled=pooled)
        if decoder.done:
            if consumed < len(data):
                self._keep_alive = False
            sink.end(decoder.trailers)
            self._finish()

    @property
    def trailers(self) -> list[bytes]:
        """As `ClientStream.trailers`."""
        # One that came whole with its head has left the decoder of an earlier response where it was.
        return [] if self._decoder is None or self._left != CHUNKED else self._decoder.trailers

    def _finish(self) -> None:
        """The response is complete."""
        self.state = DONE
        self.timer.expires_at = 0.0
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def hold(self) -> None:
        # The caller is slow: no fault of the endpoint, so its timer stops.
        if self.move(ClientEvent.HOLD) or self.state is TUNNEL:
            self.pause_reading()

    def resume(self) -> None:
        if self.move(ClientEvent.RESUME) or self.state is TUNNEL:
            self.resume_reading()
