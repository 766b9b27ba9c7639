"""Many keep-alive connections, plain or with TLS, that have each had one answer, and then do nothing."""

from __future__ import annotations

import asyncio
import resource
import ssl

from loadtest.http1 import Asking, request
from loadtest.peers.server import Server
from loadtest.stage import HOST

CONNECTIONS = 5000
ABREAST = 100
SPARE = 200
"""File descriptors for everything else."""
DATA, HEADERS, SETTINGS = 0, 1, 4
"""Types of HTTP/2 frames."""
END_STREAM = ACK = 1
"""Flags of them: of DATA and HEADERS, and of SETTINGS."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def http2_request() -> bytes:
    """The preface, and a GET of / over TLS: three entries of HPACK's static table and the name of the host."""
    fields = b"\x82\x87\x84\x01" + bytes((len(HOST),)) + HOST.encode()
    end_headers = 4
    asked = frame(HEADERS, END_STREAM | end_headers, 1, fields)
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + asked


class DescriptorsError(Exception):
    """The limit of this shell is too low; the text tells how to raise it."""


def allow(connections: int) -> None:
    """Raise the soft limit of open files to the hard one, for us and what we start. A proxy needs two a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * connections + SPARE:
        raise DescriptorsError(
            f"{connections} connections need `ulimit -n {2 * connections + SPARE}`; here it is {hard}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Idle(Asking):
    """Asks once; `done` when the response is whole, or with the error."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self._request = request
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def opened(self) -> None:
        self.transport.write(self._request)

    def answered(self, head: bytes, body: bytes) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before its answer"))


class IdleHttp2(Idle):
    """The same over HTTP/2; what the response says is not read."""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= (end := 9 + int.from_bytes(self._data[:3], "big")):
            kind, flags = self._data[3:5]
            self._data = self._data[end:]
            if kind == SETTINGS and not flags & ACK:
                self.transport.write(frame(SETTINGS, ACK, 0))
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                self.answered(b"", b"")


async def idle(server: Server, alpn: str = "", connections: int = CONNECTIONS) -> list[asyncio.Transport]:
    """Open them in waves, each with one answer; over TLS where ``alpn`` names a protocol. OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    port, tls = server.port, None
    if alpn:
        port, tls = server.ports["https"], ssl.create_default_context(cafile=server.folder / "authority.pem")
        tls.set_alpn_protocols([alpn])

    def once() -> Idle:
        return IdleHttp2(http2_request()) if alpn == "h2" else Idle(request(f"{server.prefix}/", HOST))

    opened: list[asyncio.Transport] = []
    for first in range(0, connections, ABREAST):
        wave = range(first, min(first + ABREAST, connections))
        pairs = await asyncio.gather(*(loop.create_connection(once, HOST, port, ssl=tls) for _ in wave))
        opened += [transport for transport, _ in pairs]
        async with asyncio.timeout(60):
            await asyncio.gather(*(protocol.done for _, protocol in pairs))
    return opened
