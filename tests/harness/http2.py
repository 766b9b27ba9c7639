"""A client of HTTP/2 on a raw socket: it sends exactly the frames that it is given, and opens no window by itself."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from gateway.wire.h2.codes import DATA, GOAWAY, HEADERS, PREFACE, RST_STREAM
from gateway.wire.h2.frames import frame, settings
from harness.frames import GET, Fields, Frame, Reader, block, take_frames
from harness.patience import PATIENCE
from harness.stream import Stream


@dataclass
class Response:
    """What came on one stream."""

    fields: dict[bytes, bytes] = field(default_factory=dict)
    interims: list[dict[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    code: int | None = None
    """Of RST_STREAM."""

    @property
    def status(self) -> int:
        return int(self.fields.get(b":status", b"0"))


class Http2Client(Stream):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.responses: dict[int, Response] = {}
        self.frames: list[Frame] = []
        """All that came, in order."""
        self._reader = Reader()

    @classmethod
    async def connect(cls, address: tuple[str, int], *, window: int | None = None) -> Http2Client:
        """``window``: INITIAL_WINDOW_SIZE."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = cls(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
        await client.send(PREFACE, settings([] if window is None else [(4, window)]))
        return client

    async def request(self, ident: int = 1, fields: Fields = GET, *, ended: bool = True) -> None:
        await self.send(frame(HEADERS, 5 if ended else 4, ident, block(fields)))

    async def data(self, ident: int, payload: bytes, *, ended: bool = False) -> None:
        await self.send(frame(DATA, 1 if ended else 0, ident, payload))

    async def read(self) -> bool:
        """Take the frames of one read; False at the end of the connection."""
        more = await self.fill()
        for found in take_frames(self.buffer):
            self.frames.append(found)
            self._take(found)
        return more

    def _take(self, found: Frame) -> None:
        response = self.responses.setdefault(found.ident, Response())
        if found.kind == HEADERS:
            fields = self._reader.fields(found)
            if response.fields:
                response.trailers = fields
            elif fields[b":status"][:1] == b"1":
                response.interims.append(fields)
            else:
                response.fields = fields
        elif found.kind == DATA:
            response.body += found.payload
        elif found.kind == RST_STREAM:
            response.code = found.number
        response.ended = response.ended or found.ended

    async def response(self, ident: int = 1, within: float = PATIENCE) -> Response:
        """What came on the stream, when it has ended or was reset."""
        return await self.some(ident, lambda r: r.ended or r.code is not None, within)

    async def some(self, ident, wanted, within: float = PATIENCE) -> Response:  # type: ignore[no-untyped-def]
        """What came on the stream, as soon as it is ``wanted``."""
        async with asyncio.timeout(within):
            while not wanted(self.responses.get(ident, Response())):
                if not await self.read():
                    break
        return self.responses.get(ident, Response())

    async def goaway(self, within: float = PATIENCE) -> int:
        """The code of the GOAWAY that ends the connection."""
        async with asyncio.timeout(within):
            while await self.read():
                pass
        return next(found.number for found in reversed(self.frames) if found.kind == GOAWAY)
