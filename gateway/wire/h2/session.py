"""What comes on a connection of HTTP/2 from a client: frames to streams, and every rule that a frame can break there.

A fault that concerns one stream resets it, and its exchange ends; any other ends the connection (RFC 9113 5.4). Resets
of both sides that come before a response is complete have one budget: a client that resets (CVE-2023-44487), and one
that makes the gateway reset (CVE-2025-8671), cost the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from gateway import errors
from gateway.core.clock import Clock
from gateway.core.message import HTTP_2, RequestHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Tunnel, TunnelEnd
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service
from gateway.wire.h2.budget import Budget
from gateway.wire.h2.codes import (
    ACK,
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    FLOW_CONTROL_ERROR,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW,
    NO_ERROR,
    NO_RFC7540_PRIORITIES,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    H2Error,
)
from gateway.wire.h2.frame_reader import MAX_BLOCK, FrameReader
from gateway.wire.h2.frame_writer import CONNECTION_WINDOW
from gateway.wire.h2.frames import frame, rst_stream, settings, window_update
from gateway.wire.h2.head import HeadReader
from gateway.wire.h2.outlet import Outlet
from gateway.wire.h2.request_body import STREAM_WINDOW
from gateway.wire.h2.server_stream import H2ServerStream
from gateway.wire.h2.shared import Shared as Shared

MAX_STREAMS: Final = 128
"""At once. One whose exchange has yet to end counts, however its stream ended."""
TOO_MANY_PINGS: Final = "too_many_pings"
"""A client of gRPC that reads this sends PINGs half as often from then on (gRFC A8)."""
_MAX_REMEMBERED: Final = 256
"""Streams that were closed last: what still comes on them was on its way, or is a fault."""
NO_REQUEST: Final = RequestHead(b"", b"", HTTP_2, [], {}, 0, True)


class Session(Outlet):
    """Base of `H2Server`: a `gateway.wire.h2.frame_reader.Receiver`."""

    __slots__ = (
        "_budget",
        "_closed",
        "_fresh",
        "_heads",
        "_last",
        "_leaving",
        "_open",
        "_pinged",
        "_pings",
        "_reader",
        "_refusing",
        "_resets",
        "_service",
        "_touched",
        "peer",
        "streams",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, shared: Shared, service: Service, clock: Clock
    ) -> None:
        limits = service.limits
        super().__init__(loop, buffers, shared.encoder, service.hangups, limits)
        self._service = service
        self.peer: Peer
        self.streams: dict[int, H2ServerStream] = {}
        """Those that are open or half-closed."""
        self._closed: dict[int, bool] = {}
        """The streams that were closed last, the oldest first; True: this side reset it."""
        self._leaving = 0
        """Streams that are closed, and whose exchange has yet to end."""
        self._fresh: deque[H2ServerStream] = deque()
        """Streams whose exchange has not begun, because it begins after the read, or waits for its turn."""
        self._open: dict[H2ServerStream, GatewayError | RequestHead] = {}
        """With what the exchange of each of those begins."""
        self._touched: dict[H2ServerStream, None] = {}
        """Streams of which this read has brought a part of the body."""
        self._last = 0
        """The highest stream that the client has begun."""
        self._refusing = False
        """No further stream is served: GOAWAY has named the last."""
        self._budget = Budget("too many frames that move nothing", 10_000, 330, clock)
        self._resets = Budget("too many streams that were reset", 200, 33, clock)
        self._pings = Budget(TOO_MANY_PINGS, 100, 0.2, clock)
        self._pinged = (0, 0)
        """The newest stream, and the window of the connection, when a PING came last."""
        self._reader = FrameReader(self, self._budget, preface=True, max_block=max(MAX_BLOCK, limits.max_header_bytes))
        self._heads = HeadReader(shared.huffman, limits)

    def _greet(self) -> None:
        pairs = [
            (MAX_CONCURRENT_STREAMS, MAX_STREAMS),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, self.limits.max_header_bytes),
            (ENABLE_CONNECT_PROTOCOL, 1),
            (NO_RFC7540_PRIORITIES, 1),
        ]
        self.emit(settings(pairs) + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW))

    # -- heads

    def on_headers(self, ident: int, block: bytes, *, ended: bool) -> None:
        stream = self.streams.get(ident)
        if stream is not None:
            self._take_trailers(stream, block, ended=ended)
            return
        if not ident & 1:
            raise H2Error(PROTOCOL_ERROR, "a client began a stream with an even number")
        if ident <= self._last:
            self._heads.skip(block)
            self._late(ident, "HEADERS")
            return
        if self._refusing or len(self.streams) + self._leaving >= MAX_STREAMS:
            self._heads.skip(block)
            self._last = ident
            self._resets.spend(1)
            self.emit(rst_stream(ident, REFUSED_STREAM))
            self._remember(ident, ours=True)
            return
        self._last = ident
        self.streams[ident] = stream = H2ServerStream(self, ident, self.peer)
        self._fresh.append(stream)
        try:
            head = self._heads.request(block, ended=ended)
        except GatewayError as error:
            self._open[stream] = error
            stream.expect(NO_REQUEST, ended=ended)
            if error.reason is errors.BAD_REQUEST or error.reason is errors.BAD_FRAMING:
                stream.malformed = True
                self._resets.spend(1)
        else:
            self._open[stream] = head
            stream.expect(head, ended=ended)
        self._began()

    def _take_trailers(self, stream: H2ServerStream, block: bytes, *, ended: bool) -> None:
        # RFC 9113 8.5: a tunnel has nothing but DATA.
        if stream.request_ended or not ended or stream.tunnel is not None:
            self._heads.skip(block)
            code = STREAM_CLOSED if stream.request_ended else PROTOCOL_ERROR
            self.fault(stream.ident, code, errors.BAD_REQUEST)
            return
        try:
            lines = self._heads.trailers(block)
        except GatewayError as error:
            if error.reason is not errors.BAD_FRAMING:  # RFC 9113 8.1.1: malformed
                self.fault(stream.ident, PROTOCOL_ERROR, error.reason)
                return
            lines, stream.rejected = [], error
        self._touched[stream] = None
        stream.take_trailers(lines)

    def _late(self, ident: int, name: str) -> None:
        """HEADERS or DATA on a stream that is closed."""
        ours = self._closed.get(ident)
        if ours:
            # RFC 9113 5.1: it was on its way when this side reset the stream. The window of the stream bounds that, so
            # that more is a flood.
            self._budget.spend(1)
            return
        if ours is None and name == "HEADERS":
            raise H2Error(PROTOCOL_ERROR, "a stream begins with a lower number than one before")
        if name == "HEADERS":
            raise H2Error(STREAM_CLOSED, "HEADERS are on a stream that was closed")
        self._resets.spend(1)
        self.emit(rst_stream(ident, STREAM_CLOSED))
        self._remember(ident, ours=True)

    # -- bodies

    def on_data_frame(self, ident: int, size: int) -> None:
        self.credit(size)
        stream = self.streams.get(ident)
        if stream is None:
            self._check_begun(ident)
            self._late(ident, "DATA")
        elif stream.request_ended:
            self.fault(ident, STREAM_CLOSED, errors.BAD_REQUEST)
        else:
            stream.begin_frame(size)

    def on_padding(self, ident: int, size: int) -> None:
        stream = self.streams.get(ident)
        if stream is not None:
            stream.consume(size)

    def on_data(self, ident: int, piece: memoryview, *, ended: bool) -> None:
        stream = self.streams.get(ident)
        if stream is not None:
            self._touched[stream] = None
            stream.take(piece, ended=ended)

    # -- control

    def on_reset(self, ident: int, code: int) -> None:
        stream = self.streams.get(ident)
        if stream is None:
            self._check_begun(ident)
            self._budget.spend(1)
            return
        self._resets.spend(1)
        self.interrupt(stream, errors.CLIENT_GONE)
        self._close(stream, ours=False)

    def on_window(self, ident: int, step: int) -> None:
        if not ident:
            self.widen(step)
            return
        stream = self.streams.get(ident)
        if stream is None:
            self._check_begun(ident)
            self._budget.spend(1)
        else:
            stream.open_window(step)

    def on_settings(self, pairs: list[tuple[int, int]]) -> None:
        for key, value in pairs:
            if key == INITIAL_WINDOW_SIZE:
                step, self.peer_window = value - self.peer_window, value
                for stream in self.streams.values():
                    if stream.send_window + step > MAX_WINDOW:
                        raise H2Error(FLOW_CONTROL_ERROR, "the window of a stream is too large")
                    stream.open_window(step)
        self.emit(frame(SETTINGS, ACK, 0, b""))

    def on_ping(self, payload: bytes) -> None:
        # As servers of gRPC do: they count the PINGs between which nothing else has moved.
        moved = self._last, self.send_window
        if moved != self._pinged:
            self._pinged = moved
            self._pings.refill()
        self._pings.spend(1)
        self.emit(frame(PING, ACK, 0, payload))

    def on_ping_ack(self, payload: bytes) -> None:
        """Of a PING of ours."""
        raise NotImplementedError

    def on_goaway(self, last: int, code: int) -> None:
        """The client begins no more streams here; those that run end as they would."""

    def on_stream_error(self, ident: int, code: int, details: str) -> None:
        if ident in self.streams:
            self.fault(ident, code, errors.BAD_REQUEST)
        elif ident > self._last:
            raise H2Error(code, details)
        else:
            self._resets.spend(1)

    def _check_begun(self, ident: int) -> None:
        if ident > self._last or not ident & 1:
            raise H2Error(PROTOCOL_ERROR, "a frame is on a stream that has not begun")

    # -- tunnels

    def join(self, near: TunnelEnd, far: ClientStream) -> Tunnel:
        """As `Outlet.join`."""
        return self._service.join(near, far)

    @property
    def draining(self) -> bool:
        """As `Outlet.draining`."""
        return self._service.draining

    # -- the end of streams

    def fault(self, ident: int, code: int, reason: Reason) -> None:
        """As `Outlet.fault`."""
        stream = self.streams.get(ident)
        if stream is not None:
            self._resets.spend(1)
            self.interrupt(stream, reason)
            self.reset_stream(stream, code)

    def reset_stream(self, stream: H2ServerStream, code: int) -> None:
        if stream.ident in self.streams:
            self.emit(rst_stream(stream.ident, code))
            self._close(stream, ours=True)

    def response_ended(self, ident: int) -> None:
        """As `Outlet.response_ended`."""
        stream = self.streams.get(ident)
        if stream is None:
            return
        if stream.malformed:
            self.reset_stream(stream, PROTOCOL_ERROR)
        elif stream.tunnel is not None and stream.exchange is not None:
            pass  # what the caller has sent may yet be on its way to the endpoint
        elif stream.request_ended:
            self._close(stream, ours=False)
        elif stream.exchange is None:
            self.reset_stream(stream, NO_ERROR)  # RFC 9113 8.1: the response did not need the rest of the body

    def _close(self, stream: H2ServerStream, *, ours: bool) -> None:
        if self.streams.pop(stream.ident, None) is None:
            return
        self._remember(stream.ident, ours=ours)
        self._open.pop(stream, None)
        self._touched.pop(stream, None)
        stream.close()
        if stream.exchange is not None:
            stream.leaving = True
            self._leaving += 1
        else:
            self._stream_over()

    def _remember(self, ident: int, *, ours: bool) -> None:
        closed = self._closed
        closed[ident] = ours
        if len(closed) > _MAX_REMEMBERED:
            del closed[next(iter(closed))]

    def interrupt(self, stream: H2ServerStream, reason: Reason) -> None:
        """End the exchange of ``stream``, if it runs, as if it had failed for ``reason``."""
        raise NotImplementedError

    def _began(self) -> None:
        """A stream has begun."""
        raise NotImplementedError

    def _stream_over(self) -> None:
        """A stream is closed, and its exchange, if it had one, has ended."""
        raise NotImplementedError
