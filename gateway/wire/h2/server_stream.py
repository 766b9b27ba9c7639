"""The stream of one request: its response, in frames, as far as the windows are open."""

from __future__ import annotations

import asyncio
from time import monotonic

from gateway import errors
from gateway.core.message import ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Source, Trailer
from gateway.wire.h2.codes import FLOW_CONTROL_ERROR
from gateway.wire.h2.encoder import field
from gateway.wire.h2.outlet import Outlet
from gateway.wire.h2.states import RESPONSE, RESPONSE_TIMERS, ResponseEvent, ResponseState
from gateway.wire.h2.tunnel_side import TunnelSide
from gateway.wire.pace import Pace
from gateway.wire.state_table import following
from gateway.wire.timer import LazyTimer

# Bound once: Python 3.11 takes 0.13 us to look a member up.
WAITING, SENDING, BLOCKED, TUNNEL, DONE = ResponseState


class H2ServerStream(TunnelSide):
    """A `gateway.core.stream.ServerStream`. The session above it is its `Outlet`, and knows it by its number."""

    __slots__ = (
        "_prelude",
        "_send_pace",
        "_send_timer",
        "_sent",
        "_trailer",
        "leaving",
        "malformed",
        "peer",
        "response_state",
    )

    def __init__(self, link: Outlet, ident: int, peer: Peer) -> None:
        super().__init__(link, ident)
        self.peer = peer
        self.response_state = WAITING
        self.malformed = False
        """The request breaks a rule of HTTP/2: its stream is reset behind the response."""
        self.leaving = False
        """The stream is closed, and its exchange has yet to end."""
        self._prelude = b""
        """The header block of the response, which goes out with the first of the body."""
        self._trailer: Trailer | None = None
        self._sent: asyncio.Future[None] | None = None
        self._send_timer: LazyTimer | None = None
        self._send_pace: Pace | None = None

    def move_response(self, event: ResponseEvent) -> bool:
        """As `move_request`. The transitions of a small response, to SENDING and to DONE, do the same by hand, because
        a call costs.
        """
        after = following(RESPONSE[event], self.response_state)
        if after is self.response_state:
            return False
        self.response_state = after
        if RESPONSE_TIMERS[after] == "body":
            if self._send_timer is None:
                self._send_timer = LazyTimer(self._link.loop, self._on_send_timeout)
                self._send_pace = Pace(self.limits.min_body_rate)
            self._send_timer.arm(monotonic() + self.limits.body_timeout)
        elif self._send_timer is not None:
            self._send_timer.disarm()
        return True

    @property
    def ending(self) -> bool:
        """The response has an end, sent or due."""
        return self.response_state is DONE or self._end_due

    # -- head

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on (RFC 9113 8.1)."""
        if head.status == 100:
            self._awaits_continue = False
        if self.response_state is WAITING:
            self._link.emit_headers(self.ident, self._link.encoder.interim(head), ended=False)

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        """As `ServerStream.begin`."""
        encoder = self._link.encoder
        block = encoder.response(head) + encoder.lines(lines)
        if trailer is not None and head.length:
            block += field(b"trailer", trailer.name.lower())
            self._trailer = trailer
        if self.response_state is WAITING:
            self.response_state = SENDING
            self._prelude = block
            self._source = source

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """As `ServerStream.respond`."""
        assert self.exchange is not None
        self.stop_body()
        if self.response_state is WAITING:
            self.response_state = SENDING
            self._prelude = self._link.encoder.own(status, lines, len(body))
            self._link.answered = True
            self.whole(memoryview(b"" if self.exchange.request.method == b"HEAD" else body))

    def flush(self) -> None:
        """Do not wait for the body's first bytes."""
        prelude, self._prelude = self._prelude, b""
        if prelude:
            self._link.emit_headers(self.ident, prelude, ended=False)

    # -- body: a `BodyWriter`

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`: a caller gets a frame for each, as they came."""
        for part in parts:
            self.data(part, pooled=pooled)

    def _send_end(self, trailers: list[bytes]) -> None:
        if self._trailer is not None:
            trailers = [*trailers, self._trailer.line()]
            self._trailer = None
        if trailers:
            self.flush()
        prelude, self._prelude = self._prelude, b""
        if prelude:  # RFC 9113 8.1: a response without a body is one frame
            self._link.emit_headers(self.ident, prelude, ended=True)
            self._written()
        else:
            super()._send_end(trailers)

    def _trailers_due(self) -> bool:
        return self._trailer is not None or super()._trailers_due()

    def _on_written(self) -> None:
        self.response_state = DONE
        self._trailer = None
        self._link.response_ended(self.ident)
        super()._on_written()

    def _on_overflow(self) -> None:
        self._link.fault(self.ident, FLOW_CONTROL_ERROR, errors.BAD_REQUEST)

    def _on_full(self) -> None:
        self.move_response(ResponseEvent.BLOCK)
        if self._send_pace is not None:
            self._send_pace.begin(self._blocked_since)

    def _takes_in_time(self, size: int) -> bool:
        if self._send_pace is not None and self._send_pace.too_slow(size, monotonic()):
            self._on_send_timeout()
            return False
        return True

    def _on_taken_in_part(self) -> None:
        if self._send_timer is not None:
            self._send_timer.arm(monotonic() + self.limits.body_timeout)

    def _on_taken(self) -> None:
        self.move_response(ResponseEvent.TAKEN)
        if self._send_pace is not None:
            self._send_pace.pause(monotonic())
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def _on_send_timeout(self) -> None:
        """The caller opened no window for too long, or too little."""
        self._link.stalled(self.ident)

    async def sent(self) -> float:
        """As `ServerStream.sent`."""
        if self.full:
            if self.move_response(ResponseEvent.OVER) and self._send_pace is not None:
                self._send_pace.begin(monotonic())
            self._sent = self._link.loop.create_future()
            try:
                await self._sent
            finally:
                self._sent = None
        return self.blocked

    @property
    def delivering(self) -> bool:
        """All is written, and the exchange waits in `sent`."""
        return self._sent is not None

    # -- a tunnel

    def switch(self, head: ResponseHead, lines: bytes, far: ClientStream) -> None:
        """As `ServerStream.switch`: in HTTP/2 the response is a 200 (RFC 8441 5)."""
        tunnel = self.join(far)
        if self.response_state is not WAITING:  # closed meanwhile
            tunnel.caller_lost()
            return
        self.move_response(ResponseEvent.SWITCH)
        encoder = self._link.encoder
        self._prelude = encoder.switched(head) + encoder.lines(lines)
        self.resume()  # what the caller sent behind its head
        if self._link.draining:
            tunnel.drain()

    # -- end

    def cut(self) -> None:
        """Reset the stream: what was sent of a response must not look like a complete one."""
        self._link.cut_off(self.ident)

    def close(self) -> None:
        """The stream has ended, by END_STREAM of both sides, RST_STREAM, or with its connection."""
        self.close_request()
        if self.response_state is not DONE:
            self.move_response(ResponseEvent.CLOSED)
        self.stop_writing()
        self._prelude = b""
        self._trailer = None
        if self._send_timer is not None:
            self._send_timer.close()
            self._send_timer = None
