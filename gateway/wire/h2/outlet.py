"""What is written on a connection of HTTP/2: frames, the windows that the peer has opened, and whose turn it is.

Frames of one turn of the event loop leave together, in one write. What the windows or the socket do not take stays with
its stream, whose source is held; the streams that wait are served in turn, a slice each.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol

from gateway.core.limits import Limits
from gateway.errors import Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.h2.codes import DEFAULT_WINDOW
from gateway.wire.h2.encoder import NO_TABLE, Encoder
from gateway.wire.h2.frames import header_frames
from gateway.wire.hangup import HangupWatch
from gateway.wire.link import Link
from gateway.wire.peer_watch import PeerWatch
from gateway.wire.stall import StallWatch

_SLICE: Final = 16384
"""Bytes that a stream may send before another one that waits has its turn."""
_MAX_BATCH: Final = 65536
"""Bytes of frames that wait for the end of the turn. With more the socket is asked at once, so that sources are held
before they have filled our memory."""
_MAX_UNSENT: Final = 65536
"""Bytes that may wait for the peer while it is still read from: each of its frames may demand a response."""


class Waiter(Protocol):
    """A stream that has more to send than a window or the socket took."""

    def send_more(self, most: int) -> None:
        """Send up to ``most`` bytes. It enters `Outlet.waiters` again if there is more, and its own window is open."""
        ...


class Outlet(Link):
    """Base of a connection of HTTP/2."""

    __slots__ = (
        "_batch",
        "_batch_size",
        "_flush_due",
        "_hangups",
        "_peer_watch",
        "_reading",
        "_stall",
        "_table_told",
        "answered",
        "encoder",
        "limits",
        "peer_window",
        "send_window",
        "waiters",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        encoder: Encoder,
        hangups: HangupWatch,
        limits: Limits,
    ) -> None:
        super().__init__(loop, buffers)
        self.encoder = encoder
        self.limits = limits
        self._hangups = hangups
        self._batch: list[bytes] = []
        self._batch_size = 0
        self._flush_due = False
        self._table_told = False
        self.send_window = DEFAULT_WINDOW
        """Bytes of DATA that the peer still takes on the connection."""
        self.peer_window = DEFAULT_WINDOW
        """The same on a stream that begins now."""
        self.answered = False
        """A response was the gateway's own: the next requests wait for their turn."""
        self.waiters: dict[Waiter, None] = {}
        """Streams whose own window is open, first come, first served."""
        self._stall: StallWatch | None = None
        self._peer_watch: PeerWatch | None = None
        self._reading = True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._batch.clear()
        self.waiters.clear()
        if self._stall is not None:
            self._stall.close()
        if self._peer_watch is not None:
            self._peer_watch.end()
        self._stall = self._peer_watch = None  # they lead back to this connection

    # -- frames

    def emit(self, data: bytes) -> None:
        """Write a frame at the end of this turn of the event loop."""
        self._batch.append(data)
        self._batch_size += len(data)
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._end_turn)
        if self._batch_size >= _MAX_BATCH:
            self.flush()

    def emit_headers(self, ident: int, block: bytes, *, ended: bool) -> None:
        if not self._table_told:
            self._table_told = True
            block = NO_TABLE + block
        self.emit(header_frames(ident, block, ended=ended))

    def _end_turn(self) -> None:
        self._flush_due = False
        self.flush()

    def flush(self) -> None:
        """Write all frames now."""
        batch = self._batch
        if not batch:
            return
        data = batch[0] if len(batch) == 1 else b"".join(batch)
        batch.clear()
        self._batch_size = 0
        self.write(data)
        if self.full and self.transport is not None and self.transport.get_write_buffer_size() > _MAX_UNSENT:
            self._hold_reading()

    def pump(self) -> None:
        """Let those that wait send what the window of the connection and the socket take."""
        waiting = self.waiters
        while waiting and not self.full and self.send_window > 0:
            first = next(iter(waiting))
            del waiting[first]
            first.send_more(_SLICE)

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

    # -- a peer that is slow, or leaves

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is None:
            return
        if self._stall is None:
            self._stall = StallWatch(self.loop, self.transport, self.limits, self._on_stall)
        self._stall.begin(self.blocked_since)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.end(monotonic())
        self._read_on()
        self.pump()

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
