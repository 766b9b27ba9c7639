"""What the server's side of HTTP/2 writes, and how it treats a caller that is slow to take it, or leaves."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from gateway.core.limits import Limits
from gateway.core.stream import ClientStream, Tunnel, TunnelEnd
from gateway.errors import Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.h2.encoder import Encoder
from gateway.wire.h2.frame_writer import FrameWriter
from gateway.wire.hangup import HangupWatch
from gateway.wire.peer_watch import PeerWatch
from gateway.wire.stall import StallWatch

_MAX_UNSENT: Final = 65536
"""Bytes that may wait for the peer while it is still read from: each of its frames may demand a response."""


class Outlet(FrameWriter):
    """Base of the server's side."""

    __slots__ = ("_hangups", "_peer_watch", "_reading", "_stall", "answered", "limits", "tunnelled")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        encoder: Encoder,
        hangups: HangupWatch,
        limits: Limits,
    ) -> None:
        super().__init__(loop, buffers, encoder)
        self.limits = limits
        self._hangups = hangups
        self.answered = False
        """A response was the gateway's own: the next requests wait for their turn."""
        self.tunnelled = 0
        """Frames inside tunnels that began in this read: what they cost besides those of HTTP/2."""
        self._stall: StallWatch | None = None
        self._peer_watch: PeerWatch | None = None
        self._reading = True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._stall is not None:
            self._stall.close()
        if self._peer_watch is not None:
            self._peer_watch.end()
        self._stall = self._peer_watch = None  # they lead back to this connection

    def flush(self) -> None:
        super().flush()
        if self.full and self.transport is not None and self.transport.get_write_buffer_size() > _MAX_UNSENT:
            self._hold_reading()

    # -- the streams on it

    def fault(self, ident: int, code: int, reason: Reason) -> None:
        """The peer broke a rule on the stream ``ident``: reset it with ``code``, and end its exchange for ``reason``.

        Raises `H2Error` when there were too many.
        """
        raise NotImplementedError

    def stalled(self, ident: int) -> None:
        """The peer kept the window of the stream shut for too long."""
        raise NotImplementedError

    def cut_off(self, ident: int) -> None:
        """The response on the stream breaks off."""
        raise NotImplementedError

    def response_ended(self, ident: int) -> None:
        """END_STREAM was sent on the stream."""
        raise NotImplementedError

    def join(self, near: TunnelEnd, far: ClientStream) -> Tunnel:
        """Make the tunnel between a stream on this connection and one to an endpoint."""
        raise NotImplementedError

    @property
    def draining(self) -> bool:
        """The gateway goes down."""
        raise NotImplementedError

    # -- a peer that is slow, or leaves

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is None:
            return
        if self._stall is None:
            self._stall = StallWatch(self.loop, self.transport, self.limits, self._on_stall)
        self._stall.begin(self.blocked_since)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.end(monotonic())
        self._read_on()
        super().resume_writing()

    def _on_stall(self) -> None:
        """Bytes have waited for the peer for too long."""
        raise NotImplementedError

    def _peer_left(self) -> None:
        """The peer has closed or reset its side while nothing is read."""
        raise NotImplementedError

    def _hold_reading(self) -> None:
        if self._reading and self.transport is not None:
            self._reading = False
            self.pause_reading()
            if self._peer_watch is None:
                self._peer_watch = PeerWatch(self.loop, self._hangups, self.transport, self._peer_left)
            self._peer_watch.begin()

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            if self._peer_watch is not None:
                self._peer_watch.end()
            self.resume_reading()
