"""A socket, read through pooled buffers and written at once. It knows nothing of HTTP.

The high-water mark of every transport is zero, so that a write goes to the kernel at once, and whatever the kernel does
not take makes the link `full`. A link therefore never holds more than what one read of its source brought.

Not a subclass of `asyncio.Protocol`, because uvloop would then read unbuffered. Nor of `asyncio.BufferedProtocol`,
because a class with a base that is not compiled cannot be compiled either, and no event loop checks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from time import monotonic

from gateway.wire.buffers import BUFFER_SIZE, BufferPool
from gateway.wire.loop_types import as_protocol, as_transport

MAX_UNSENT = 1 << 20
"""Bytes that the kernel takes beyond those in flight (TCP_NOTSENT_LOWAT). Otherwise a peer that reads nothing makes it
hold 4 MiB, and 300 such peers use all the memory that a machine of 24 GiB gives to TCP. Less than 1 MiB costs more:
12 % of the processor time of a large response at 256 KiB.
"""
FULL_READS = 16
"""Reads that fill the buffer, until others get their turn. libuv takes 32 of one socket before it looks at the next.

With 16 the slowest of parallel downloads take less time; below that each of them costs more.
"""
MANY_PIECES = 256
"""From this many chunks in one read, parsing them is the main cost."""
SOME_PIECES = 64
"""Chunks in one read that are work enough for a turn: many equal ones, or chunks of less than 512 bytes."""
FEW_PIECES = 16
SMALL_READ = 2048
"""Bytes of a read from a peer that sends such chunks: as much work as a request."""
_TCP_CLOSE = 7
"""A state of linux/tcp_states.h: the first byte of struct tcp_info."""
_LINGER_NONE = struct.pack("ii", 1, 0)
_LINGER_OFF = struct.pack("ii", 0, 0)


class Link:
    """Base of every connection: an `asyncio.BufferedProtocol` by its methods."""

    __slots__ = (
        "_buffers",
        "_fd",
        "_first_error",
        "_lends",
        "_lent",
        "_read_size",
        "_reads",
        "_resting",
        "_stopped",
        "blocked",
        "blocked_since",
        "full",
        "loop",
        "transport",
    )

    transport: asyncio.Transport | None

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        self.loop = loop
        self.transport = None
        self._fd = -1
        """The socket, when what is written goes out as it is; -1 under TLS."""
        self._first_error: OSError | None = None
        """Of a write. The kernel reports a reset once. A later call reports a plain end of the stream."""
        self._buffers = buffers
        self._lends = True
        """The transport keeps a reference to what it cannot send at once, not a copy."""
        self._lent: list[memoryview] = []
        """Buffers that our transport has not flushed yet."""
        self._stopped = False
        """Nothing is to be read until `resume_reading`."""
        self._resting = False
        """Nothing is read until others have had their turn."""
        self._reads = 0
        """Reads that filled the buffer since the last rest."""
        self._read_size = BUFFER_SIZE
        self.full = False
        """Bytes that were written wait for the peer."""
        self.blocked_since = 0.0
        self.blocked = 0.0
        """Seconds for which the peer was too slow in the current message."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """Itself, as the types of event loops want it."""
        return as_protocol(self)

    # -- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        try:
            self._connected(transport)
        except Exception as error:
            # The one callback after whose failure uvloop neither closes the transport nor says which it was.
            as_transport(transport).abort()
            context = {"message": "a connection could not begin", "exception": error, "transport": transport}
            self.loop.call_exception_handler(context)

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        self.transport = made = as_transport(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # no TCP socket, or closed already
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
        if transport.get_extra_info("sslcontext") is None:
            made.set_write_buffer_limits(high=0)
            self._fd = raw.fileno() if raw is not None else -1
        else:
            # A `TlsLayer`: it pauses as soon as the kernel does not take all, and keeps no bytes but encrypted ones.
            self._lends = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._buffers.forget(self._lent)
        self._lent.clear()

    @property
    def alive(self) -> bool:
        """Bytes may still be written."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def was_reset(self) -> bool:
        """The peer has broken off, and not only ended its bytes, as far as the kernel knows."""
        raw = None if self.transport is None else self.transport.get_extra_info("socket")
        if raw is None:
            return self.transport is None
        try:
            return bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE)
        except OSError:
            return True

    def waiting(self) -> int:
        """Bytes that were written and that the peer's host has not acknowledged yet."""
        transport = self.transport
        if transport is None:
            return 0
        raw = transport.get_extra_info("socket")
        inside = 0
        if raw is not None:
            with contextlib.suppress(OSError, ValueError):  # closed already
                queued = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
                inside = int.from_bytes(queued, sys.byteorder)
        return transport.get_write_buffer_size() + inside

    def unread(self) -> int:
        """Bytes of the peer that the kernel has, and that were not read yet."""
        raw = None if self.transport is None else self.transport.get_extra_info("socket")
        if raw is None:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
        except (OSError, ValueError):  # closed already
            return 0

    def finish(self) -> None:
        """Write nothing more: the peer sees the end after all that was written, and may itself go on."""
        transport = self.transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    def abort(self) -> None:
        """Close at once and drop what is not sent."""
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """Close with a RST: for a body that only the end of the connection would delimit."""
        if self.transport is not None:
            self._linger_at_close(_LINGER_NONE)
            self.transport.abort()

    def guard(self) -> None:
        """Let each close be a RST from now on, also that of the kernel when this process is killed.

        For a body that only the end of the connection delimits, and that is not whole yet. Under TLS a missing
        close_notify says the same, but many clients do not look at it.
        """
        self._linger_at_close(_LINGER_NONE)

    def unguard(self) -> None:
        """The body is whole: a close is an end again."""
        self._linger_at_close(_LINGER_OFF)

    def _linger_at_close(self, value: bytes) -> None:
        raw = None if self.transport is None else self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)

    # -- reading

    def get_buffer(self, sizehint: int) -> memoryview:
        current = self._buffers.current
        return current if self._read_size == BUFFER_SIZE else current[: self._read_size]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what lies in the pool's current buffer: it is overwritten after the return unless it is lent."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer sends no more. False: the transport closes; True: it stays, to write."""
        return False

    def pause_reading(self) -> None:
        self._stopped = True
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        self._stopped = False
        if self.transport is not None and not self._resting and not self.transport.is_closing():
            self.transport.resume_reading()

    def full_read(self) -> None:
        """The read that was just taken filled the buffer, and the event loop reads on at once. Not without limit: one
        fast connection would keep all others waiting.
        """
        self._reads += 1
        if self._reads >= FULL_READS:
            self.rest_a_turn()

    def took_pieces(self, count: int) -> None:
        """The read that was just taken consisted of so many chunks."""
        if count >= MANY_PIECES:
            self._read_size = SMALL_READ
            self.rest_a_turn()
        elif self._read_size == SMALL_READ:
            if count >= FEW_PIECES:
                self.rest_a_turn()
            else:
                self._read_size = BUFFER_SIZE
        elif count >= SOME_PIECES:
            self.rest_a_turn()

    def rest_a_turn(self) -> None:
        """Read nothing until others have had their turn."""
        self._reads = 0
        if not self._resting and self.transport is not None:
            self._resting = True
            self.transport.pause_reading()
            self.await_turn()

    def rest(self, seconds: float) -> None:
        """Read nothing for ``seconds``: what comes in the meantime is then one read, and costs as much as one.

        The timer may outlive the connection, by no more than that.
        """
        if not self._resting and self.transport is not None:
            self._resting = True
            self.transport.pause_reading()
            self.loop.call_later(seconds, self.take_turn)

    def await_turn(self) -> None:
        """Call `take_turn` in a later turn of the event loop."""
        self.loop.call_soon(self.take_turn)

    def take_turn(self) -> None:
        self._resting = False
        if not self._stopped and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # -- writing

    def write(self, data: bytes) -> None:
        """Write now what the kernel takes now, and leave the rest to the transport; nothing after the close.

        By way of uvloop's transport the same write costs 2 us more.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._fd >= 0 and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                sent = 0  # the transport meets the same error and handles it
                if self._first_error is None:
                    self._first_error = error
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def pause_writing(self) -> None:
        self.full = True
        self.blocked_since = monotonic()

    def resume_writing(self) -> None:
        self.full = False
        self.blocked += monotonic() - self.blocked_since
        for buffer in self._lent:
            self._buffers.take_back(buffer)
        self._lent.clear()
