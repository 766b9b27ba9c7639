"""An upstream that speaks HTTP/2 on raw frames: it sends exactly what it is told, and opens no window by itself."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.wire.h2.codes import ACK, DATA, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE
from gateway.wire.h2.frames import frame, rst_stream, settings, window_update
from harness.frames import Fields, Frame, Reader, block, take_frames
from harness.message import Truncated
from harness.patience import PATIENCE
from harness.tls import TlsLink, TlsUpstream, authority
from harness.upstream import Link

Pairs = list[tuple[int, int]]


@dataclass
class Asked:
    """What came on one stream."""

    ident: int
    fields: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    code: int | None = None
    """Of RST_STREAM."""

    @property
    def path(self) -> bytes:
        return self.fields[b":path"]


class Session:
    """One connection of the gateway."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.asked: dict[int, Asked] = {}
        self.frames: list[Frame] = []
        """All that came, in order."""
        self.most = 0
        """Streams that were open at once, at most."""
        self._answered: set[int] = set()
        self._taken: set[int] = set()
        self._reader = Reader()

    async def greet(self, pairs: Pairs | None = None) -> Session:
        """Take the preface, and send ``pairs`` as SETTINGS."""
        assert await self.link.exactly(len(PREFACE)) == PREFACE
        await self.send(settings(pairs or []))
        return self

    async def send(self, *frames: bytes) -> None:
        await self.link.send(*frames)

    async def read(self) -> bool:
        """Take the frames of one read; False at the end of the connection."""
        more = await self.link.fill()
        for found in take_frames(self.link.buffer):
            self.frames.append(found)
            self._take(found)
        return more

    def _take(self, found: Frame) -> None:
        if not found.ident:
            return
        asked = self.asked.setdefault(found.ident, Asked(found.ident))
        if found.kind == HEADERS:
            fields = self._reader.fields(found)
            if asked.fields:
                asked.trailers = fields
            else:
                asked.fields = fields
                self.most = max(self.most, self.running)
        elif found.kind == DATA:
            asked.body += found.payload
        elif found.kind == RST_STREAM:
            asked.code = found.number
        asked.ended = asked.ended or found.ended

    @property
    def running(self) -> int:
        """Streams that are open, as far as the script has read."""
        return sum(a.code is None and ident not in self._answered for ident, a in self.asked.items() if a.fields)

    async def until(self, wanted: Callable[[], object], within: float = PATIENCE) -> None:
        """Read until ``wanted`` is true. Truncated when the connection ends before."""
        async with asyncio.timeout(within):
            while not wanted():
                if not await self.read() and not wanted():
                    raise Truncated("the gateway ended the connection")

    async def head(self) -> Asked:
        """The next request whose head has come."""
        fresh: list[Asked] = []

        def come() -> bool:
            fresh[:] = [a for ident, a in sorted(self.asked.items()) if a.fields and ident not in self._taken]
            return bool(fresh)

        await self.until(come)
        self._taken.add(fresh[0].ident)
        return fresh[0]

    async def request(self) -> Asked:
        """The next request as a whole."""
        asked = await self.head()
        await self.until(lambda: asked.ended)
        return asked

    async def reset(self, asked: Asked) -> int:
        """The code with which the gateway resets the stream."""
        await self.until(lambda: asked.code is not None)
        assert asked.code is not None
        return asked.code

    async def acknowledged(self) -> None:
        """The gateway has taken all that was sent before."""
        mark = b"mark%04d" % len(self.frames)
        await self.send(frame(PING, 0, 0, mark))
        await self.until(lambda: any(f.kind == PING and f.flags & ACK and f.payload == mark for f in self.frames))

    async def goaway(self) -> int:
        """The code of the GOAWAY that ends the connection."""
        async with asyncio.timeout(PATIENCE):
            while await self.read():
                pass
        return next(found.number for found in reversed(self.frames) if found.kind == GOAWAY)

    # -- responses

    async def begin(self, asked: Asked, *fields: tuple[bytes, bytes], status: int = 200, ended: bool = False) -> None:
        await self.send(self.headers(asked, [(b":status", b"%d" % status), *fields], ended=ended))

    def headers(self, asked: Asked, fields: Fields, *, ended: bool = False) -> bytes:
        if ended:
            self._answered.add(asked.ident)
        return frame(HEADERS, 5 if ended else 4, asked.ident, block(fields))

    async def data(self, asked: Asked, payload: bytes, *, ended: bool = False) -> None:
        await self.send(self.pieces(asked, payload, ended=ended))

    def pieces(self, asked: Asked, payload: bytes, *, ended: bool) -> bytes:
        """Frames of 16 KiB at most."""
        if ended:
            self._answered.add(asked.ident)
        parts = [payload[at : at + 16384] for at in range(0, len(payload), 16384)] or [b""]
        last = len(parts) - 1
        return b"".join([frame(DATA, ended and at == last, asked.ident, part) for at, part in enumerate(parts)])

    async def respond(self, asked: Asked, body: bytes = b"", *fields: tuple[bytes, bytes], status: int = 200) -> None:
        """A whole response."""
        length = (b"content-length", b"%d" % len(body))
        head = self.headers(asked, [(b":status", b"%d" % status), length, *fields])
        await self.send(head + self.pieces(asked, body, ended=True))

    async def refuse(self, asked: Asked, code: int) -> None:
        self._answered.add(asked.ident)
        await self.send(rst_stream(asked.ident, code))

    async def open_windows(self, asked: Asked, step: int = 1 << 20) -> None:
        await self.send(window_update(0, step), window_update(asked.ident, step))

    @property
    def credit(self) -> dict[int, int]:
        """What the gateway gave back, by stream."""
        given: dict[int, int] = {}
        for found in self.frames:
            if found.kind == WINDOW_UPDATE:
                given[found.ident] = given.get(found.ident, 0) + found.number
        return given

    @property
    def settings(self) -> dict[int, int]:
        """The first that the gateway sent."""
        payload = next(f.payload for f in self.frames if f.kind == SETTINGS and not f.flags & ACK)
        return {
            int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
            for at in range(0, len(payload), 6)
        }


Script = Callable[[Session], Awaitable[None]]


def speaking(script: Script, pairs: Pairs | None = None) -> Callable[[Link], Awaitable[None]]:
    """The behaviour of an upstream that holds ``script`` on each connection."""

    async def behave(link: Link) -> None:
        session = Session(link)
        await session.greet(pairs)
        await script(session)

    return behave


async def echo(session: Session) -> None:
    """Respond to each request with its method, its path and its body, one after the other."""
    while True:
        asked = await session.request()
        await session.respond(asked, asked.fields[b":method"] + b" " + asked.path + b" " + asked.body)


@functools.cache
def http2_context() -> ssl.SSLContext:
    """As `harness.tls.server_context`, and chooses HTTP/2."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("127.0.0.1", "upstream.test").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


class Http2TlsUpstream(TlsUpstream):
    """Chooses HTTP/2 by ALPN when it is offered."""

    def _take(self, sock: socket.socket) -> None:
        self._spawn(self._open(TlsLink(sock, http2_context())))
