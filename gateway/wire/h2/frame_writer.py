"""What one side of a connection of HTTP/2 writes: frames, the windows of the connection, and whose turn it is.

Frames of one turn of the event loop leave together, in one write. What the windows or the socket do not take stays with
its stream, whose source is held; the streams that wait are served in turn, a slice each.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from gateway.wire.buffers import BufferPool
from gateway.wire.h2.codes import DEFAULT_WINDOW, FLOW_CONTROL_ERROR, MAX_WINDOW, H2Error
from gateway.wire.h2.encoder import NO_TABLE, Encoder
from gateway.wire.h2.frames import header_frames, window_update
from gateway.wire.link import Link

CONNECTION_WINDOW: Final = 1 << 20
_SLICE: Final = 16384
"""Bytes that a stream may send before another one that waits has its turn."""
_MAX_BATCH: Final = 65536
"""Bytes of frames that wait for the end of the turn. With more the socket is asked at once, so that sources are held
before they have filled our memory."""


class Waiter(Protocol):
    """A stream that has more to send than a window or the socket took."""

    def send_more(self, most: int) -> None:
        """Send up to ``most`` bytes. It enters `Outlet.waiters` again if there is more, and its own window is open."""
        ...


class FrameWriter(Link):
    """Base of both sides of HTTP/2."""

    __slots__ = (
        "_batch",
        "_batch_size",
        "_consumed",
        "_flush_due",
        "_receive_window",
        "_table_announced",
        "encoder",
        "peer_window",
        "send_window",
        "waiters",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, encoder: Encoder) -> None:
        super().__init__(loop, buffers)
        self.encoder = encoder
        self._batch: list[bytes] = []
        self._batch_size = 0
        self._flush_due = False
        self._table_announced = False
        self.send_window = DEFAULT_WINDOW
        """Bytes of DATA that the peer still takes on the connection."""
        self.peer_window = DEFAULT_WINDOW
        """The same on a stream that begins now."""
        self._receive_window = CONNECTION_WINDOW
        self._consumed = 0
        """Bytes of DATA that came and are not credited yet."""
        self.waiters: dict[Waiter, None] = {}
        """Streams whose own window is open, first come, first served."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._batch.clear()
        self.waiters.clear()

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
        if not self._table_announced:
            self._table_announced = True
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

    def credit(self, size: int) -> None:
        """Give the peer back what a frame of DATA took of the connection's window, when half of that is used.

        Raises `H2Error` for a frame that is larger than the window.
        """
        self._receive_window -= size
        if self._receive_window < 0:
            raise H2Error(FLOW_CONTROL_ERROR, "more came than the window of the connection allows")
        self._consumed += size
        if self._consumed * 2 >= CONNECTION_WINDOW:
            self._receive_window += self._consumed
            self.emit(window_update(0, self._consumed))
            self._consumed = 0

    def widen(self, step: int) -> None:
        """The peer takes ``step`` bytes more on the connection. Raises `H2Error` beyond what any window may be."""
        self.send_window += step
        if self.send_window > MAX_WINDOW:
            raise H2Error(FLOW_CONTROL_ERROR, "the window of the connection is too large")

    def pump(self) -> None:
        """Let those that wait send what the window of the connection and the socket take."""
        waiting = self.waiters
        while waiting and not self.full and self.send_window > 0:
            first = next(iter(waiting))
            del waiting[first]
            first.send_more(_SLICE)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.pump()
