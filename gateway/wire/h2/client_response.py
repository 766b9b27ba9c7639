"""A response on a stream of a connection to an endpoint, as it comes.

It begins at the end of the read that brought its head, so that one that came whole leaves whole. The endpoint may send
as much as the window of the stream, beyond what the caller took: credit is given back when the sink has taken the
bytes. The window of the connection is not concerned, so that one slow caller never stops the others.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, ResponseHead
from gateway.core.stream import Reply, Sink
from gateway.errors import GatewayError
from gateway.wire.h2.body_writer import BodyWriter
from gateway.wire.h2.carrier import Carrier
from gateway.wire.h2.client_states import CLIENT, CLIENT_TIMERS, ClientEvent, ClientState
from gateway.wire.h2.codes import CANCEL, FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED
from gateway.wire.h2.frame_writer import FrameWriter
from gateway.wire.h2.frames import window_update
from gateway.wire.h2.response_heads import ResponseHeads
from gateway.wire.state_table import following

STREAM_WINDOW: Final = 65536
_LIMITS: Final = Limits()

# Bound once: Python 3.11 takes 0.13 us to look a member up.
NEW, HEAD, STALLED, BODY, HELD, REST, DONE, CLOSED = ClientState


class ClientResponse(BodyWriter):
    """Base of `H2ClientStream`: a `gateway.core.stream.Source`."""

    __slots__ = (
        "_begun",
        "_carrier",
        "_consumed",
        "_done",
        "_ended",
        "_expected",
        "_head",
        "_head_reason",
        "_interim_count",
        "_owed",
        "_parts",
        "_receive_window",
        "_reply",
        "_sink",
        "_stash",
        "_to_head",
        "_trailers_in",
        "body_idle",
        "expires_at",
        "first_byte_at",
        "last_byte_at",
        "limits",
        "placed",
        "sent_at",
        "state",
    )

    def __init__(self, carrier: Carrier[ClientResponse], writer: FrameWriter, body_idle: float) -> None:
        """``body_idle``: longest pause in a body, in seconds; 0: none."""
        super().__init__(writer)
        self._carrier = carrier
        self.body_idle = body_idle
        self.state = NEW
        self.limits = _LIMITS
        self.expires_at = 0.0
        """When the timer of the state ends; 0.0: it does not run."""
        self.placed = True
        """It has not begun, and its place is taken."""
        self.sent_at = 0.0
        self.first_byte_at = 0.0
        self.last_byte_at = 0.0
        self._done: asyncio.Future[None] | None = None
        self._reply: Reply | None = None
        self._sink: Sink | None = None
        self._to_head = False
        self._head_reason = errors.HEADER_TIMEOUT
        self._interim_count = 0
        self._head: ResponseHead | None = None
        """The final head, when this read brought it."""
        self._begun = False
        """The final head has come."""
        self._ended = False
        """END_STREAM has come."""
        self._expected = CHUNKED
        """Bytes of the body to come, as the head announced; `CHUNKED`: it announced none."""
        self._receive_window = STREAM_WINDOW
        self._consumed = 0
        """Bytes that were taken and not credited yet."""
        self._owed = 0
        """Bytes that the sink has, but could not pass on yet."""
        self._parts: list[memoryview] = []
        """What this read brought: in the buffer of the pool, which is overwritten after it."""
        self._stash = bytearray()
        """What earlier reads brought and the sink did not take."""
        self._trailers_in: list[bytes] = []

    def move(self, event: ClientEvent) -> bool:
        """Follow the table of `client_states.py`, to the next state and its timer; False when the state ignores it."""
        after = following(CLIENT[event], self.state)
        if after is self.state:
            return False
        self.state = after
        if CLIENT_TIMERS[after] == "idle" and self.body_idle:
            self._expire_at(monotonic() + self.body_idle)
        else:
            self.expires_at = 0.0
        return True

    def _expire_at(self, at: float) -> None:
        self.expires_at = at
        self._carrier.watch(at)

    # -- the response: what comes

    @property
    def trailers(self) -> list[bytes]:
        """As `ClientStream.trailers`."""
        return self._trailers_in

    def take_headers(self, heads: ResponseHeads, block: bytes, *, ended: bool) -> None:
        """Raises `H2Error`."""
        if self._begun:
            self._take_trailers(heads, block, ended=ended)
            return
        try:
            head = heads.response(block, self.limits, to_head=self._to_head, ended=ended)
            if head.status < 200:
                self._take_interim(head, ended=ended)
                return
        except GatewayError as error:
            self._carrier.fault(self, PROTOCOL_ERROR, error)
            return
        self.first_byte_at = self.last_byte_at = self._carrier.read_at
        self._begun = True
        self._head = head
        self._expected = head.length
        if ended:
            self._end_in()
        self._carrier.touch(self)

    def _take_interim(self, head: ResponseHead, *, ended: bool) -> None:
        self._interim_count += 1
        self.last_byte_at = self._carrier.read_at
        most = self.limits.max_interim_responses
        details = ""
        if ended:
            details = "An interim response ends the stream"
        elif head.status == 101:  # RFC 9113 8.6
            details = "The response switches protocols"
        elif self._interim_count > most:
            details = f"No final response came after {most} interim responses"
        if details:
            raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, details)
        if self._reply is not None:
            self._reply.interim(head)

    def _take_trailers(self, heads: ResponseHeads, block: bytes, *, ended: bool) -> None:
        if self._ended or not ended:
            heads.skip(block)
            code = STREAM_CLOSED if self._ended else PROTOCOL_ERROR
            self._malformed(code, "HEADERS stand in the middle, or behind the end, of the response")
            return
        try:
            self._trailers_in = heads.trailers(block, self.limits)
        except GatewayError as error:
            self._carrier.fault(self, PROTOCOL_ERROR, error)
            return
        self.take(memoryview(b""), ended=True)

    def begin_frame(self, size: int) -> None:
        """A frame of DATA with ``size`` bytes, padding included."""
        self._receive_window -= size
        if not self._begun:
            self._malformed(PROTOCOL_ERROR, "The response has no head")
        elif self._ended:
            self._malformed(STREAM_CLOSED, "The response goes on behind its end")
        elif self._receive_window < 0:
            self._malformed(FLOW_CONTROL_ERROR, "The response is larger than the window of its stream")

    def take(self, piece: memoryview, *, ended: bool) -> None:
        """Payload, for `deliver`."""
        if self.state is CLOSED:
            return
        if self._expected >= 0:
            self._expected -= len(piece)
            # RFC 9113 8.1.1: a body of another length than its head announced is malformed.
            if self._expected < 0 or (ended and self._expected):
                self._malformed(PROTOCOL_ERROR, "The body of the response is not as long as its head announced")
                return
        self.last_byte_at = self._carrier.read_at
        if piece:
            self._parts.append(piece)
        if ended:
            self._end_in()
        self._carrier.touch(self)

    def _end_in(self) -> None:
        self._ended = True
        if self.written:
            self._carrier.end(self, NO_ERROR)

    def _malformed(self, code: int, details: str) -> None:
        self._carrier.fault(self, code, GatewayError(errors.UPSTREAM_BAD_RESPONSE, details))

    def reset(self, error: GatewayError) -> None:
        """The stream was reset by either side, or its connection has ended. A response that came whole stays one."""
        if self._ended:
            self.stop_writing()
        else:
            self._fail(error)

    # -- the response: given on

    def deliver(self) -> None:
        """At the end of the read: give on what it brought, or keep it."""
        parts, self._parts = self._parts, []
        head, self._head = self._head, None
        if head is not None:
            self._begin(head, parts)
            return
        sink = self._sink
        if sink is None:
            return
        if self.state is BODY:
            if self.expires_at:
                self.expires_at = self.last_byte_at + self.body_idle  # later than before: the timer may stay
            self._relay(sink, parts, pooled=True)
        else:
            self._keep(parts)

    def _begin(self, head: ResponseHead, parts: list[memoryview]) -> None:
        reply = self._reply
        if reply is None:
            return
        if self._ended and not self._trailers_in:
            self.move(ClientEvent.WHOLE)
            body = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
            reply.begin(head, None).whole(body)
            self._finish()
            return
        self.move(ClientEvent.BEGIN)
        self._sink = sink = reply.begin(head, self)
        if self.state is BODY:
            if parts or self._ended:
                self._relay(sink, parts, pooled=True)
            else:
                sink.flush()
        elif self.state is CLOSED:  # the reply does not want this response, and has failed the stream
            self._sink = None
        else:  # the caller takes nothing yet
            sink.flush()
            self._keep(parts)

    def _keep(self, parts: list[memoryview]) -> None:
        for part in parts:
            self._stash += part
        if self._ended:
            self.move(ClientEvent.LAST)

    def _relay(self, sink: Sink, parts: list[memoryview], *, pooled: bool) -> None:
        if parts:
            size = sum(map(len, parts))
            sink.pieces(parts, pooled=pooled)
            if sink.full:
                self._owed += size
            else:
                self.consume(size)
        if self._ended and self._sink is sink:
            if self.state is not REST:
                self.move(ClientEvent.LAST)
            self.move(ClientEvent.TAKEN)
            sink.end(self._trailers_in)
            self._finish()

    def _finish(self) -> None:
        """The response was given on, all of it."""
        self._sink = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def consume(self, size: int) -> None:
        """The endpoint may send so many bytes more. It is credited at half a window."""
        self._consumed += size
        if self._consumed * 2 >= STREAM_WINDOW and not self._ended and self.state is not CLOSED:
            self._receive_window += self._consumed
            self._writer.emit(window_update(self.ident, self._consumed))
            self._consumed = 0

    def hold(self) -> None:
        # The caller is slow: no fault of the endpoint, so its timer stops.
        self.move(ClientEvent.HOLD)

    def resume(self) -> None:
        owed, self._owed = self._owed, 0
        self.consume(owed)
        sink = self._sink
        if sink is None or not (self.move(ClientEvent.RESUME) or self.state is REST):
            return
        stash, self._stash = self._stash, bytearray()
        if stash or self._ended:
            self._relay(sink, [memoryview(stash)] if stash else [], pooled=False)

    # -- its end

    def _on_overflow(self) -> None:
        self._malformed(FLOW_CONTROL_ERROR, "The upstream opened the window of a stream too wide")

    def expire(self) -> None:
        """The endpoint did not do what the state waits for."""
        reason = self._head_reason if self.state is HEAD else errors.BODY_IDLE_TIMEOUT
        self.expires_at = 0.0
        self._carrier.silent_since(self.sent_at)
        self.fail(GatewayError(reason))

    def fail(self, error: GatewayError) -> None:
        """End the request with ``error``. The connection lives on."""
        self._carrier.end(self, CANCEL)
        self._fail(error)

    def _fail(self, error: GatewayError) -> None:
        done = self._done
        self._close()
        if done is not None and not done.done():
            done.set_exception(error)

    def _close(self) -> None:
        self.move(ClientEvent.CLOSE)
        self.stop_writing()
        self._parts.clear()
        self._stash.clear()
        self._head = self._sink = self._reply = self._done = None
