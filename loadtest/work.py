"""How the sidecar of the load tests works: what it is made for, and what becomes of work that is more than that."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Times in seconds. The work of a request is lognormal; ``sigma`` 0: always ``median``."""

    capacity: int = 1000
    median: float = 0.02
    sigma: float = 0.0
    thrash: float = 1.5
    """Speed above the capacity: (capacity / inside) ** thrash. 1: only shared; above 1: work is also lost."""
    breaks: int = 0
    """Most requests inside before it dies; 0: it never does."""
    restart: float = 3.0
    failing: bool = False
    """Every request gets 500 at once."""
    seed: int = 1

    @property
    def mean(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)

    @property
    def throughput(self) -> float:
        """Requests a second that it can bear, for ever."""
        return self.capacity / self.mean


class Job:
    """A piece of work; ``done`` is called when it is finished. ``left``: nobody wants it any more."""

    __slots__ = ("done", "left")

    def __init__(self, done: Callable[[], None]) -> None:
        self.done = done
        self.left = False


class Machine:
    """Work shared among all who are inside (egalitarian processor sharing), in a virtual time that slows down.

    A job is finished when the virtual time has moved on by its seconds; so one timer, for the first, is enough.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, behaviour: Behaviour) -> None:
        self._loop = loop
        self.behaviour = behaviour
        self.inside = 0
        self._jobs: list[tuple[float, int, Job]] = []
        self._number = 0
        self._virtual, self._seen = 0.0, loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def speed(self) -> float:
        capacity = self.behaviour.capacity
        return 1.0 if self.inside <= capacity else (capacity / self.inside) ** self.behaviour.thrash

    def enter(self) -> None:
        self._advance()
        self.inside += 1

    def leave(self) -> None:
        self._advance()
        self.inside -= 1
        self._arm()

    def work(self, seconds: float, done: Callable[[], None]) -> Job:
        self._advance()
        job = Job(done)
        self._number += 1
        heapq.heappush(self._jobs, (self._virtual + seconds, self._number, job))
        self._arm()
        return job

    def _advance(self) -> None:
        now = self._loop.time()
        self._virtual += (now - self._seen) * self.speed
        self._seen = now

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._jobs:
            self._timer = self._loop.call_later(max(0.0, self._jobs[0][0] - self._virtual) / self.speed, self._finish)

    def _finish(self) -> None:
        self._timer = None
        self._advance()
        while self._jobs and self._jobs[0][0] <= self._virtual + 1e-6:
            _, _, job = heapq.heappop(self._jobs)
            if not job.left:
                job.done()
        self._arm()
