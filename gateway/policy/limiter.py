"""A semaphore per proxy: at most ``max`` exchanges inside, the rest refused or queued, and an honest Retry-After.

Two facts carry the whole machine. A permit that becomes free goes to the first waiter at once and is counted as in use
before that waiter's task has even woken; so whenever a request waits, all permits are in use, and a newcomer who finds
a free one overtakes no one. And a waiter is admitted by the result of its future alone: if its task is cancelled in the
moment between, the permit is passed on to the next.

The permits and the order of the waiters are in a store (`policy.store`), which several processes may share.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import OrderedDict
from itertools import count

from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.policy.machine import REFUSED, Waitable
from gateway.policy.store import FULL, TAKEN, MemoryPermitStore, PermitStore

Waiter = asyncio.Future[int]
"""A place in the queue; its result is a permit, or `REFUSED` when the time was up."""

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


class Limiter(Waitable):
    """Hands out ``max_concurrent`` permits (0: no limit); all its waiters belong to one event loop.

    ``max_waiting`` requests may wait; with 0 `acquire` does not wait. ``extra_releases`` counts releases of what is no
    permit in use: always 0 unless a caller is wrong. ``store`` has the numbers; several limiters may share one.
    """

    __slots__ = (
        "_admitting",
        "_handed",
        "_held",
        "_most",
        "_waiters",
        "clock",
        "extra_releases",
        "linger",
        "store",
        "wanted",
    )

    def __init__(
        self,
        max_concurrent: int,
        max_waiting: int = 0,
        clock: Clock = monotonic,
        store: PermitStore | None = None,
        linger: float = 0.0,
    ) -> None:
        """``linger``: as `gateway.policy.stores.Stores.linger`, for the layer that releases."""
        self.clock = clock
        self.linger = linger
        self.store: PermitStore = MemoryPermitStore(clock()) if store is None else store
        self.store.on_admitted(self._admitted)
        self.extra_releases = 0
        self._held: set[int] = set()
        self._handed = REFUSED
        """The last permit that a waiter got: they are numbered downwards, apart from those of arrivals."""
        self._waiters: OrderedDict[Waiter, int] = OrderedDict()
        """Those of this process, each with its place. Not a dict: taking the first key of one rescans the entries
        deleted before it, which adds up to O(n^2)."""
        self._admitting = False
        self._most = 0
        self.wanted = 0
        """What `resize` has set last; 0 = no limit."""
        self.resize(max_concurrent, max_waiting)

    @property
    def max(self) -> int:
        """Permits in all; 0 = no limit."""
        limit = self.store.limit
        return 0 if limit == sys.maxsize else limit

    @property
    def in_flight(self) -> int:
        """Permits in use."""
        return self.store.in_flight

    @property
    def held(self) -> int:
        """Those of them that this process has."""
        return len(self._held)

    @property
    def own_waiting(self) -> int:
        """Requests of this process that wait."""
        return len(self._waiters)

    @property
    def hold(self) -> float:
        """Seconds for which a permit is held, on a moving average; 0.0 = not known yet."""
        return self.store.hold

    @property
    def max_waiting(self) -> int:
        """Requests that may wait."""
        return self.store.max_waiting

    @property
    def full(self) -> bool:
        """No further request may wait."""
        return self.store.waiting >= self.store.max_waiting

    @property
    def available(self) -> int:
        """Permits that `try_acquire` would give; -1 = no limit."""
        limit = self.store.limit
        return -1 if limit == sys.maxsize else max(0, limit - self.store.in_flight)

    @property
    def idle(self) -> bool:
        """No permit is in use, and none is waited for."""
        return not self.store.in_flight and not self.store.waiting

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self.store.waiting

    def try_acquire(self) -> int:
        """Take a permit if one is free, else `REFUSED`. Never waits."""
        permit = self.store.take()
        if permit != REFUSED:
            self._held.add(permit)
        return permit

    async def acquire(self, timeout: float | None = None) -> int:
        """Take a permit, waiting for it up to ``timeout`` seconds (None: until cancelled) if the queue has room."""
        permit = self.try_acquire()
        return permit if permit != REFUSED else await self.wait(timeout)

    async def wait(self, timeout: float | None = None) -> int:
        """What `acquire` does when `try_acquire` has just refused."""
        if timeout is not None and timeout <= 0.0:
            return REFUSED
        waiter = self.join(timeout)
        if waiter is None:
            return REFUSED
        try:
            return await waiter
        except BaseException:
            self.leave(waiter)
            raise

    def join(self, timeout: float | None = None) -> Waiter | None:
        """Take a place in the queue, for ``timeout`` seconds (None: no bound); None when it is full.

        The result of the waiter is a permit that its owner has to `release`, or `REFUSED`. A caller that leaves before
        it has one calls `leave`.
        """
        place = self.store.join()
        if place == FULL:
            return None
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        if place == TAKEN:
            self._hand(waiter)
            return waiter
        self._waiters[waiter] = place
        if timeout is not None:
            timer = loop.call_later(timeout, self._give_up, waiter)
            waiter.add_done_callback(lambda _: timer.cancel())
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """``waiter`` waits no longer; a permit that it got is released for the next one."""
        place = self._waiters.pop(waiter, None)
        if place is not None:
            waiter.cancel()
            if not self.store.leave(place):
                self.store.give_back()
        elif not waiter.cancelled() and waiter.done() and waiter.result() != REFUSED:
            self.release(waiter.result())

    def release(self, permit: int, outcome: Outcome = Outcome.IGNORED, seconds: float = 0.0) -> None:
        """Give ``permit`` back, held for so many seconds (0.0: unknown); the first waiter gets it at once.

        A second release of a permit changes nothing. A fixed limit learns nothing from ``outcome``.
        """
        try:
            self._held.remove(permit)
        except KeyError:
            self.extra_releases += 1
            return
        store = self.store
        if seconds:
            hold = store.hold
            store.hold = hold + (seconds - hold) * SMOOTHING if hold else seconds
        store.give_back()

    def resize(self, max_concurrent: int, max_waiting: int | None = None) -> None:
        """Change the numbers of permits and of places (None: as it is). Permits in use stay in use, so that fewer come
        true as they return; those who wait keep their places.
        """
        if max_waiting is not None:
            self.store.max_waiting = max_waiting
        self.wanted = max(0, max_concurrent)
        self.store.resize(self._bounded)

    def bound(self, most: int) -> None:
        """Give ``most`` permits at the most, whatever `resize` says; 0: no such bound.

        To be called again and again while the bound holds. Processes that share the store may have other bounds: each
        lowers the limit to its own, and raises it only when that rises or ends. So the lowest one holds, and they do
        not undo what the others do.
        """
        before, self._most = self._most, most
        rises = before > 0 and (not most or most > before)
        if (most and self.store.limit > most) or (rises and self.store.limit < self._bounded):
            self.store.resize(self._bounded)

    @property
    def lowered(self) -> bool:
        """`bound` is what limits now."""
        return 0 < self._most < (self.wanted or sys.maxsize) and self.store.limit <= self._most

    @property
    def _bounded(self) -> int:
        return min(self.wanted or sys.maxsize, self._most or sys.maxsize)

    def move(self, store: PermitStore) -> None:
        """Go on with ``store``: permits in use stay in use, and those who wait keep their order.

        No other process uses ``store`` yet, or none uses the one before any more. The garbage collector must not run
        meanwhile, because it may end an exchange, which gives its permit back.
        """
        if store is self.store:
            return
        numbers = self.store.hand_over()
        for waiter in [waiter for waiter, place in self._waiters.items() if place < numbers.head]:
            del self._waiters[waiter]  # the news of its permit was on its way
            if not waiter.done():
                self._hand(waiter)
        first = store.take_over(numbers, len(self._held), len(self._waiters))
        self._waiters = OrderedDict(zip(self._waiters, count(first)))
        self.store = store
        store.on_admitted(self._admitted)
        self._admitted()

    def reserve_retry_after(self) -> int:
        """Retry-After of a request that is rejected now, 1 to 300 seconds; its return is reserved in the schedule."""
        return self.store.reserve_return(self.clock(), *self._returns())

    def peek_retry_after(self) -> int:
        """What `reserve_retry_after` would return; reserves nothing."""
        if self.store.in_flight < self.store.limit:
            return 1
        return self.store.peek_return(self.clock(), *self._returns())

    def _returns(self) -> tuple[float, float, float]:
        """Permits that return in a second by Little's law, requests that may come in one, seconds to serve who waits.

        All three by what is in use and waits now, and how long permits were held recently.
        """
        limit = self.store.limit
        rate = limit / (self.store.hold or UNKNOWN_HOLD)
        busy = QUEUED_LOAD if self.max_waiting > 0 else 1 + GAPS / math.sqrt(limit)
        return rate, rate * busy, max(0, self.store.in_flight - limit + self.waiting) / rate

    def _hand(self, waiter: Waiter) -> None:
        self._handed -= 1
        self._held.add(self._handed)
        waiter.set_result(self._handed)

    def _admitted(self) -> None:
        """Places were given permits: wake those of this process."""
        if self._admitting:  # a permit that is passed on below: the loop sees whom it went to
            return
        self._admitting = True
        try:
            while self._waiters:
                waiter = next(iter(self._waiters))
                if self._waiters[waiter] >= self.store.head:
                    return
                del self._waiters[waiter]
                if waiter.done():  # cancelled, and its task has not woken yet to leave the queue
                    self.store.give_back()
                else:
                    self._hand(waiter)
        finally:
            self._admitting = False

    def _give_up(self, waiter: Waiter) -> None:
        if waiter.done():
            return
        if self.store.leave(self._waiters.pop(waiter)):
            waiter.set_result(REFUSED)
        else:  # its permit came in the last moment, and the news of it is on its way
            self._hand(waiter)
