"""A caller of HTTP/2 for tests that are written in the terms of HTTP/1.1: what they send becomes frames, and what comes
becomes text again. So one test holds its dialogue over both.

Each request is a stream. Its chunks are frames of DATA, and a frame of DATA is a chunk where a response has no length.
A response that END_STREAM ends is complete, and its length has to be right. One that RST_STREAM ends is cut off, as if
the connection had been reset; the next request is served all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Self

import hpack

from gateway.wire.h2.codes import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from gateway.wire.h2.frames import frame, header_frames, rst_stream, settings, settings_in, window_update
from harness.frames import Frame, block, take_frames
from harness.message import Message
from harness.requests_as_streams import Part, Requests
from harness.tls import TlsClient, trusting

WINDOW = 65535
"""Of each stream and of the connection, in both directions, until a peer says more (RFC 9113 6.9.2)."""
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}


@dataclass
class Exchange:
    """One stream: the text of its response, and what may be sent on it."""

    method: bytes
    window: int
    text: bytearray = field(default_factory=bytearray)
    """What came and was not shown yet."""
    head: bytes = b""
    """Of a response without a body, until END_STREAM has come."""
    begun: bool = False
    chunked: bool = False
    left: int = 0
    """Bytes of the body to come, where the response has a length."""
    ended: bool = False
    code: int | None = None
    """Of RST_STREAM."""
    taken: int = 0
    """Bytes that are not credited yet."""

    def begin(self, fields: list[tuple[bytes, bytes]]) -> None:
        (name, status), *others = fields
        assert name == b":status", fields
        names = {name for name, _ in others}
        assert not names & HOP_BY_HOP, f"fields of one hop: {fields}"
        lines = [b"HTTP/1.1 %b " % status, *(b"%b: %b" % pair for pair in others)]
        if status >= b"200":
            self.begun = True
            bodiless = self.method == b"HEAD" or status in (b"204", b"304")
            lengths = [int(value) for name, value in others if name == b"content-length"]
            self.left = lengths[0] if lengths and not bodiless else 0
            self.chunked = not lengths and not bodiless
            if self.chunked:
                lines.append(b"Transfer-Encoding: chunked")
            if bodiless:
                self.head = b"\r\n".join([*lines, b"", b""])
                return
        self.text += b"\r\n".join([*lines, b"", b""])

    def data(self, payload: bytes) -> None:
        assert self.begun, "DATA before the head"
        if self.chunked:
            self.text += b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
            return
        self.left -= len(payload)
        assert self.left >= 0, "more bytes than content-length says, or in a response without a body"
        self.text += payload

    def end(self, trailers: list[tuple[bytes, bytes]] | None = None) -> None:
        assert self.begun, "END_STREAM before the final response"
        assert not self.left, f"a clean end, and {self.left} bytes of content-length are missing"
        self.ended = True
        self.text += self.head
        if self.chunked:
            self.text += b"0\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in trailers or ()) + b"\r\n"


class H2Caller(TlsClient):
    """``buffer`` has the responses as text, in the order of their requests."""

    @classmethod
    async def begin(cls, address: tuple[str, int], *, receive_buffer: int = 0) -> H2Caller:
        context = trusting()
        context.set_alpn_protocols(["h2"])
        client = await cls.connect(address, receive_buffer=receive_buffer)
        client._prepare()
        client.secure(context, server_side=False, name="gateway.test")
        await client.open()
        assert client.tls.selected_alpn_protocol() == "h2"
        await client._write(PREFACE + settings([]))
        return client

    def _prepare(self) -> None:
        self.goaway: int | None = None
        """The code of GOAWAY."""
        self.lost = False
        """The connection has ended, and not the stream alone whose response is read."""
        self._requests = Requests()
        self._streams: dict[int, Exchange] = {}
        self._unseen: deque[Exchange] = deque()
        """Those whose responses are not in ``buffer`` as a whole."""
        self._wire = bytearray()
        self._decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self._block = b""
        self._owed = b""
        """Frames to send after a read."""
        self._taken = 0
        self._window = self._first_window = WINDOW
        self._reading = asyncio.Lock()
        self._reads = 0

    # -- what is sent

    async def send(self, *parts: bytes) -> Self:
        out = bytearray()
        for part in self._requests.feed(b"".join(parts)):
            for piece in self._pieces(part):
                stream = self._streams[part.ident]
                while self._room(stream) < len(piece.payload) and stream.code is None and self._open:
                    await self._write(bytes(out))
                    out.clear()
                    await self._pull()
                if stream.code is not None or self._room(stream) < len(piece.payload):
                    break  # RFC 9113 5.1: nothing follows RST_STREAM
                out += self._frame(piece, stream)
        await self._write(bytes(out))
        return self

    def push(self, data: bytes) -> None:
        out = bytearray()
        for part in self._requests.feed(data):
            for piece in self._pieces(part):
                stream = self._streams[part.ident]
                assert self._room(stream) >= len(piece.payload), "more than the window takes"
                out += self._frame(piece, stream)
        self._push(bytes(out))

    def _push(self, frames: bytes) -> None:
        super().push(frames)

    def offer(self, data: bytes) -> int:
        """As much of a body as the windows take."""
        taken = data[: self._room(self._streams[self._requests.ident])]
        if not self.lost:
            self.push(taken)
        return len(taken)

    def reset(self) -> None:
        """RST_STREAM with CANCEL for each stream that is open: the RST of HTTP/2."""
        alive = [ident for ident, stream in self._streams.items() if not stream.ended and stream.code is None]
        if self.closed or not alive:
            super().reset()
        else:
            self._push(b"".join(rst_stream(ident, CANCEL) for ident in alive))

    def _pieces(self, part: Part) -> list[Part]:
        """No larger than a frame."""
        if part.ident not in self._streams:
            stream = self._streams[part.ident] = Exchange(part.method, self._first_window)
            self._unseen.append(stream)
            if self.ended == "reset" and not self.lost:
                self.ended = ""  # the earlier stream was reset, and not the connection
        if part.fields or len(part.payload) <= MAX_FRAME:
            return [part]
        starts = range(0, len(part.payload), MAX_FRAME)
        cut = [Part(part.ident, payload=part.payload[at : at + MAX_FRAME]) for at in starts]
        cut[-1].ended = part.ended
        return cut

    @property
    def _open(self) -> bool:
        return not self.ended and not self.closed

    def _room(self, stream: Exchange) -> int:
        return min(self._window, stream.window)

    def _frame(self, part: Part, stream: Exchange) -> bytes:
        if part.fields:
            return header_frames(part.ident, block(part.fields), ended=part.ended)
        self._window -= len(part.payload)
        stream.window -= len(part.payload)
        return frame(DATA, END_STREAM if part.ended else 0, part.ident, part.payload)

    async def _write(self, frames: bytes) -> None:
        if frames and not self.closed:
            await super().send(frames)

    # -- what comes

    async def response(self, method: str = "GET") -> Message:
        if self.ended == "reset" and not self.lost and self._unseen:
            self.ended = ""
            self._show()
        return await super().response(method)

    async def fill(self, size: int = 65536) -> bool:
        before = self.total
        while self.total == before and self._open:
            await self._pull()
        return self.total > before

    async def _pull(self) -> None:
        """Read once, or wait until another task has."""
        reads = self._reads
        async with self._reading:
            if self._reads == reads:
                await super().fill()
                self._reads += 1
        owed, self._owed = self._owed, b""
        await self._write(owed)

    async def _receive(self) -> bool:
        self.lost = not await super()._receive()
        return not self.lost

    def _note(self, data: bytes) -> None:
        if not data:
            self.lost = True
            self.ended = "eof"
            return
        self._wire += data
        for found in take_frames(self._wire):
            self._take(found)
        self._show()

    def _show(self) -> None:
        """Move text to ``buffer``, as far as it is the turn of its response."""
        while self._unseen and not self.ended:
            stream = self._unseen[0]
            text, stream.text = stream.text, bytearray()
            self.buffer += text
            self.total += len(text)
            if self.record:
                self.received += text
            if not stream.ended and stream.code is None:
                return
            self._unseen.popleft()
            if not stream.ended:
                self.ended = "reset"

    def _take(self, found: Frame) -> None:
        stream = self._streams.get(found.ident)
        if found.kind in (HEADERS, CONTINUATION):
            assert stream is not None
            self._take_headers(found, stream)
        elif found.kind == DATA:
            assert stream is not None
            self._take_data(found, stream)
        elif found.kind == RST_STREAM:
            assert stream is not None
            stream.code = found.number
        elif found.kind == WINDOW_UPDATE:
            if stream is not None:
                stream.window += found.number
            elif not found.ident:
                self._window += found.number
        elif found.kind == GOAWAY:
            self.goaway = int.from_bytes(found.payload[4:8], "big")
        elif found.kind == PING and not found.flags & ACK:
            self._owed += frame(PING, ACK, 0, found.payload)
        elif found.kind == SETTINGS and not found.flags & ACK:
            self._take_settings(found)

    def _take_headers(self, found: Frame, stream: Exchange) -> None:
        if found.kind == HEADERS:
            self._block, self._ends = b"", found.ended
        self._block += found.payload
        if not found.flags & END_HEADERS:
            return
        fields = [(bytes(n), bytes(v)) for n, v in self._decoder.decode(self._block, raw=True)]  # type: ignore[arg-type]
        assert all(name == name.lower() for name, _ in fields), fields
        if stream.begun:
            assert self._ends, "trailers without END_STREAM"
            stream.end(fields)
            return
        stream.begin(fields)
        if self._ends:
            stream.end()

    def _take_data(self, found: Frame, stream: Exchange) -> None:
        assert not stream.ended, "DATA behind END_STREAM"
        stream.data(found.payload)
        stream.taken += len(found.payload)
        self._taken += len(found.payload)
        if self._taken >= WINDOW // 4:
            self._owed += window_update(0, self._taken)
            self._taken = 0
        if found.ended:
            stream.end()
        elif stream.taken >= WINDOW // 4:
            self._owed += window_update(found.ident, stream.taken)
            stream.taken = 0

    def _take_settings(self, found: Frame) -> None:
        self._owed += frame(SETTINGS, ACK, 0, b"")
        for key, value in settings_in(found.payload):
            if key == INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._first_window
                self._first_window = value
