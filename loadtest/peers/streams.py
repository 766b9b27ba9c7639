"""Many streams at once, each frame's lateness, and the search for the most that a proxy bears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from loadtest.http1 import END, LAST, request
from loadtest.peers.pacer import FRAMES, PACE
from loadtest.stage import HOST

STALL = 0.2
"""Seconds after it was due at the origin at which a frame that reaches the client is a stall."""
ABREAST = 100
"""Connections that are opened at a time."""
DUE = b'"due":'


@dataclass(frozen=True)
class Trial:
    """What one trial with ``streams`` streams came to; lateness in seconds."""

    streams: int
    frames: int
    worst: float
    stalls: int
    """Reads whose oldest frame was a stall."""

    @property
    def held(self) -> bool:
        """Every frame came, and none was a stall."""
        return self.frames == self.streams * FRAMES and self.stalls == 0


class Reading(asyncio.Protocol):
    """One stream, as a browser would hold it."""

    def __init__(self, stage: Stage, request: bytes) -> None:
        self._stage, self._request = stage, request
        self._head = self._tail = b""
        self._headless, self._over = True, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._headless:
            self._head += data
            _, found, data = self._head.partition(END)
            if not found:
                return
            self._headless = False
            self._stage.head()
        data = self._tail + data
        self._tail = data[-len(DUE) + 1 :]  # a mark may come in two reads; the tail is too short to be counted twice
        count = data.count(DUE)
        if count:
            self._stage.frames(count, time.monotonic() - oldest(data))
        if data.endswith(LAST):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._stage.ended()


def oldest(data: bytes) -> float:
    """When the first whole frame in it was due, in seconds; now, when its digits have not all come."""
    at = data.find(DUE) + len(DUE)
    digits = data[at : at + 16]
    return int(digits) / 1e6 if len(digits) == 16 else time.monotonic()


class Stage:
    """Counts heads, frames and ends of all streams of a trial."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self.ready, self.done = asyncio.Event(), asyncio.Event()
        self._heads = self._ends = self.count = self.stalls = 0
        self.worst = 0.0

    def head(self) -> None:
        self._heads += 1
        if self._heads == self._streams:
            self.ready.set()

    def frames(self, count: int, late: float) -> None:
        self.count += count
        self.worst = max(self.worst, late)
        self.stalls += late > STALL

    def ended(self) -> None:
        self._ends += 1
        if self._ends == self._streams:
            self.done.set()


async def trial(
    port: int, prefix: str, pacer_port: int, streams: int, at_start: Callable[[], None] = lambda: None
) -> Trial:
    """Open ``streams`` streams, call ``at_start``, let the frames run. A stream that fails makes the trial not held."""
    stage = Stage(streams)
    wanted = request(f"{prefix}/sse", HOST, "Accept: text/event-stream")
    opened: list[Reading] = []
    try:
        await _open(stage, wanted, port, streams, opened)
        async with asyncio.timeout(30):
            await stage.ready.wait()
        at_start()
        await _go(pacer_port)
        async with asyncio.timeout(FRAMES * PACE + 10):
            await stage.done.wait()
    except (TimeoutError, OSError):
        pass  # what came by then tells
    finally:
        for reading in opened:
            reading.transport.abort()
    return Trial(streams, stage.count, stage.worst, stage.stalls)


async def _open(stage: Stage, request: bytes, port: int, streams: int, opened: list[Reading]) -> None:
    loop = asyncio.get_running_loop()
    for first in range(0, streams, ABREAST):
        wave = range(first, min(first + ABREAST, streams))
        dials = [loop.create_connection(lambda: Reading(stage, request), HOST, port) for _ in wave]
        opened += [reading for _, reading in await asyncio.gather(*dials)]


async def _go(pacer_port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, pacer_port)
    writer.write(request("/go", "pacer"))
    await reader.readuntil(END)
    writer.close()


def most(holds: Callable[[int], bool], first: int, bound: int, step: float = 1.1) -> int:
    """The most that holds: doubling from ``first`` to ``bound``, then halving between until within ``step``.

    0 when not even ``first`` holds. That fewer hold when more do is taken for granted.
    """
    good, bad = 0, 0
    size = first
    while not bad and good < bound:
        if holds(size):
            good, size = size, min(size * 2, bound)
        else:
            bad = size
    while good and bad > good * step:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good
