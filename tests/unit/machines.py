"""Limiters and breakers in the states that tests of machines and of their layers begin with."""

from __future__ import annotations

import asyncio
from typing import Self

from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED

RECOVERY = 30.0
"""Seconds after which an open breaker of `BreakerScene` admits a probe."""


def limiter_of(permits: int, room: int = 100, clock: Clock | None = None) -> Limiter:
    return Limiter(permits, room, clock or Clock())


def full_limiter(permits: int = 1, room: int = 100, clock: Clock | None = None) -> Limiter:
    limiter = limiter_of(permits, room, clock)
    for _ in range(permits):
        assert limiter.try_acquire() != REFUSED
    return limiter


def give_back(limiter: Limiter, seconds: float = 0.0) -> None:
    """Release the permit that was given first, as if it had been held for so long."""
    limiter.release(min(limiter._held), Outcome.IGNORED, seconds)


async def turns(count: int = 5) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def waiters(limiter: Limiter, count: int) -> list[asyncio.Task[int]]:
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(limiter.acquire()))
        await turns()
    assert limiter.waiting == count
    return tasks


async def ended(*tasks: asyncio.Task[int]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class BreakerScene:
    """A breaker of threshold 3 that can be brought into any state."""

    def __init__(self, half_open_requests: int = 1) -> None:
        self.clock = Clock()
        self.breaker = Breaker(3, RECOVERY, half_open_requests, name="sidecar", clock=self.clock)

    def call(self, outcome: Outcome) -> None:
        permit = self.breaker.try_acquire()
        assert permit != REFUSED
        self.breaker.release(permit, outcome)

    def bring_to(self, state: State) -> Self:
        if state is not State.CLOSED:
            for _ in range(3):
                self.call(Outcome.FAILURE)
        if state is State.HALF_OPEN:
            self.clock.now += RECOVERY
            self.call(Outcome.IGNORED)
        assert self.breaker.state is state
        return self
