"""The side of an HTTP/1.1 connection that writes a message: its head, and its body in the framing of that message.

Data flows from a *source* to this *sink* inside the callbacks of the event loop: no task wakes up for a piece of a
body. A sink that is full holds its source.
"""

from __future__ import annotations

import asyncio

from gateway.core.stream import Source, Trailer
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.chunked import last_chunk
from gateway.wire.link import Link

COPY_BELOW = 4096
"""Bytes below which a copy is cheaper than lending a whole buffer to a transport that cannot take it at once."""


class MessageWriter(Link):
    """Base of the two sides of HTTP/1.1: a `gateway.core.stream.Sink`."""

    __slots__ = ("_prelude", "_source", "_trailer", "body_out", "chunked_out", "takes_chunks")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        super().__init__(loop, buffers)
        self._source: Source | None = None
        """The source of the bytes that are written here; it is held when they come too fast."""
        self._prelude = b""
        """Bytes that go out with the first of the body: the head."""
        self._trailer: Trailer | None = None
        """Follows the body that is being written, when it is chunked."""
        self.chunked_out = False
        """The message that is being written is framed as chunks."""
        self.takes_chunks = False
        """Chunks may go out as they came in."""
        self.body_out = 0
        """Bytes of payload written in the current message."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._source = None
        self._trailer = None  # it leads back to this connection

    def start(self, head: bytes, source: Source | None) -> None:
        """Begin a message whose body comes from ``source``; ``head`` goes out with the first bytes of the body."""
        self._prelude = head
        self._source = source
        self.body_out = 0
        self.blocked = 0.0
        self.takes_chunks = self.chunked_out and self._trailer is None
        if self.full and source is not None:
            source.hold()

    def flush(self) -> None:
        """Do not wait for the body's first bytes."""
        start, self._prelude = self._prelude, b""
        if start:
            self.write(start)

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """Write payload. ``pooled``: it lies in the pool's current buffer, which is lent when the kernel does not take
        all of it now.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        size = len(piece)
        self.body_out += size
        if size < COPY_BELOW:
            start, self._prelude = self._prelude, b""
            if self.chunked_out:
                self.write(b"%b%x\r\n%b\r\n" % (start, size, bytes(piece)))
            else:
                self.write(start + bytes(piece))
            return
        if self.chunked_out:
            transport.writelines([b"%b%x\r\n" % (self._prelude, size), piece, b"\r\n"])
        elif self._prelude:
            transport.writelines([self._prelude, piece])
        else:
            transport.write(piece)
        self._prelude = b""
        if pooled and self._lends and transport.get_write_buffer_size():
            self._lend(piece)

    def _lend(self, piece: memoryview) -> None:
        """Keep the buffer that ``piece`` lies in until the transport has flushed; none for payload that was joined."""
        buffers = self._buffers
        if piece.obj is buffers.current.obj:
            self._lent.append(buffers.lend())
        else:
            again = buffers.lend_again(piece)
            if again is not None:
                self._lent.append(again)

    def chunks(self, raw: bytes, size: int) -> None:
        """Write whole chunks as they came, when `chunked_out`; ``size``: of their payload."""
        self.body_out += size
        if self._prelude:
            raw = self._prelude + raw
            self._prelude = b""
        self.write(raw)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """Write what one read brought; many small pieces become one."""
        if len(parts) == 1:
            self.data(parts[0], pooled=pooled)
        elif parts:
            self.data(memoryview(b"".join(parts)), pooled=False)

    def end(self, trailers: list[bytes]) -> None:
        """The body is complete."""
        start, self._prelude = self._prelude, b""
        if self.chunked_out:
            start += self._last_chunk(trailers)
        if start:
            self.write(start)
        self._source = None

    def _last_chunk(self, trailers: list[bytes]) -> bytes:
        if self._trailer is not None:
            trailers = [*trailers, self._trailer.line()]
        return last_chunk(trailers)

    def ended(self) -> None:
        """The end of the body was written with its last bytes."""
        self._source = None

    def whole(self, body: memoryview) -> None:
        """The body in one piece: it goes out together with the head."""
        start, self._prelude = self._prelude, b""
        self.body_out = len(body)
        if self.chunked_out:
            start += b"%x\r\n%b\r\n" % (len(body), bytes(body)) if body else b""
            start += self._last_chunk([])
        elif body:
            start += body
        self.write(start)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._source is not None:
            self._source.hold()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._source is not None:
            self._source.resume()
