"""The permits and the queue of a limiter, shared by all workers: a `gateway.policy.store.PermitStore`.

A permit that becomes free goes to the oldest waiter, in whatever process it waits: the releasing process moves it there
in one step, and rings that process, which wakes its waiter. A process that is rung late, or not at all because the
other died in between, loses nothing: what its waiters have is in the page.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.page.layout import (
    ARRIVED,
    CELL,
    CONNECTIONS,
    HEAD,
    HELD,
    HOLD,
    LIMIT,
    MAX_WAITING,
    OPEN,
    PROBES,
    PROBING,
    QUARANTINE,
    RING,
    RING_AT,
    SLOTS,
    TAIL,
    TOTAL,
    WAITING,
)
from gateway.page.schedule import PageSchedule
from gateway.page.slab import Slab
from gateway.policy.machine import REFUSED
from gateway.policy.store import FULL, SMOOTHING, TAKEN, PermitNumbers

_NONE: Final = -1
"""No process: the permit went back to those that are free."""


class PagePermitStore:
    """The numbers of one limiter, for the process in ``slab.slot``."""

    __slots__ = (
        *("_arrivals", "_cells", "_held", "_hold", "_limit", "_total", "_waiting"),
        *("_mine", "_release", "_schedule", "_section", "_try_acquire", "_wakes"),
        "slab",
        "taken",
    )

    def __init__(self, slab: Slab) -> None:
        self.slab = slab
        slab.on_repaired = self._go_on
        self._section = slab.section
        self._try_acquire, self._release = slab.try_acquire, slab.release
        self._cells = slab.cells
        self._mine = HELD + slab.slot
        # The cells that each request needs.
        self._arrivals, self._held = slab.cell(ARRIVED + slab.slot), slab.cell(self._mine)
        self._limit, self._total, self._waiting = slab.cell(LIMIT), slab.cell(TOTAL), slab.cell(WAITING)
        self._hold: memoryview[float] = slab.cell(HOLD).cast("B").cast("d", ())
        self._wakes: list[Callable[[], None]] = []
        self._schedule = PageSchedule(slab)
        self.taken = 0

    # -- what is read without the lock

    @property
    def limit(self) -> int:
        return self._cells[LIMIT]

    @property
    def in_flight(self) -> int:
        return self._cells[TOTAL]

    @property
    def waiting(self) -> int:
        return self._cells[WAITING]

    @property
    def head(self) -> int:
        return self._cells[HEAD]

    @property
    def held(self) -> int:
        """Permits that this process has."""
        return self._cells[self._mine]

    @property
    def arrived(self) -> int:
        """Arrivals in all processes."""
        return sum(self._cells[ARRIVED : ARRIVED + SLOTS])

    @property
    def max_waiting(self) -> int:
        return self._cells[MAX_WAITING]

    @max_waiting.setter
    def max_waiting(self, places: int) -> None:
        self._cells[MAX_WAITING] = places

    @property
    def hold(self) -> float:
        return self._hold[()]

    # -- what a worker does

    def on_admitted(self, wake: Callable[[], None]) -> None:
        """As `PermitStore.on_admitted`."""
        self._wakes.append(wake)

    def rung(self) -> None:
        """Another process rang: places of this one may have permits."""
        for wake in self._wakes:
            wake()

    def take(self) -> int:
        """As `PermitStore.take`. To refuse takes no lock: it is right however old the numbers are."""
        arrivals, total = self._arrivals, self._total
        arrivals[()] = arrived = arrivals[()] + 1
        limit = self._limit[()]
        if total[()] >= limit:
            return REFUSED
        section, try_acquire, release = self._section, self._try_acquire, self._release
        section.inside = True
        code = try_acquire()
        if code:
            self.slab.settle(code)
        before = total[()]
        if before < limit:  # one that changes now is as good as one that changes a moment later
            self._held[()] += 1  # first, as in `_put_in_use`
            total[()] = self.taken = before + 1
        else:
            arrived = REFUSED
        release()
        section.inside = False
        if section.later:
            self.slab.catch_up()
        return arrived

    def give_back(self, seconds: float = 0.0) -> None:
        """As `PermitStore.give_back`."""
        if seconds:
            # Not under the lock: of two processes that measure at once, one is forgotten, which an average survives.
            cell = self._hold
            hold = cell[()]
            cell[()] = hold + (seconds - hold) * SMOOTHING if hold else seconds
        section, try_acquire, release = self._section, self._try_acquire, self._release
        if section.inside:
            self.slab.put_off(self.give_back)
            return
        section.inside = True
        code = try_acquire()
        if code:
            self.slab.settle(code)
        taker = _NONE
        if self._waiting[()]:
            taker = self._hand_over(self.slab.slot)
        else:
            self._held[()] -= 1
            self._total[()] -= 1
        release()
        section.inside = False
        if section.later:
            self.slab.catch_up()
        if taker != _NONE:
            self._ring({taker})

    def join(self) -> int:
        """As `PermitStore.join`."""
        cells, slab = self._cells, self.slab
        slab.enter()
        place = int(cells[TAIL])
        if cells[TOTAL] < cells[LIMIT]:
            self._put_in_use(self._mine)
            place = TAKEN
        elif cells[WAITING] >= cells[MAX_WAITING] or place - self._first() >= RING:
            place = FULL
        else:
            # Until TAIL has moved, the entry belongs to no one.
            slab.entries[place % RING] = slab.slot + 1
            slab.commit((TAIL, place + 1), (WAITING, cells[WAITING] + 1))
        slab.leave()
        return place

    def leave(self, place: int) -> bool:
        """As `PermitStore.leave`."""
        cells, slab = self._cells, self.slab
        if slab.put_off(partial(self._leave_later, place)):
            return True
        slab.enter()
        waits = bool(place >= cells[HEAD])
        if waits:
            slab.commit((RING_AT + place % RING, 0), (WAITING, cells[WAITING] - 1))
        slab.leave()
        return waits

    def _leave_later(self, place: int) -> None:
        if not self.leave(place):
            self.give_back()

    def reserve_return(self, now: float, rate: float, load: float, start: float) -> int:
        """As `PermitStore.reserve_return`."""
        with self.slab.locked():
            schedule = self._schedule.loaded(now)
            seconds = schedule.reserve(now, self.arrived, rate, load, start)
            self._schedule.save(schedule.saved())
        return seconds

    def peek_return(self, now: float, rate: float, load: float, start: float) -> int:
        """As `PermitStore.peek_return`."""
        with self.slab.locked():
            schedule = self._schedule.loaded(now)
            seconds = schedule.peek(now, self.arrived, rate, load, start)
            self._schedule.save(schedule.saved())
        return seconds

    def hand_over(self) -> PermitNumbers:
        """As `PermitStore.hand_over`."""
        cells, slab = self._cells, self.slab
        with slab.locked():
            self._clear_places(slab.slot)
            cells[self._mine] = 0
            slab.recount()
            numbers = self._numbers()
            woken = self._admit()
        self._ring(woken)
        return numbers

    def take_over(self, numbers: PermitNumbers, permits: int, waiting: int) -> int:
        """As `PermitStore.take_over`. What died processes have left in quarantine stays there."""
        cells, slab = self._cells, self.slab
        with slab.locked():
            cells[LIMIT], cells[MAX_WAITING], slab.floats[HOLD] = numbers.limit, numbers.max_waiting, numbers.hold
            cells[ARRIVED : ARRIVED + SLOTS] = array("q", bytes(CELL * SLOTS))
            cells[ARRIVED + slab.slot] = numbers.arrived
            self._schedule.take_over(numbers.schedule, numbers.due)
            cells[self._mine] = permits
            first = cells[HEAD] = int(cells[TAIL])
            for place in range(first, first + waiting):
                slab.entries[place % RING] = slab.slot + 1
            cells[TAIL] = first + waiting
            slab.recount()
            woken = self._admit()
        self._ring(woken)
        return first

    # -- what the configuration does

    def resize(self, limit: int) -> None:
        """As `PermitStore.resize`. Every worker does it when it applies a configuration; the first one changes it."""
        slab = self.slab
        slab.enter()
        self._cells[LIMIT] = limit
        woken = self._admit()
        slab.leave()
        self._ring(woken)

    # -- what the supervisor does

    def bury(self, dead: int) -> int:
        """The process in the slot ``dead`` has ended for certain: its places and probes are free.

        Its permits stay in use until `exhume`, because the endpoint sees the end of its connections a moment after the
        next request. Returns how many they are.
        """
        cells, slab = self._cells, self.slab
        slab.enter()
        self._clear_places(dead)
        held = int(cells[HELD + dead])
        if held:
            slab.commit((HELD + dead, 0), (HELD + QUARANTINE, cells[HELD + QUARANTINE] + held))
        if cells[PROBES + dead]:
            slab.commit((PROBES + dead, 0), (PROBING, cells[PROBING] - cells[PROBES + dead]))
        if cells[OPEN + dead]:
            slab.commit((OPEN + dead, 0), (CONNECTIONS, cells[CONNECTIONS] - cells[OPEN + dead]))
        slab.leave()
        return held

    def exhume(self, count: int) -> None:
        """Give ``count`` permits of the dead back."""
        slab = self.slab
        slab.enter()
        woken = {self._hand_over(QUARANTINE) for _ in range(min(count, self._cells[HELD + QUARANTINE]))}
        slab.leave()
        self._ring(woken)

    # -- with the lock held

    def _put_in_use(self, holder: int) -> None:
        # HELD first: TOTAL is computed from it when this process dies in between.
        cells = self._cells
        cells[holder] += 1
        cells[TOTAL] += 1

    def _clear_places(self, slot: int) -> None:
        cells, slab = self._cells, self.slab
        for place in range(cells[HEAD], cells[TAIL]):
            if slab.entries[place % RING] == slot + 1:
                slab.commit((RING_AT + place % RING, 0), (WAITING, cells[WAITING] - 1))

    def _numbers(self) -> PermitNumbers:
        saved, due = self._schedule.hand_over(self.arrived)
        return PermitNumbers(self.limit, self.max_waiting, self.hold, self.arrived, self.head, saved, due)

    def _first(self) -> int:
        """The place of the first who waits, up to which HEAD is moved; TAIL when no one does."""
        cells, entries = self._cells, self.slab.entries
        tail = int(cells[TAIL])
        at = head = int(cells[HEAD])
        while at < tail and not entries[at % RING]:
            at += 1
        if at != head:
            cells[HEAD] = at
        return at

    def _hand_over(self, giver: int) -> int:
        """A permit of the process in ``giver`` goes to the first who waits, when one may have it: the slot of that
        one. `_NONE`: it is free.
        """
        cells, slab = self._cells, self.slab
        if not cells[WAITING] or cells[TOTAL] > cells[LIMIT]:
            cells[HELD + giver] -= 1
            cells[TOTAL] -= 1
            return _NONE
        place = self._first()
        taker = int(slab.entries[place % RING]) - 1
        pairs = [(HEAD, place + 1), (WAITING, cells[WAITING] - 1), (RING_AT + place % RING, 0)]
        if taker != giver:
            pairs += [(HELD + giver, cells[HELD + giver] - 1), (HELD + taker, cells[HELD + taker] + 1)]
        slab.commit(*pairs)
        return taker

    def _admit(self) -> set[int]:
        """Free permits go to those who wait: their slots."""
        cells, slab = self._cells, self.slab
        woken = set[int]()
        while cells[WAITING] and cells[TOTAL] < cells[LIMIT]:
            place = self._first()
            taker = int(slab.entries[place % RING]) - 1
            slab.commit(
                (HEAD, place + 1),
                (WAITING, cells[WAITING] - 1),
                (RING_AT + place % RING, 0),
                (HELD + taker, cells[HELD + taker] + 1),
                (TOTAL, cells[TOTAL] + 1),
            )
            woken.add(taker)
        return woken

    def _go_on(self) -> Callable[[], None]:
        """A process died while it changed the limit, say: permits may be free beside those who wait."""
        return partial(self._ring, self._admit())

    # -- without the lock

    def _ring(self, slots: set[int]) -> None:
        for slot in slots:
            if slot == self.slab.slot:
                self.rung()
            elif slot != _NONE:
                self.slab.ring(slot)
