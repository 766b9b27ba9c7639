"""An endpoint in a process of its own that counts how many requests are inside it at once.

    python -m harness.counting_upstream SECONDS CONNECTIONS

Prints its port. It serves CONNECTIONS at a time, as a server with so many threads does, and leaves others waiting.
Each request stays inside for up to SECONDS, or until its connection ends. ``/most`` says how many were inside at most,
and how many came in all; ``/fail`` responds with 500 at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.request import urlopen

import uvloop


class Counts:
    inside = most = total = 0


class Inside(asyncio.Protocol):
    """A connection of HTTP/1.1 with one request at a time, and no bodies."""

    def __init__(self, counts: Counts, seconds: float, ended: Callable[[], object]) -> None:
        self.counts, self.seconds, self.ended = counts, seconds, ended
        self.timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        counts = self.counts
        target = data.split(b" ", 2)[1]
        if target.endswith(b"/most"):
            self.respond(b"200 OK", b"%d %d" % (counts.most, counts.total))
        elif target.endswith(b"/fail"):
            counts.total += 1
            self.respond(b"500 Internal Server Error", b"")
        else:
            # A turn later, as `connection_lost` comes a turn after the end: else a request overtakes an end before it.
            asyncio.get_running_loop().call_soon(self.enter)

    def enter(self) -> None:
        if self.transport.is_closing():
            return
        counts = self.counts
        counts.inside += 1
        counts.total += 1
        counts.most = max(counts.most, counts.inside)
        self.timer = asyncio.get_running_loop().call_later(random.uniform(0.0, self.seconds), self.done)

    def done(self) -> None:
        self.timer = None
        self.counts.inside -= 1
        self.respond(b"200 OK", b"ok")

    def respond(self, status: bytes, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.counts.inside -= 1
        self.ended()


@dataclass(frozen=True)
class CountingUpstream:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self) -> tuple[int, int]:
        """How many were inside at most, and how many came in all."""
        with urlopen(f"{self.url}/most", timeout=10) as response:
            most, total = response.read().split()
        return int(most), int(total)


@contextmanager
def counting_upstream(seconds: float, connections: int = 1000) -> Iterator[CountingUpstream]:
    """A running one."""
    command = [sys.executable, "-m", "harness.counting_upstream", str(seconds), str(connections)]
    folder = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        try:
            yield CountingUpstream(int(process.stdout.readline()))
        finally:
            process.kill()


async def serve(seconds: float, connections: int) -> None:
    # An endpoint has a machine of its own: a busy test must not keep it from seeing in time that a connection ended.
    with suppress(PermissionError):
        os.nice(-15)
    loop, counts = asyncio.get_running_loop(), Counts()
    free = asyncio.Semaphore(connections)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            await free.acquire()
            accepted, _ = await loop.sock_accept(listener)
            await loop.connect_accepted_socket(lambda: Inside(counts, seconds, free.release), accepted)


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1]), int(sys.argv[2])))
