"""A raw TCP socket: nothing is read, sent or closed unless the test says so."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Self

from harness.patience import GLANCE, PATIENCE

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: `close` sends RST instead of FIN."""


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that were written and that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Stream:
    """One end of a connection. ``received`` keeps every byte that came, ``buffer`` those that no one has read yet."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.buffer = bytearray()
        self.received = bytearray()
        self.total = 0
        self.record = True
        """False in tests of large bodies: count the bytes, but do not keep them in ``received``."""
        self.ended = ""
        """How the other side ended it: ``""`` not yet, ``eof`` (FIN), ``reset`` (RST)."""
        self.closed = False

    async def fill(self, size: int = 65536) -> bool:
        """Read once into the buffer; False when the other side has ended."""
        if self.ended or self.closed:
            return False
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, size)
        except ConnectionError:
            self.ended = "reset"
            return False
        self._note(data)
        return bool(data)

    def _note(self, data: bytes) -> None:
        """Keep what was read; nothing was read at the end."""
        self.ended = "" if data else "eof"
        self.buffer += data
        self.total += len(data)
        if self.record:
            self.received += data

    def take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer when the other side ends before."""
        async with asyncio.timeout(PATIENCE):
            while len(self.buffer) < size and await self.fill():
                pass
        return self.take(size)

    async def holds(self, data: bytes) -> None:
        """Read until ``data`` has come, and leave all of it for the next reader."""
        async with asyncio.timeout(PATIENCE):
            while data not in self.buffer and await self.fill():
                pass

    async def until(self, separator: bytes) -> bytes:
        """The bytes up to and with ``separator``; without it when the other side ends before."""
        await self.holds(separator)
        at = self.buffer.find(separator)
        return self.take(len(self.buffer) if at < 0 else at + len(separator))

    async def expect(self, data: bytes) -> None:
        """The next bytes are exactly these."""
        got = await self.exactly(len(data))
        assert got == data, f"expected {data!r}, got {got!r}"

    async def rest(self, within: float = PATIENCE) -> bytes:
        """All bytes to the end of the connection."""
        async with asyncio.timeout(within):
            while await self.fill():
                pass
        return self.take(len(self.buffer))

    async def silence(self, seconds: float = GLANCE) -> None:
        """Nothing arrives and nothing ends in the next ``seconds``."""
        assert not self.buffer, f"expected silence, had {bytes(self.buffer[:200])!r}"
        try:
            async with asyncio.timeout(seconds):
                await self.fill()
        except TimeoutError:
            return
        raise AssertionError(f"expected silence, got {self.ended or bytes(self.buffer[:200])!r}")

    async def send(self, *parts: bytes) -> Self:
        """Send all; a peer that is gone is no error here, the test sees it in what it reads."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(parts))
        except ConnectionError:
            self.ended = self.ended or "reset"
        return self

    def push(self, data: bytes) -> None:
        """Give all to the kernel at once, without a turn of the event loop."""
        assert self.sock.send(data) == len(data)

    def offer(self, data: bytes) -> int:
        """Give what the kernel takes at once; how many bytes of ``data`` that were."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def half_close(self) -> None:
        """FIN, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.closed = True
        self.sock.close()

    def cut(self) -> None:
        """FIN, without the farewell that a protocol above may have."""
        self.close()

    def reset(self) -> None:
        """RST: the other side gets an error instead of an end."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()
