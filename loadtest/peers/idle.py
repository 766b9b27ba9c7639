"""Many keep-alive connections that have each had one answer, and then do nothing."""

from __future__ import annotations

import asyncio
import resource
from typing import cast

from loadtest.peers.latency import whole
from loadtest.stage import HOST

CONNECTIONS = 5000
ABREAST = 100
SPARE = 200
"""File descriptors for everything else."""


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


class Idle(asyncio.Protocol):
    """Asks once; `answered` when the answer is whole, or with the error."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data = b""
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's own class does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._data += data
        if whole(self._data) and not self.answered.done():
            self._data = b""
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc or ConnectionError("closed before its answer"))


async def idle(port: int, prefix: str, connections: int = CONNECTIONS) -> list[asyncio.Transport]:
    """Open them in waves, each with one answer. ConnectionError, TimeoutError."""
    loop = asyncio.get_running_loop()
    request = f"GET {prefix}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    opened: list[asyncio.Transport] = []
    for first in range(0, connections, ABREAST):
        wave = range(first, min(first + ABREAST, connections))
        pairs = await asyncio.gather(*(loop.create_connection(lambda: Idle(request), HOST, port) for _ in wave))
        opened += [transport for transport, _ in pairs]
        async with asyncio.timeout(60):
            await asyncio.gather(*(protocol.answered for _, protocol in pairs))
    return opened
