"""An endpoint that fails in one of several ways, and counts what comes to it: requests and health checks apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import http1
from stage import HOST, listener, port_of

HEALTH = b"/health"
OK = http1.response(b"ok")
BUSY = http1.response(b"busy", b"503 Service Unavailable")
WORK = 0.02
"""Seconds for one request of an endpoint that is well."""
SLOWER = 10
LATE = 0.4
"""Seconds for one of the few requests that are slow by chance."""
FLAP = 2.0
"""Seconds that an endpoint that flaps is away, and then there."""


class Endpoint:
    """``async with Endpoint() as endpoint``; ``came`` are the moments of its requests, by the monotonic clock."""

    def __init__(self) -> None:
        self.work = WORK
        self.late_every = 0
        """One request in this many takes `LATE`; 0: none does."""
        self.answer = OK
        self.silent = False
        """Takes requests and answers none; those that came meanwhile stay without a response."""
        self.pretends = False
        """Its health check is good, whatever becomes of requests."""
        self.came: list[float] = []
        self.lines: set[_Line] = set()

    async def __aenter__(self) -> Self:
        sock = listener()
        self.port = port_of(sock)
        self._server: asyncio.Server | None = await asyncio.get_running_loop().create_server(self._line, sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()

    def _line(self) -> _Line:
        return _Line(self)

    @property
    def seconds(self) -> float:
        """For the request that came last."""
        late = self.late_every and len(self.came) % self.late_every == 0
        return LATE if late else self.work

    def refuse(self) -> None:
        """End all connections, and refuse further ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in set(self.lines):
            line.transport.abort()

    async def listen(self) -> None:
        """Take connections again, at the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._line, HOST, self.port, reuse_address=True, backlog=1024)


class _Line(http1.Answering):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._timer: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        self._endpoint.lines.add(self)

    def asked(self, target: bytes) -> None:
        endpoint = self._endpoint
        if target == HEALTH and endpoint.pretends:
            self.transport.write(OK)
            return
        if target != HEALTH:
            endpoint.came.append(time.monotonic())
        if endpoint.silent:
            return
        if endpoint.answer is BUSY:
            self.transport.write(BUSY)
        else:
            self._timer = asyncio.get_running_loop().call_later(endpoint.seconds, self.transport.write, OK)

    def connection_lost(self, _: Exception | None) -> None:
        self._endpoint.lines.discard(self)
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True, slots=True)
class Fault:
    """``run`` makes the endpoint fail for so many seconds, and makes it well again."""

    title: str
    story: str
    run: Callable[[Endpoint, float], Awaitable[None]]
    seen: bool = True
    """Whether the endpoint sees the requests that fail; those that the kernel refuses are seen by none."""


async def dies(endpoint: Endpoint, seconds: float) -> None:
    endpoint.refuse()
    await asyncio.sleep(seconds)
    await endpoint.listen()


async def hangs(endpoint: Endpoint, seconds: float) -> None:
    endpoint.silent = True
    await asyncio.sleep(seconds)
    endpoint.silent = False


async def slows(endpoint: Endpoint, seconds: float) -> None:
    endpoint.work = WORK * SLOWER
    await asyncio.sleep(seconds)
    endpoint.work = WORK


async def rejects(endpoint: Endpoint, seconds: float) -> None:
    endpoint.answer = BUSY
    await asyncio.sleep(seconds)
    endpoint.answer = OK


async def flaps(endpoint: Endpoint, seconds: float) -> None:
    """Away first, and there at the end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end - FLAP / 2:
        await dies(endpoint, FLAP)
        await asyncio.sleep(max(0.0, min(FLAP, end - time.monotonic())))


async def lies(endpoint: Endpoint, seconds: float) -> None:
    endpoint.pretends = True
    await rejects(endpoint, seconds)
    endpoint.pretends = False


async def hides(endpoint: Endpoint, seconds: float) -> None:
    endpoint.pretends = True
    await hangs(endpoint, seconds)
    endpoint.pretends = False


FAULTS = {
    "dies": Fault("dies", "its connections end, and further ones are refused", dies, seen=False),
    "hangs": Fault("hangs", "it takes connections and requests, and answers nothing, health checks neither", hangs),
    "slow": Fault(f"becomes {SLOWER} times slower", f"{WORK * SLOWER * 1e3:.0f} ms instead of {WORK * 1e3:.0f}", slows),
    "rejects": Fault("answers 503 at once", "to requests and to health checks", rejects),
    "flaps": Fault("flaps", f"it is dead for {FLAP:g} s and there for {FLAP:g} s, in turns", flaps, seen=False),
    "lies": Fault("lies", "its health check is good, and it answers 503 to each request", lies),
    "hides": Fault("hangs behind a good health check", "it answers checks, and no request", hides),
}
