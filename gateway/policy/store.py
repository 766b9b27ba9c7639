"""Where a limiter keeps the numbers that all processes have to agree on, and the order of those who wait.

A machine reads the numbers for each decision and keeps no copy, so that machines over one store agree. A store
that is shared implements the same operations, each of them atomic. What only one process needs stays in the machine:
which of the permits are its own, and whom it wakes.

Who waits has a *place*. Places are numbered in the order of arrival, over all processes, and given permits in that
order: a waiter has its permit exactly when its place is below ``head``. So a permit changes hands in the store alone,
and a process that learns of it late has lost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.policy.machine import REFUSED
from gateway.policy.queue import WaitQueue
from gateway.policy.retry_after import ReturnSchedule, Saved

TAKEN: Final = -1
"""What `PermitStore.join` returns when a permit was free: it is taken, and there is nothing to wait for."""
FULL: Final = -2
"""What `PermitStore.join` returns when the queue has no place left."""
SMOOTHING: Final = 1 / 8
"""Weight of the newest hold in the moving average, as TCP smooths its round-trip time (RFC 6298, 2)."""


class PermitNumbers(NamedTuple):
    """What a store knows beside the permits and the places of a process, for another store to go on with."""

    limit: int
    max_waiting: int
    hold: float
    arrived: int
    """Arrivals so far."""
    head: int
    """`PermitStore.head` at the end: who had a place below it got a permit."""
    schedule: Saved
    due: list[int]
    """Of the schedule: the reservations of each second."""


class PermitStore(Protocol):
    """How many permits a limiter has, how many of them are in use, who waits for one, and who is to come back when."""

    max_waiting: int
    """Places in the queue; 0: no one waits."""
    taken: int
    """Permits in use at the last `take` that gave one, this one included."""

    @property
    def hold(self) -> float:
        """Seconds for which a permit is held, on a moving average; 0.0: not known yet."""
        ...

    @property
    def limit(self) -> int: ...

    @property
    def in_flight(self) -> int:
        """Permits in use; above ``limit`` when that was lowered. A waiter's is in use before the waiter has woken."""
        ...

    @property
    def waiting(self) -> int:
        """Places that are taken."""
        ...

    @property
    def head(self) -> int:
        """Every place below it was given its permit, or left."""
        ...

    def on_admitted(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` whenever places of this process may have been given permits."""
        ...

    def resize(self, limit: int) -> None:
        """Change ``limit``; permits in use stay in use, and new ones go to those who wait."""
        ...

    def take(self) -> int:
        """Count an arrival, and put one more permit in use: a number above 0 that no other arrival in this process
        has; `REFUSED` when ``limit`` are in use.
        """
        ...

    def give_back(self, seconds: float = 0.0) -> None:
        """Put one permit out of use, or give it to the first who waits. Called once for each that was got. ``seconds``:
        for how long it was held, for the average; 0.0: not known.
        """
        ...

    def join(self) -> int:
        """Take the last place in the queue: its number, `TAKEN` or `FULL`."""
        ...

    def leave(self, place: int) -> bool:
        """Give the place up. False: too late, it has its permit, which is to be given back or used."""
        ...

    def reserve_return(self, now: float, rate: float, load: float, start: float) -> int:
        """As `ReturnSchedule.reserve`, with the arrivals of all processes."""
        ...

    def peek_return(self, now: float, rate: float, load: float, start: float) -> int:
        """As `ReturnSchedule.peek`."""
        ...

    def hand_over(self) -> PermitNumbers:
        """The limiter of this process goes on in another store: its permits and places here are gone."""
        ...

    def take_over(self, numbers: PermitNumbers, permits: int, waiting: int) -> int:
        """Go on from the ``numbers`` of another store, which had all of this process and of no other.

        So many ``permits`` are in use at once, and so many are ``waiting``, whatever the bounds. Returns the first of
        their places, which follow one another.
        """
        ...


def _nothing() -> None:
    """No one waits here."""


class MemoryPermitStore:
    """The permits of one process. ``arrived``: the calls of `take`."""

    __slots__ = ("_places", "_schedule", "_tail", "_wakes", "arrived", "head", "hold", "in_flight", "limit", "taken")

    def __init__(self, now: float = 0.0) -> None:
        self.limit = 0
        self.in_flight = 0
        self.taken = 0
        self.arrived = 0
        self.hold = 0.0
        self.head = 0
        self._tail = 0
        self._places = WaitQueue[int](0)
        self._wakes: list[Callable[[], None]] = []
        self._schedule = ReturnSchedule(now)

    @property
    def max_waiting(self) -> int:
        return self._places.max_waiting

    @max_waiting.setter
    def max_waiting(self, places: int) -> None:
        self._places.max_waiting = places

    @property
    def waiting(self) -> int:
        return len(self._places.waiters)

    def on_admitted(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def resize(self, limit: int) -> None:
        self.limit = limit
        self._admit()

    def take(self) -> int:
        self.arrived = arrived = self.arrived + 1
        if self.in_flight >= self.limit:
            return REFUSED
        self.in_flight = self.taken = self.in_flight + 1
        return arrived

    def give_back(self, seconds: float = 0.0) -> None:
        if seconds:
            hold = self.hold
            self.hold = hold + (seconds - hold) * SMOOTHING if hold else seconds
        self.in_flight -= 1
        if self._places.waiters:
            self._admit()

    def join(self) -> int:
        if self.in_flight < self.limit:
            self.in_flight += 1
            return TAKEN
        place = self._tail
        if not self._places.join(place):
            return FULL
        self._tail += 1
        return place

    def leave(self, place: int) -> bool:
        self._places.leave(place)
        return place >= self.head

    def reserve_return(self, now: float, rate: float, load: float, start: float) -> int:
        return self._schedule.reserve(now, self.arrived, rate, load, start)

    def peek_return(self, now: float, rate: float, load: float, start: float) -> int:
        return self._schedule.peek(now, self.arrived, rate, load, start)

    def hand_over(self) -> PermitNumbers:
        schedule = self._schedule
        numbers = PermitNumbers(
            self.limit, self.max_waiting, self.hold, self.arrived, self.head, schedule.saved(), schedule.due
        )
        self.in_flight = 0
        self._places.waiters.clear()
        return numbers

    def take_over(self, numbers: PermitNumbers, permits: int, waiting: int) -> int:
        self.limit, self.max_waiting, self.hold, self.arrived = numbers[:4]
        self._schedule = ReturnSchedule(0.0, numbers.due)
        self._schedule.load(numbers.schedule)
        self.in_flight = permits
        first = self.head = self._tail
        self._tail += waiting
        self._places.waiters.update(dict.fromkeys(range(first, self._tail)))
        self._admit()
        return first

    def _admit(self) -> None:
        places = self._places
        while self.in_flight < self.limit and (place := places.pop()) is not None:
            self.in_flight += 1
            self.head = place + 1
            for wake in self._wakes:
                wake()
