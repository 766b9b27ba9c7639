"""Rate limits: token buckets, one for each key, exact by the generic cell rate algorithm.

A bucket begins full, holds ``burst`` tokens, and gets one every ``interval`` seconds. It is one number: the moment at
which it is full again. A request of ``weight`` moves that moment ``weight`` intervals on, and is admitted when it then
lies no further ahead than an empty bucket takes to fill. So a rejected request changes nothing, and when it would be
admitted is known.

A *late* limit is one whose tokens are known only when a response has ended: it admits while a bucket has a token, and
is charged afterwards, so that a bucket may owe tokens. What it owes is paid first, so that the rate holds in the long
run.

Tokens of a limit that *owes* can be reserved: they are taken now, for the moment at which they will be there. All that
comes later gets later ones, so that reservations are in the order in which they were made, over all processes.

New numbers apply to the buckets that are there: as many tokens are missing as before, and no more than a bucket holds,
unless it may owe some. They apply to what was made for the old ones too, because requests of an old generation end
later, and take from the same buckets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.policy.rate_store import NO_STORE, NONE, RateStore

TOLERANCE: Final = 1e-7
"""Seconds by which a token may come too early. A reading of the clock as a float is exact to 2e-9 s in a machine that
runs for 100 days, so a caller that comes in the promised second is not refused for a rounding."""
_ALMOST: Final = 1e-6
"""Of a token: so little is missing by rounding alone."""


class Numbers:
    """``interval``: seconds until one more token. ``burst``: tokens of a full bucket. ``capacity``: seconds in which an
    empty bucket fills. ``late``, ``owes``: a bucket may owe tokens, to requests that have ended, or to those that have
    reserved them.
    """

    __slots__ = ("burst", "capacity", "interval", "late", "owes")

    def __init__(self, rate: float, per: float, burst: int, *, late: bool = False, owes: bool = False) -> None:
        self.interval = per / rate
        self.burst = burst
        self.capacity = burst * self.interval
        self.late = late
        self.owes = owes or late

    def behind(self, moment: float, now: float) -> float:
        """Seconds until a bucket is full, by its ``moment``."""
        missing = max(0.0, moment - now)
        return missing if self.owes else min(missing, self.capacity)


class Buckets:
    """The buckets of one limit, which outlive reloads. ``name``: it decides whose lock is taken first."""

    __slots__ = ("name", "numbers", "store")

    def __init__(self, name: str, store: RateStore) -> None:
        self.name = name
        self.store = store
        self.numbers: Numbers | None = None
        """Those that apply, to all limits that have these buckets; None: each limit has its own."""

    def adapt(self, numbers: Numbers, now: float) -> None:
        """``numbers`` apply from now on: each bucket misses as many tokens as before. Where it holds fewer than before,
        it misses no more than that, and forgets what was reserved, because it cannot tell the two apart."""
        before, self.numbers = self.numbers, numbers
        smaller = before is not None and numbers.burst < before.burst
        most = math.inf if numbers.late or (numbers.owes and not smaller) else numbers.capacity
        self.store.enter()
        try:
            self.store.table.adapt(numbers.interval, now, most, clip=smaller)
        finally:
            self.store.leave()

    def move(self, store: RateStore) -> None:
        """Go on in another store."""
        store.take_over(self.store.hand_over())
        self.store = store

    def forget(self) -> RateStore:
        """No active limit has them any more; returns their store. Its memory may be that of others soon, and requests
        that began before may still take tokens: their limits then find full buckets, and change nothing."""
        before, self.store, self.numbers = self.store, NO_STORE, None
        return before


class RateLimit:
    """The numbers of one limit: ``rate`` tokens in ``per`` seconds, up to ``burst``. ``shadow``: it counts alone.
    ``late``: what a request takes is known when it is over. ``owes``: its tokens can be reserved.
    """

    __slots__ = ("buckets", "name", "numbers", "shadow")

    def __init__(
        self,
        name: str,
        rate: float,
        per: float,
        burst: int,
        buckets: Buckets,
        *,
        shadow: bool = False,
        late: bool = False,
        owes: bool = False,
    ) -> None:
        self.name = name
        self.numbers = Numbers(rate, per, burst, late=late, owes=owes)
        """Its own. Those of its buckets apply, which are other ones before and after it is active."""
        self.buckets = buckets
        self.shadow = shadow

    def missing(self, key: int, now: float) -> float:
        """Seconds until the bucket of ``key`` is full. Takes no lock, and is exact only within this process."""
        table = self.buckets.store.table
        slot = table.find(key)
        return 0.0 if slot == NONE else self.applying.behind(table.moments[slot], now)

    @property
    def applying(self) -> Numbers:
        """The numbers that apply."""
        return self.buckets.numbers or self.numbers

    def left(self, key: int, now: float) -> tuple[int, int]:
        """Whole tokens in the bucket of ``key``, and whole seconds until one more; 0: it is full."""
        missing, numbers = self.missing(key, now), self.applying
        interval, burst = numbers.interval, numbers.burst
        tokens = max(0, math.floor(burst - missing / interval + _ALMOST))
        if tokens >= burst:
            return burst, 0
        return tokens, max(1, math.ceil(missing - (burst - tokens - 1) * interval - TOLERANCE))

    def wait(self, key: int, weight: int, now: float) -> float:
        """Seconds until a request of ``weight`` would be admitted; 0.0: now."""
        numbers = self.applying
        needed = 1 if numbers.late else weight
        excess = self.missing(key, now) + needed * numbers.interval - numbers.capacity
        return excess if excess > TOLERANCE else 0.0

    @property
    def late(self) -> bool:
        """What a request takes is known when it is over."""
        return self.numbers.late

    @property
    def burst(self) -> int:
        """Tokens of a full bucket, by its own numbers."""
        return self.numbers.burst

    @property
    def window(self) -> int:
        """Whole seconds in which an empty bucket fills, 1 or more, by its own numbers."""
        return max(1, math.ceil(self.numbers.capacity - TOLERANCE))


class Rejection:
    """Why a request is not admitted: ``limits`` have too few tokens for it, by their places in the list.

    ``wait``: seconds until all that are enforced would admit it, when no other request comes; 0.0: all of them are in
    shadow mode, so it is served.
    """

    __slots__ = ("limits", "wait")

    def __init__(self, limits: Sequence[int], wait: float) -> None:
        self.limits = limits
        self.wait = wait

    @property
    def retry_after(self) -> int:
        """Whole seconds, 1 or more."""
        return max(1, math.ceil(self.wait - TOLERANCE))


class Reservation:
    """Tokens that are there ``at`` that moment. ``taken``: the place of each limit that gives them, its moment before
    and after."""

    __slots__ = ("at", "keys", "taken")

    def __init__(self, at: float, keys: Sequence[int], taken: Sequence[tuple[int, float, float]]) -> None:
        self.at = at
        self.keys = keys
        self.taken = taken


class RateLimits:
    """All limits of a proxy, of which each must admit a request; it takes ``weight`` tokens from each, or none.
    From a late limit it takes none: `charge` does, ``weight`` times as many as were used.
    """

    __slots__ = ("_order", "clock", "late", "limits", "weight")

    def __init__(self, limits: Sequence[RateLimit], weight: int = 1, clock: Clock = monotonic) -> None:
        self.limits = tuple(limits)
        self.weight = weight
        self.clock = clock
        # One order for all processes and proxies, so that no two wait for each other.
        self._order = sorted([limit.buckets for limit in limits], key=lambda buckets: buckets.name)
        self.late = [at for at, limit in enumerate(limits) if limit.late]
        """The places of those that are late."""

    def try_take(self, keys: Sequence[int]) -> Rejection | None:
        """Take the tokens from the buckets of ``keys``, one for each limit; None: all limits admit it.

        Limits in shadow mode decide among themselves as they would be enforced: what one of them rejects takes nothing
        from the others of them.
        """
        self._enter()
        try:
            return self._take(keys)
        finally:
            self._leave()

    def reserve(self, keys: Sequence[int], latest: float) -> Reservation | None:
        """Take the tokens of a request for the moment at which all limits that are enforced will have them; None: that
        is after ``latest``, and nothing is taken. All limits have to be such that owe.

        A limit in shadow mode gives its tokens where it will have them by then.
        """
        self._enter()
        try:
            return self._reserve(keys, latest)
        finally:
            self._leave()

    def give_back(self, reservation: Reservation) -> bool:
        """As if ``reservation`` had not been made; False: something was taken since, and nothing changes, because the
        rest came after these tokens and is not earlier without them."""
        self._enter()
        try:
            found = []
            for at, before, after in reservation.taken:
                table = self.limits[at].buckets.store.table
                key = reservation.keys[at]
                slot = table.find(key)
                if slot == NONE or table.moments[slot] != after:
                    return False
                found.append((table, slot, key, before))
            now = self.clock()
            for table, slot, key, before in found:
                table.put(slot, key, before, now)
            return True
        finally:
            self._leave()

    def charge(self, keys: Sequence[int], tokens: int) -> None:
        """Take from the buckets of late limits what a request with these ``keys`` has used, however few they hold."""
        for at in self.late:
            limit, key = self.limits[at], keys[at]
            if not tokens:
                continue
            store = limit.buckets.store
            store.enter()
            try:
                now, table = self.clock(), store.table
                slot = table.find(key)
                before = now if slot == NONE else max(now, table.moments[slot])
                table.put(slot, key, before + tokens * self.weight * limit.applying.interval, now)
            finally:
                store.leave()

    def _enter(self) -> None:
        for buckets in self._order:
            buckets.store.enter()

    def _leave(self) -> None:
        for buckets in reversed(self._order):
            buckets.store.leave()

    def _reserve(self, keys: Sequence[int], latest: float) -> Reservation | None:
        now, weight = self.clock(), self.weight
        at, found = now, []
        for limit, key in zip(self.limits, keys, strict=True):
            numbers, table = limit.applying, limit.buckets.store.table
            slot = table.find(key)
            before = now if slot == NONE else now + numbers.behind(table.moments[slot], now)
            found.append((slot, before))
            if not limit.shadow:
                at = max(at, before + weight * numbers.interval - numbers.capacity)
        if at > latest:
            return None
        taken = []
        for place, (limit, (slot, before)) in enumerate(zip(self.limits, found, strict=True)):
            numbers = limit.applying
            # As if the request came at that moment: what a limit has until then is not for it.
            after = max(before, at) + weight * numbers.interval
            if not limit.shadow or after - at - numbers.capacity <= TOLERANCE:
                limit.buckets.store.table.put(slot, keys[place], after, now)
                taken.append((place, before, after))
        return Reservation(at, keys, taken)

    def _take(self, keys: Sequence[int]) -> Rejection | None:
        now, weight = self.clock(), self.weight  # with the locks held: moments are stored in the order of the clock
        taken: list[tuple[int, float]] = []
        rejecting: list[int] = []
        wait = 0.0
        shadowed = False
        for at, limit in enumerate(self.limits):
            buckets = limit.buckets
            numbers, table = buckets.numbers or limit.numbers, buckets.store.table
            slot = table.find(keys[at])
            moment = now
            if slot != NONE:
                missing = numbers.behind(table.moments[slot], now)
                moment += missing
                if missing >= numbers.capacity and not numbers.owes:
                    # Perhaps emptier than empty, because a process with older numbers wrote it. It would stay so,
                    # because a rejected request changes nothing else.
                    table.clip(slot, moment, numbers.interval)
            moment += numbers.interval if numbers.late else weight * numbers.interval
            taken.append((slot, moment))
            excess = moment - now - numbers.capacity
            if excess > TOLERANCE:
                rejecting.append(at)
                shadowed = shadowed or limit.shadow
                if not limit.shadow:
                    wait = max(wait, excess)
        if not wait:
            for limit, key, (slot, moment) in zip(self.limits, keys, taken, strict=True):
                if not (limit.late or (shadowed and limit.shadow)):
                    limit.buckets.store.table.put(slot, key, moment, now)
        return Rejection(rejecting, wait) if rejecting else None
