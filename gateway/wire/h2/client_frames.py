"""The rules for what comes on a connection to an endpoint, and the places of the streams on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.clock import Clock
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientSession
from gateway.wire.h2.budget import Budget
from gateway.wire.h2.client_response import ClientResponse
from gateway.wire.h2.codes import (
    ACK,
    ENABLE_PUSH,
    HTTP_1_1_REQUIRED,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME,
    MAX_STREAM_ID,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    H2Error,
    code_name,
)
from gateway.wire.h2.frame_reader import FrameReader
from gateway.wire.h2.frame_writer import FrameWriter
from gateway.wire.h2.frames import frame, rst_stream
from gateway.wire.h2.response_heads import ResponseHeads
from gateway.wire.h2.shared import Shared
from gateway.wire.timer import LazyTimer

MAX_STREAMS: Final = 100
"""At once, whatever more the endpoint allows: beyond that another connection is better."""
_MAX_BLOCK: Final = 9 * MAX_FRAME
_MAX_REMEMBERED: Final = 256
"""Streams that were reset here last: what still comes on them was on its way."""
_TIMER_SECONDS: Final = 0.001
"""A timer may fire this much too early."""


def _refusal(what: str, code: int, *, unprocessed: bool, first: bool = False) -> GatewayError:
    """``first``: the connection was opened for it."""
    details = f"The upstream {what}: {code_name(code)}"
    if code == HTTP_1_1_REQUIRED and not unprocessed:
        details += "; where http2: always is set, write auto or never"
    # An endpoint that restarts, or wants another protocol, is healthy: as on a stale connection, the retry decides. One
    # that refuses what a new connection begins with may refuse everything.
    healthy = unprocessed and (code == HTTP_1_1_REQUIRED or (code == NO_ERROR and not first))
    return GatewayError(errors.UPSTREAM_RESET, details, retryable=healthy, unprocessed=unprocessed)


class ClientFrames(FrameWriter):
    """Base of `H2Client`: a `gateway.wire.h2.frame_reader.Receiver`."""

    __slots__ = (
        "_broken",
        "_budget",
        "_going",
        "_heads",
        "_last",
        "_limit",
        "_opened",
        "_reader",
        "_reset_here",
        "_streams",
        "_taken",
        "_timer",
        "_touched",
        "body_idle",
        "leaving",
        "on_abandoned",
        "on_free",
        "on_http_1_1",
        "on_lost",
        "read_at",
        "scheme",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        shared: Shared,
        scheme: bytes,
        clock: Clock = monotonic,
    ) -> None:
        """``clock``: of the budget."""
        super().__init__(loop, buffers, shared.encoder)
        self.scheme = scheme
        self.on_lost: Callable[[ClientSession], None] | None = None
        self.on_free: Callable[[ClientSession], None] | None = None
        self.on_http_1_1: Callable[[], bool] | None = None
        self.on_abandoned: Callable[[float], object] | None = None
        self.body_idle = 0.0
        self.leaving = False
        self.read_at = 0.0
        self._opened: asyncio.Future[None] = loop.create_future()
        self._streams: dict[int, ClientResponse] = {}
        """Those that are open or half-closed."""
        self._taken = 0
        """Places that are taken: by those, and by streams that have yet to begin."""
        self._limit = MAX_STREAMS
        self._last = -1
        """The newest stream that has begun."""
        self._reset_here: dict[int, None] = {}
        self._touched: dict[ClientResponse, None] = {}
        """Streams to which this read has brought something."""
        self._budget = Budget("too many frames that move nothing", 10_000, 330, clock)
        self._reader = FrameReader(self, self._budget, preface=False, max_block=_MAX_BLOCK)
        self._heads = ResponseHeads(shared.huffman)
        self._going = False
        """No stream may begin: the endpoint has said so, or the numbers are used up (RFC 9113 5.1.1)."""
        self._broken = False
        """The endpoint broke a rule: what it sends has no known meaning any more."""
        self._timer = LazyTimer(loop, self._on_time)
        """Of all streams: to arm one for each request would cost more."""

    def close(self) -> None:
        """Close, once what was written is sent."""
        raise NotImplementedError

    def _place_free(self) -> None:
        """There is room for a stream again, or a stream has ended."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """Streams that may be opened now."""
        return 0 if self.leaving or not self.alive else self._limit - self._taken

    # -- streams

    def begin(self, stream: ClientResponse) -> bool:
        """As `Carrier.begin`."""
        if self._going or not self.alive:
            return False
        self._last += 2
        if self._last >= MAX_STREAM_ID:
            self._going = self.leaving = True
        stream.ident = self._last
        stream.send_window = self.peer_window
        self._streams[self._last] = stream
        return True

    def end(self, stream: ClientResponse, code: int) -> None:
        """As `Carrier.end`."""
        ident = stream.ident
        if not ident:
            if stream.placed:
                stream.placed = False
                self._free()
            return
        if self._streams.get(ident) is not stream:
            return
        if code != NO_ERROR:
            self._reset(ident, code)
        self._over(stream)

    def _reset(self, ident: int, code: int) -> None:
        self.emit(rst_stream(ident, code))
        reset = self._reset_here
        reset[ident] = None
        if len(reset) > _MAX_REMEMBERED:
            del reset[next(iter(reset))]

    def fault(self, stream: ClientResponse, code: int, error: GatewayError) -> None:
        """As `Carrier.fault`."""
        self.end(stream, code)
        stream.reset(error)

    def _over(self, stream: ClientResponse) -> None:
        """The stream has ended on the wire."""
        if self._streams.pop(stream.ident, None) is not None:
            self.waiters.pop(stream, None)
            self._free()

    def _free(self) -> None:
        self._taken -= 1
        if self.leaving:
            if not self._taken and not self._broken and self.alive:
                self.close()
        else:
            self._place_free()

    def touch(self, stream: ClientResponse) -> None:
        """As `Carrier.touch`."""
        self._touched[stream] = None

    def abandoned(self, gone_at: float) -> None:
        """As `Carrier.abandoned`."""
        if self.on_abandoned is not None:
            self.flush()
            self.on_abandoned(monotonic() - gone_at)

    # -- time

    def watch(self, at: float) -> None:
        """As `Carrier.watch`."""
        armed = self._timer.expires_at
        if not armed or at < armed:
            self._timer.arm(at)

    def _on_time(self) -> None:
        now = monotonic() + _TIMER_SECONDS
        for stream in list(self._streams.values()):
            if 0.0 < stream.expires_at <= now:
                stream.expire()
        next_at = min([s.expires_at for s in self._streams.values() if s.expires_at], default=0.0)
        if next_at:
            self.watch(next_at)

    def silent_since(self, at: float) -> None:
        """As `Carrier.silent_since`. Where nothing at all has come since, the connection may lead nowhere any more."""
        if self.read_at < at:
            self.leaving = True

    # -- a `gateway.wire.h2.frame_reader.Receiver`

    def on_headers(self, ident: int, block: bytes, *, ended: bool) -> None:
        stream = self._streams.get(ident)
        if stream is not None:
            stream.take_headers(self._heads, block, ended=ended)
            return
        self._heads.skip(block)
        self._late(ident, "HEADERS")

    def on_data_frame(self, ident: int, size: int) -> None:
        self.credit(size)
        stream = self._streams.get(ident)
        if stream is not None:
            stream.begin_frame(size)
        else:
            self._late(ident, "DATA")

    def on_padding(self, ident: int, size: int) -> None:
        stream = self._streams.get(ident)
        if stream is not None:
            stream.consume(size)

    def on_data(self, ident: int, piece: memoryview, *, ended: bool) -> None:
        stream = self._streams.get(ident)
        if stream is not None:
            stream.take(piece, ended=ended)

    def _late(self, ident: int, name: str) -> None:
        """HEADERS or DATA on a stream that is closed."""
        self._check_begun(ident)
        if ident not in self._reset_here:  # RFC 9113 5.1: else it was on its way
            raise H2Error(STREAM_CLOSED, f"{name} are on a stream that was closed")

    def on_reset(self, ident: int, code: int) -> None:
        stream = self._streams.get(ident)
        if stream is None:
            self._check_begun(ident)
            self._budget.spend(1)
            return
        self._over(stream)
        # RFC 9113 8.7: the endpoint says that it has done nothing with the request.
        unprocessed = code == REFUSED_STREAM or (code == HTTP_1_1_REQUIRED and self._falls_back())
        stream.reset(_refusal("reset the stream", code, unprocessed=unprocessed and not stream.first_byte_at))

    def _falls_back(self) -> bool:
        """The endpoint requires HTTP/1.1 (RFC 9113 7); whether the next requests are made in it."""
        return self.on_http_1_1 is not None and self.on_http_1_1()

    def on_window(self, ident: int, step: int) -> None:
        if not ident:
            self.widen(step)
            return
        stream = self._streams.get(ident)
        if stream is None:
            self._check_begun(ident)
            self._budget.spend(1)
        else:
            stream.open_window(step)

    def on_settings(self, pairs: list[tuple[int, int]]) -> None:
        for key, value in pairs:
            if key == INITIAL_WINDOW_SIZE:
                step, self.peer_window = value - self.peer_window, value
                for stream in list(self._streams.values()):
                    stream.open_window(step)
            elif key == MAX_CONCURRENT_STREAMS:
                self._limit = min(value, MAX_STREAMS)
            elif key == ENABLE_PUSH and value:  # RFC 9113 6.5.2
                raise H2Error(PROTOCOL_ERROR, "a server sent ENABLE_PUSH")
        self.emit(frame(SETTINGS, ACK, 0, b""))
        if not self._opened.done():
            self._opened.set_result(None)
        elif self.room > 0:
            self._place_free()

    def on_ping(self, payload: bytes) -> None:
        self.emit(frame(PING, ACK, 0, payload))

    def on_ping_ack(self, payload: bytes) -> None:
        """Of no PING of ours."""

    def on_goaway(self, last: int, code: int) -> None:
        """No more streams begin; those that run end as they would (RFC 9113 6.8)."""
        self._going = self.leaving = True
        unprocessed = code != HTTP_1_1_REQUIRED or self._falls_back()
        for stream in [stream for ident, stream in self._streams.items() if ident > last]:
            self._over(stream)
            untouched = unprocessed and not stream.first_byte_at
            stream.reset(_refusal("closes the connection", code, unprocessed=untouched, first=stream.ident == 1))
        if not self._taken and self.alive:
            self.close()

    def on_stream_error(self, ident: int, code: int, details: str) -> None:
        stream = self._streams.get(ident)
        if stream is not None:
            self.fault(stream, code, GatewayError(errors.UPSTREAM_BAD_RESPONSE, f"On the stream, {details}"))
        else:
            self._check_begun(ident)
            self._budget.spend(1)

    def _check_begun(self, ident: int) -> None:
        if ident > self._last or not ident & 1:
            raise H2Error(PROTOCOL_ERROR, "a frame is on a stream that has not begun")
