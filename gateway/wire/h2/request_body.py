"""The body of a request on its stream: taken whole, relayed, or left.

The caller may send as much as the window of the stream, beyond what the endpoint took: credit is given back when the
sink has taken the bytes. The window of the connection is not concerned, or a few uploads that stand still would close
it for all others.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED, RequestHead
from gateway.core.stream import BodySink, Tunnel
from gateway.errors import GatewayError
from gateway.wire.h2.body_writer import BodyWriter
from gateway.wire.h2.codes import FLOW_CONTROL_ERROR, PROTOCOL_ERROR
from gateway.wire.h2.frames import window_update
from gateway.wire.h2.outlet import Outlet
from gateway.wire.h2.states import REQUEST, REQUEST_TIMERS, RequestEvent, RequestState
from gateway.wire.pace import Pace
from gateway.wire.state_table import following
from gateway.wire.timer import LazyTimer

STREAM_WINDOW: Final = 65536

# Bound once: Python 3.11 takes 0.13 us to look a member up.
OPEN, RECEIVING, HELD, REST, DONE = RequestState


class RequestBody(BodyWriter):
    """Base of a stream of a server: a `gateway.core.stream.Source`, above the sink of its response."""

    __slots__ = (
        "_awaits_continue",
        "_body_timer",
        "_complete",
        "_consumed",
        "_expected",
        "_length",
        "_link",
        "_on_uploaded",
        "_owed",
        "_parts",
        "_receive_window",
        "_sink",
        "_stash",
        "_trailers_in",
        "_upload_pace",
        "exchange",
        "limits",
        "rejected",
        "request_state",
        "tunnel",
    )

    def __init__(self, link: Outlet, ident: int) -> None:
        super().__init__(link, ident, link.peer_window)
        self._link = link
        self.limits = link.limits
        self.exchange: Exchange | None = None
        """While it runs."""
        self.tunnel: Tunnel | None = None
        """What the exchange has become."""
        self.request_state = DONE
        self._length = 0
        """As in `RequestHead`."""
        self._expected = 0
        """Bytes to come, as the head announced; `CHUNKED`: it announced none."""
        self._complete = True
        self._awaits_continue = False
        self._receive_window = STREAM_WINDOW
        self._consumed = 0
        """Bytes that were taken and not credited yet."""
        self._owed = 0
        """Bytes that the sink has, but could not pass on yet."""
        self._parts: list[memoryview] = []
        """What this read brought: in the buffer of the pool, which is overwritten after it."""
        self._stash = bytearray()
        """What earlier reads brought and no one has taken."""
        self._trailers_in: list[bytes] = []
        self.rejected: GatewayError | None = None
        """Why the body must not have its end, which has come: a response says it, as in HTTP/1.1."""
        self._sink: BodySink | None = None
        self._on_uploaded: Callable[[], None] | None = None
        self._upload_pace: Pace | None = None
        self._body_timer: LazyTimer | None = None

    def expect(self, head: RequestHead, *, ended: bool) -> None:
        """The stream begins with ``head``. ``ended``: END_STREAM came with it."""
        self._length = self._expected = head.length
        self._complete = not head.length
        if b"upgrade" in head.known:  # what follows is no body, and as long as the tunnel lasts
            self._expected = CHUNKED
        if not ended:
            self.request_state = OPEN
            self._awaits_continue = b"expect" in head.known and head.known[b"expect"].lower() == b"100-continue"

    @property
    def request_ended(self) -> bool:
        """END_STREAM has come: nothing but RST_STREAM, WINDOW_UPDATE and PRIORITY may follow."""
        return self.request_state is REST or self.request_state is DONE

    def move_request(self, event: RequestEvent) -> bool:
        """Follow the table of `states.py`, to the next state and its timer; False when the state ignores ``event``."""
        after = following(REQUEST[event], self.request_state)
        if after is self.request_state:
            return False
        self.request_state = after
        if REQUEST_TIMERS[after] == "body":
            if self._body_timer is None:
                self._body_timer = LazyTimer(self._link.loop, self._on_body_timeout)
            self._body_timer.arm(monotonic() + self.limits.body_timeout)
        elif self._body_timer is not None:
            self._body_timer.disarm()
        return True

    # -- what comes

    def begin_frame(self, size: int) -> None:
        """A frame of DATA with ``size`` bytes, padding included. Raises as `Outlet.fault`."""
        self._receive_window -= size
        if self._receive_window < 0:
            self._link.fault(self.ident, FLOW_CONTROL_ERROR, errors.BAD_REQUEST)

    def take(self, piece: memoryview, *, ended: bool) -> None:
        """Payload, for `deliver`. Raises as `Outlet.fault`."""
        if self._expected >= 0:
            self._expected -= len(piece)
            # RFC 9113 8.1.1: a body of another length than its head announced is malformed.
            if self._expected < 0 or (ended and self._expected):
                self._link.fault(self.ident, PROTOCOL_ERROR, errors.BAD_FRAMING)
                return
        if piece:
            self._parts.append(piece)
        if ended:
            self.move_request(RequestEvent.LAST)

    def take_trailers(self, lines: list[bytes]) -> None:
        """They end the body. Raises as `Outlet.fault`."""
        self._trailers_in = lines
        self.take(memoryview(b""), ended=True)

    def deliver(self) -> None:
        """At the end of the read: give on what it brought, or keep it."""
        parts, self._parts = self._parts, []
        sink, state = self._sink, self.request_state
        if sink is not None and not self._stash and (state is RECEIVING or (state is REST and not sink.full)):
            self._relay(sink, parts, pooled=True)
        elif self.tunnel is not None:
            self._pass_on(parts)
        else:
            for part in parts:
                self._stash += part

    def _pass_on(self, parts: list[memoryview]) -> None:
        """Bytes of a tunnel."""
        raise NotImplementedError

    def consume(self, size: int) -> None:
        """The caller may send so many bytes more. It is credited at half a window."""
        self._consumed += size
        if self._consumed * 2 >= STREAM_WINDOW and not self.request_ended:
            self._receive_window += self._consumed
            self._link.emit(window_update(self.ident, self._consumed))
            self._consumed = 0

    # -- whole

    @property
    def body_complete(self) -> bool:
        """Every byte of the request's body was taken."""
        return self._complete

    def take_body(self) -> bytes | None:
        """The whole body, when its length is known and it has come already; None when it must be relayed."""
        if self._length == CHUNKED or self.request_state is not REST or self.rejected is not None:
            return None
        body = bytes(self._stash)
        self._stash.clear()
        if self.exchange is not None:
            self.exchange.bytes_in += len(body)
        self._complete = True
        self.move_request(RequestEvent.TAKEN)
        return body

    @property
    def awaits_continue(self) -> bool:
        """The caller sent ``Expect: 100-continue`` and holds its body back."""
        return self._awaits_continue and not self._stash and self.request_state is OPEN

    # -- relayed

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
        """Relay the body to ``sink`` as it comes; ``on_end`` is called after its last byte."""
        if self.request_state is DONE:  # reset meanwhile
            return
        self._awaits_continue = False
        self._sink = sink
        self._on_uploaded = on_end
        self._upload_pace = Pace(self.limits.min_body_rate)
        self.move_request(RequestEvent.PIPED)
        sink.begin_body(self, self._length)
        if self.request_state is not HELD and not sink.full:
            self._upload_pace.begin(monotonic())
            self._take_stashed(sink)

    def stop_body(self) -> None:
        """No one takes more of the body."""
        if self._sink is not None:
            self._sink = None
            self.move_request(RequestEvent.STOPPED)

    def hold(self) -> None:
        # The endpoint is slow to take the body: its time runs now, not the caller's.
        if self.move_request(RequestEvent.HOLD) and self._upload_pace is not None:
            self._upload_pace.pause(monotonic())

    def resume(self) -> None:
        owed, self._owed = self._owed, 0
        self.consume(owed)
        sink = self._sink
        if sink is None:
            return
        if self.move_request(RequestEvent.RESUME):
            if self._upload_pace is not None:
                self._upload_pace.begin(monotonic())
            self._take_stashed(sink)
        elif self.request_state is REST:
            self._take_stashed(sink)

    def _take_stashed(self, sink: BodySink) -> None:
        stash, self._stash = self._stash, bytearray()
        if stash or self.request_state is REST:
            self._relay(sink, [memoryview(stash)] if stash else [], pooled=False)

    def _relay(self, sink: BodySink, parts: list[memoryview], *, pooled: bool) -> None:
        size = sum(map(len, parts))
        if not self._may_pass(size):
            return
        if parts:
            sink.pieces(parts, pooled=pooled)
        if sink.full:
            self._owed += size
        else:
            self.consume(size)
        if self.request_state is REST and self._sink is sink:
            if self.rejected is not None:
                self._fail_upload(self.rejected)
                return
            self._sink = None
            self._complete = True
            self.move_request(RequestEvent.TAKEN)
            sink.end(self._trailers_in)
            if self._on_uploaded is not None:
                self._on_uploaded()

    def _may_pass(self, size: int) -> bool:
        """Whether ``size`` bytes came in time, and are not too many."""
        now, exchange = monotonic(), self.exchange
        if self.request_state is RECEIVING and self._body_timer is not None:
            self._body_timer.arm(now + self.limits.body_timeout)
        if exchange is None:
            return True
        exchange.bytes_in += size
        if self._upload_pace is not None and self._upload_pace.too_slow(size, now) and not exchange.committed:
            self._fail_upload(
                GatewayError(errors.CLIENT_TIMEOUT, "The request body came slower than limits.min_body_rate")
            )
            return False
        if 0 < self.limits.max_body_bytes < exchange.bytes_in:
            details = f"The request body exceeds {self.limits.max_body_bytes} bytes"
            self._fail_upload(GatewayError(errors.BODY_TOO_LARGE, details))
            return False
        return True

    def _fail_upload(self, error: GatewayError) -> None:
        sink = self._sink
        self.stop_body()
        if sink is not None:
            sink.fail(error)

    def _on_body_timeout(self) -> None:
        exchange, sink = self.exchange, self._sink
        if exchange is not None and exchange.committed and sink is not None and not sink.body_idle:
            return  # a dialogue, in which both sides may be silent for as long as they like
        self.move_request(RequestEvent.EXPIRED)
        self._fail_upload(GatewayError(errors.CLIENT_TIMEOUT, "The request body did not come in time"))

    def close_request(self) -> None:
        """The stream has ended."""
        if self.request_state is not DONE:
            self.move_request(RequestEvent.CLOSED)
            self._parts.clear()
            self._stash.clear()
        self._sink = self._on_uploaded = None
        if self._body_timer is not None:
            self._body_timer.close()
            self._body_timer = None
