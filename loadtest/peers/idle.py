"""Many keep-alive connections that have each had one answer, and then do nothing."""

from __future__ import annotations

import asyncio
import resource

from loadtest.http1 import Asking, request
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


async def idle(port: int, prefix: str, connections: int = CONNECTIONS) -> list[asyncio.Transport]:
    """Open them in waves, each with one answer. ConnectionError, TimeoutError."""
    loop = asyncio.get_running_loop()
    once = request(f"{prefix}/", HOST)
    opened: list[asyncio.Transport] = []
    for first in range(0, connections, ABREAST):
        wave = range(first, min(first + ABREAST, connections))
        pairs = await asyncio.gather(*(loop.create_connection(lambda: Idle(once), HOST, port) for _ in wave))
        opened += [transport for transport, _ in pairs]
        async with asyncio.timeout(60):
            await asyncio.gather(*(protocol.done for _, protocol in pairs))
    return opened
