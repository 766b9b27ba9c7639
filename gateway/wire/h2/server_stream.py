"""The stream of one request: its response, in frames, as far as the windows are open."""

from __future__ import annotations

import asyncio
from time import monotonic

from gateway import errors
from gateway.core.message import ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Source, Trailer, Tunnel
from gateway.wire.h2.codes import DATA, END_STREAM, FLOW_CONTROL_ERROR, MAX_FRAME, MAX_WINDOW
from gateway.wire.h2.encoder import field
from gateway.wire.h2.frames import HEAD, frame
from gateway.wire.h2.outlet import Outlet
from gateway.wire.h2.request_body import RequestBody
from gateway.wire.h2.states import RESPONSE, RESPONSE_TIMERS, ResponseEvent, ResponseState
from gateway.wire.pace import Pace
from gateway.wire.state_table import following
from gateway.wire.timer import LazyTimer

# Bound once: Python 3.11 takes 0.13 us to look a member up.
WAITING, SENDING, BLOCKED, DONE = ResponseState


class H2ServerStream(RequestBody):
    """A `gateway.core.stream.ServerStream`. The session above it is its `Outlet`, and knows it by its number."""

    __slots__ = (
        "_blocked_since",
        "_end_due",
        "_pending",
        "_prelude",
        "_send_pace",
        "_send_timer",
        "_sent",
        "_source",
        "_trailer",
        "_trailers_out",
        "blocked",
        "body_out",
        "full",
        "leaving",
        "malformed",
        "peer",
        "response_state",
        "send_window",
        "takes_chunks",
        "tunnel",
    )

    def __init__(self, link: Outlet, ident: int, peer: Peer) -> None:
        super().__init__(link, ident)
        self.peer = peer
        self.tunnel: Tunnel | None = None
        self.response_state = WAITING
        self.send_window = link.peer_window
        self.full = False
        """Bytes of the response wait for a window, or for the socket."""
        self.takes_chunks = False
        self.body_out = 0
        self.blocked = 0.0
        self.malformed = False
        """The request breaks a rule of HTTP/2: its stream is reset behind the response."""
        self.leaving = False
        """The stream is closed, and its exchange has yet to end."""
        self._blocked_since = 0.0
        self._prelude = b""
        """The header block of the response, which goes out with the first of the body."""
        self._pending = b""
        """What waits."""
        self._end_due = False
        """The end of the body waits too."""
        self._trailers_out: list[bytes] = []
        self._trailer: Trailer | None = None
        self._source: Source | None = None
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

    # -- body

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`. What cannot be sent is copied: no transport gets the buffer of the pool."""
        del pooled
        if self.response_state is not DONE and piece:
            self.body_out += len(piece)
            self._send(piece, last=False)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        for part in parts:
            self.data(part, pooled=pooled)

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("HTTP/2 has no chunks")

    def ended(self) -> None:
        raise AssertionError("HTTP/2 has no chunks")

    def whole(self, body: memoryview) -> None:
        """The body in one piece."""
        if self.response_state is DONE:
            return
        self.body_out = len(body)
        if body:
            self._send(body, last=self._trailer is None)
        if self.response_state is not DONE and not self._end_due:
            self.end([])

    def end(self, trailers: list[bytes]) -> None:
        """The body is complete."""
        self._source = None
        if self.response_state is DONE:
            return
        if self.full:
            self._end_due = True
            self._trailers_out = trailers
        else:
            self._send_end(trailers)

    def _send(self, piece: memoryview, *, last: bool) -> None:
        """``last``: END_STREAM follows, and no trailers."""
        self.flush()
        link, size = self._link, len(piece)
        fits = 0
        if not self.full and not link.full:
            fits = min(size, self.send_window, link.send_window)
        if fits == size:
            self._send_frames(piece, ended=last)
            return
        if fits > 0:
            self._send_frames(piece[:fits], ended=False)
            piece = piece[fits:]
        self._pending += piece
        self._end_due = last
        self._block()

    def _send_frames(self, piece: memoryview, *, ended: bool) -> None:
        link, ident, size = self._link, self.ident, len(piece)
        self.send_window -= size
        link.send_window -= size
        start = 0
        while size - start > MAX_FRAME:
            link.emit(frame(DATA, 0, ident, bytes(piece[start : start + MAX_FRAME])))
            start += MAX_FRAME
        rest = size - start
        flags = END_STREAM if ended else 0
        link.emit(HEAD.pack(rest >> 8, rest & 0xFF, DATA, flags, ident) + (piece[start:] if start else piece))
        if ended:
            self._ended()

    def _send_end(self, trailers: list[bytes]) -> None:
        link = self._link
        if self._trailer is not None:
            trailers = [*trailers, self._trailer.line()]
            self._trailer = None
        if trailers:
            self.flush()
            encoder = link.encoder
            link.emit_headers(self.ident, b"".join([encoder.line(line) for line in trailers]), ended=True)
        elif self._prelude:  # RFC 9113 8.1: a response without a body is one frame
            link.emit_headers(self.ident, self._prelude, ended=True)
        else:
            link.emit(frame(DATA, END_STREAM, self.ident, b""))
        self._prelude = b""
        self._ended()

    def _ended(self) -> None:
        self.response_state = DONE
        self._source = self._trailer = None
        self._end_due = False
        self._link.response_ended(self.ident)

    # -- windows

    def _block(self) -> None:
        if self.send_window > 0:
            self._link.waiters[self] = None
        if self.full:
            return
        self.full = True
        self._blocked_since = now = monotonic()
        self.move_response(ResponseEvent.BLOCK)
        if self._send_pace is not None:
            self._send_pace.begin(now)
        if self._source is not None:
            self._source.hold()

    def open_window(self, step: int) -> None:
        """The caller takes ``step`` bytes more on this stream. Raises as `Outlet.fault`."""
        self.send_window += step
        if self.send_window > MAX_WINDOW:
            self._link.fault(self.ident, FLOW_CONTROL_ERROR, errors.BAD_REQUEST)
        elif self.full and self.send_window > 0:
            self._link.waiters[self] = None

    def send_more(self, most: int) -> None:
        """As `gateway.wire.h2.outlet.Waiter`."""
        pending, link = self._pending, self._link
        size = min(len(pending), most, self.send_window, link.send_window)
        if size <= 0 or self.response_state is not BLOCKED:
            return
        now = monotonic()
        if self._send_pace is not None and self._send_pace.too_slow(size, now):
            self._on_send_timeout()
            return
        self._pending = pending[size:]
        if not self._pending:
            self._unblock(now)
        last = self._end_due and not self.full and not self._trailers_out and self._trailer is None
        self._send_frames(memoryview(pending)[:size], ended=last)
        if self.full:
            if self._send_timer is not None:
                self._send_timer.arm(now + self.limits.body_timeout)
            if self.send_window > 0:
                link.waiters[self] = None
        elif self._end_due:
            self._send_end(self._trailers_out)
        elif self._source is not None:
            self._source.resume()

    def _unblock(self, now: float) -> None:
        self.full = False
        self.blocked += now - self._blocked_since
        self.move_response(ResponseEvent.TAKEN)
        if self._send_pace is not None:
            self._send_pace.pause(now)
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def _on_send_timeout(self) -> None:
        """The caller opened no window for too long, or too little."""
        self._link.stalled(self.ident)

    async def sent(self) -> float:
        """As `ServerStream.sent`."""
        if self.full:
            self._sent = self._link.loop.create_future()
            try:
                await self._sent
            finally:
                self._sent = None
        return self.blocked

    # -- end

    def switch(self, head: ResponseHead, lines: bytes, far: ClientStream) -> None:
        raise AssertionError("a request of HTTP/2 has no Upgrade, so no endpoint is asked for another protocol")

    def cut(self) -> None:
        """Reset the stream: what was sent of a response must not look like a complete one."""
        self._link.cut_off(self.ident)

    def close(self) -> None:
        """The stream has ended, by END_STREAM of both sides, RST_STREAM, or with its connection."""
        self.close_request()
        if self.response_state is not DONE:
            self.move_response(ResponseEvent.CLOSED)
        self._link.waiters.pop(self, None)
        self._pending = self._prelude = b""
        self.full = False
        self._source = self._trailer = None
        if self._send_timer is not None:
            self._send_timer.close()
            self._send_timer = None
