"""A semaphore per proxy: at most ``max`` exchanges inside, the rest refused or queued, and an honest Retry-After.

Two facts carry the whole machine. A permit that becomes free goes to the first waiter at once and is counted as in use
before that waiter's task has even woken; so whenever somebody waits, all permits are in use, and a newcomer who finds
a free one overtakes nobody. And a waiter is admitted by the result of its future alone: if its task is cancelled in the
moment between, the permit is passed on to the next.
"""

from __future__ import annotations

import asyncio
import math
import sys

from gateway.core.clock import Clock, monotonic
from gateway.policy.queue import WaitQueue
from gateway.policy.retry_after import ReturnSchedule

Waiter = asyncio.Future[bool]

SMOOTHING = 1 / 8
"""Weight of the newest hold in the moving average, as TCP smooths its round-trip time (RFC 6298, 2)."""
UNKNOWN_HOLD = 1.0
"""Seconds for which a permit is taken to be held before any came back."""
QUEUED_LOAD = 0.9
"""Of the rate; with a queue, which keeps permits busy, more than that is left to the trickle of `ReturnSchedule`."""
GAPS = 1.5
"""Without a queue a released permit idles until the next arrival. So more may come than return, by this times the
square root of the permits (square-root staffing, Halfin and Whitt 1981): ten are then busy for nearly nine tenths of
the time.
"""


class Limiter:
    """Hands out ``max_concurrent`` permits (0: no limit); all waiters belong to one event loop.

    ``in_flight`` and ``arrived``, the calls of `try_acquire`, are to be read only. ``queue`` holds those who wait;
    without one `acquire` does not wait. ``extra_releases`` counts releases of permits that nobody had: always 0 unless
    a caller is wrong.
    """

    __slots__ = ("_hold", "_limit", "_schedule", "arrived", "clock", "extra_releases", "in_flight", "queue")

    def __init__(self, max_concurrent: int, queue: WaitQueue[Waiter] | None = None, clock: Clock = monotonic) -> None:
        self.queue: WaitQueue[Waiter] = WaitQueue(0) if queue is None else queue
        self.clock = clock
        self.arrived = 0
        self.in_flight = 0
        self.extra_releases = 0
        self._limit = max_concurrent if max_concurrent > 0 else sys.maxsize
        self._hold = 0.0
        self._schedule = ReturnSchedule(clock())

    @property
    def max(self) -> int:
        """Permits in all; 0 = no limit."""
        return 0 if self._limit == sys.maxsize else self._limit

    @property
    def hold(self) -> float:
        """Seconds for which a permit is held, on a moving average; 0.0 = not known yet."""
        return self._hold

    @property
    def available(self) -> int:
        """Permits that `try_acquire` would give; -1 = no limit."""
        return -1 if self._limit == sys.maxsize else max(0, self._limit - self.in_flight)

    @property
    def idle(self) -> bool:
        """Nobody has a permit or waits for one."""
        return not self.in_flight and not self.queue

    @property
    def waiting(self) -> int:
        return len(self.queue)

    def try_acquire(self) -> bool:
        """Take a permit if one is free. Never waits."""
        self.arrived += 1
        if self.in_flight >= self._limit:
            return False
        self.in_flight += 1
        return True

    async def acquire(self, timeout: float | None = None) -> bool:
        """Take a permit, waiting for it up to ``timeout`` seconds (None: until cancelled) if the queue has room."""
        return self.try_acquire() or await self.wait(timeout)

    async def wait(self, timeout: float | None = None) -> bool:
        """What `acquire` does when `try_acquire` has just said no."""
        if timeout is not None and timeout <= 0.0:
            return False
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        if not self.queue.join(waiter):
            return False
        timer = None if timeout is None else loop.call_later(timeout, self._give_up, waiter)
        try:
            return await waiter
        except BaseException:
            self.withdraw(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self, held: float = 0.0) -> None:
        """Give a permit back, held for so many seconds (0.0: unknown); the first waiter gets it at once."""
        if self.in_flight == 0:
            self.extra_releases += 1
            return
        self.in_flight -= 1
        if held:
            self._hold += (held - self._hold) * SMOOTHING if self._hold else held
        if self.queue.waiters:
            self._admit()

    def resize(self, max_concurrent: int) -> None:
        """Change the number of permits in place; those in use stay in use, so that fewer come true as they return."""
        self._limit = max_concurrent if max_concurrent > 0 else sys.maxsize
        self._admit()

    def reserve_retry_after(self) -> int:
        """Retry-After of a request that is rejected now, 1 to 300 seconds; its return is reserved in the schedule."""
        return self._schedule.reserve(self.clock(), self.arrived, *self._returns())

    def peek_retry_after(self) -> int:
        """What `reserve_retry_after` would return; reserves nothing."""
        if self.in_flight < self._limit:
            return 1
        return self._schedule.peek(self.clock(), self.arrived, *self._returns())

    def _returns(self) -> tuple[float, float, float]:
        """Permits that return in a second by Little's law, requests that may come in one, seconds to serve who waits.

        All three by what is in use and waits now, and how long permits were held of late.
        """
        rate = self._limit / (self._hold or UNKNOWN_HOLD)
        busy = QUEUED_LOAD if self.queue.max_waiting > 0 else 1 + GAPS / math.sqrt(self._limit)
        return rate, rate * busy, max(0, self.in_flight - self._limit + self.waiting) / rate

    def _admit(self) -> None:
        while self.in_flight < self._limit and (waiter := self.queue.pop()) is not None:
            # Done: cancelled, and its task has not woken yet to leave the queue.
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(True)

    def _give_up(self, waiter: Waiter) -> None:
        if not waiter.done():
            self.queue.leave(waiter)
            waiter.set_result(False)

    def withdraw(self, waiter: Waiter) -> None:
        """``waiter`` waits no longer; the permit that it may have got meanwhile is passed on."""
        self.queue.leave(waiter)
        if waiter.done() and not waiter.cancelled() and waiter.result():
            self.release()
