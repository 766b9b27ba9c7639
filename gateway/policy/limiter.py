"""A semaphore per proxy: at most ``max`` exchanges inside, the rest refused or queued, and an honest Retry-After.

Two facts carry the whole machine. A permit that becomes free goes to the first waiter at once and is counted as in use
before that waiter's task has even woken; so whenever a request waits, all permits are in use, and a newcomer who finds
a free one overtakes no one. And a waiter is admitted by the result of its future alone: if its task is cancelled in the
moment between, the permit is passed on to the next.

The permits and the places of the waiters are in a store (`policy.store`), which several processes may share. The store
gives permits to places in the order of arrival, over all processes; which waiter of this process gets one, its own
`WaitingLine` decides. That is enough, because the kernel spreads connections over the processes: each has its share of
every class and caller, and gets permits by its share of the places.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.errors import QUEUE_FULL, QUEUE_TIMEOUT, Reason
from gateway.policy.codel import Codel
from gateway.policy.machine import REFUSED, Waitable
from gateway.policy.retry_after import returns
from gateway.policy.store import FULL, TAKEN, MemoryPermitStore, PermitStore
from gateway.policy.waiting_line import ANY, Rank, WaitingLine

Waiter = asyncio.Future[int]
"""A place in the queue; its result: a permit, or one of `WHY`."""
DISPLACED: Final = -2
"""The result of a waiter who had to make way for one of a higher priority, or of another caller."""
DROPPED: Final = -3
"""The result of a waiter who was too old while the newest goes first."""
WHY: Final[dict[int, Reason]] = {REFUSED: QUEUE_TIMEOUT, DISPLACED: QUEUE_FULL, DROPPED: QUEUE_TIMEOUT}
"""Why a waiter got no permit, by his result. `REFUSED`: the time was up."""

MARGIN: Final = 1.5
"""Times the time that a request has: an expected wait above that is too long. docs/concepts.md has the simulation: with
1.0 too many are rejected after one long hold, with 2.0 hardly a wait in vain is spared.
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
        "_places",
        "_waiters",
        "clock",
        "extra_releases",
        "line",
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
        self._handed = DROPPED
        """The last permit that a waiter got: they are numbered downwards, apart from those of arrivals."""
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        """Those of this process by their places, the first place first. Not a dict: taking the first key of one rescans
        the entries deleted before it, which adds up to O(n^2)."""
        self._places: dict[Waiter, int] = {}
        self.line: WaitingLine[Waiter] = WaitingLine()
        """The same waiters, in the order in which they are next. One who overtakes gives his place to the other."""
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
        if permit == REFUSED:
            permit = await self.wait(timeout)
        return REFUSED if permit in WHY else permit

    async def wait(
        self, timeout: float | None = None, rank: Rank = ANY, joined: Callable[[Waiter], None] | None = None
    ) -> int:
        """What `acquire` does when `try_acquire` has just refused: a permit, or one of `WHY`. ``joined``: called with
        the place in the queue, when there is one.
        """
        if timeout is not None and timeout <= 0.0:
            return REFUSED
        waiter = self.join(timeout, rank)
        if waiter is None:
            return DISPLACED
        if joined is not None:
            joined(waiter)
        try:
            return await waiter
        except BaseException:
            self.leave(waiter)
            raise

    def join(self, timeout: float | None = None, rank: Rank = ANY) -> Waiter | None:
        """Take a place in the queue, for ``timeout`` seconds (None: no bound); None when it is full.

        The result of the waiter is a permit that its owner has to `release`, or one of `WHY`. A caller that leaves
        before it has one calls `leave`.
        """
        place = self.store.join()
        if place == FULL:
            # No one makes way in a queue that was switched off; those who are in it keep their places.
            victim = self.line.displace(rank) if self.max_waiting > 0 else None
            if victim is None:
                return None
            place = self._places.pop(victim)
            if not victim.done():
                victim.set_result(DISPLACED)
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        if place == TAKEN:
            self._hand(waiter)
            return waiter
        self._waiters[place] = waiter
        self._places[waiter] = place
        self.line.add(waiter, rank, self.clock())
        if timeout is not None:
            timer = loop.call_later(timeout, self._give_up, waiter)
            waiter.add_done_callback(lambda _: timer.cancel())
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """``waiter`` waits no longer; a permit that it got is released for the next one."""
        place = self._forget(waiter)
        if place is not None:
            waiter.cancel()
            if not self.store.leave(place):
                self.store.give_back()
        elif not waiter.cancelled() and waiter.done() and waiter.result() not in WHY:
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
        self.store.give_back(seconds)

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
        for place in [place for place in self._waiters if place < numbers.head]:
            waiter = self._next_for(place)  # the news of its permit was on its way
            if not waiter.done():
                self._hand(waiter)
        first = store.take_over(numbers, len(self._held), len(self._waiters))
        self._waiters = OrderedDict(zip(count(first), self._waiters.values()))
        self._places = {waiter: place for place, waiter in self._waiters.items()}
        self.store = store
        store.on_admitted(self._admitted)
        self._admitted()

    def configure(self, codel: Codel) -> None:
        """When the newest goes first. Those who wait keep their places."""
        self.line.configure(codel)

    def predicted_wait(self, rank: Rank = ANY) -> float:
        """Seconds that a newcomer would wait for a permit, by Little's law; 0.0: not known, or none."""
        store = self.store
        if store.in_flight < store.limit:
            return 0.0
        return self.expected_place(rank) * store.hold / store.limit

    def expected_place(self, rank: Rank = ANY) -> float:
        """The place of a newcomer among all who wait, from 1. Where workers share the queue it is estimated: his part
        of all places is that of the waiters of this process who are next before him.
        """
        return (self.line.ahead(rank) + 1) * (self.store.waiting + 1) / (len(self.line) + 1)

    def positions(self) -> Iterator[tuple[Waiter, int]]:
        """Those of this process who wait, with their places among all who wait, from 1, if no one came or left.

        Where workers share the queue it is an estimate: its places are taken to be spread evenly over the workers.
        """
        own = len(self.line)
        waiting = max(own, self.store.waiting)
        for at, waiter in enumerate(self.line.order(), 1):
            yield waiter, round(at * waiting / own)

    def expects_timeout(self, seconds: float, rank: Rank = ANY) -> bool:
        """Whether a newcomer with so many seconds would probably wait in vain. One who has none is left to `wait`."""
        return 0.0 < seconds * MARGIN < self.predicted_wait(rank)

    def reserve_retry_after(self) -> int:
        """Retry-After of a request that is rejected now, 1 to 300 seconds; its return is reserved in the schedule."""
        return self.store.reserve_return(self.clock(), *self._returns())

    def peek_retry_after(self) -> int:
        """What `reserve_retry_after` would return; reserves nothing."""
        if self.store.in_flight < self.store.limit:
            return 1
        return self.store.peek_return(self.clock(), *self._returns())

    def _returns(self) -> tuple[float, float, float]:
        store = self.store
        return returns(store.limit, store.hold, store.in_flight, store.waiting, queues=self.max_waiting > 0)

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
            self._admit()
            for waiter in self.line.too_old(self.clock()):
                self._drop(waiter)
                self._admit()
        finally:
            self._admitting = False

    def _admit(self) -> None:
        while self._waiters:
            place = next(iter(self._waiters))
            if place >= self.store.head:
                return
            waiter = self._next_for(place)
            if waiter.done():  # cancelled, and its task has not woken yet to leave the queue
                self.store.give_back()
            else:
                self._hand(waiter)

    def _next_for(self, place: int) -> Waiter:
        """Take the waiter who is next out of the queue, for the permit of ``place``. The one who had that place gets
        the place of the other, who may have come later.
        """
        owner = self._waiters.pop(place)
        waiter = self.line.take(self.clock())
        left = self._places.pop(waiter)
        if waiter is not owner:
            self._waiters[left] = owner
            self._places[owner] = left
        return waiter

    def _forget(self, waiter: Waiter) -> int | None:
        """``waiter`` waits no longer: its place, or None when it had none any more."""
        place = self._places.pop(waiter, None)
        if place is not None:
            del self._waiters[place]
            self.line.remove(waiter)
        return place

    def _drop(self, waiter: Waiter) -> None:
        if waiter.done():  # as above
            self.leave(waiter)
        else:
            self._give_up(waiter, DROPPED)

    def _give_up(self, waiter: Waiter, result: int = REFUSED) -> None:
        if waiter.done():
            return
        place = self._places[waiter]
        self._forget(waiter)
        if self.store.leave(place):
            waiter.set_result(result)
        else:  # its permit came in the last moment, and the news of it is on its way
            self._hand(waiter)
