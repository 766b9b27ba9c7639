"""Where the buckets of a rate limit are kept: for each key one number, in a table whose size never changes.

The number is the moment at which the bucket is full again, on the monotonic clock: the theoretical arrival time of the
generic cell rate algorithm (ITU-T I.371, annex A), which is a token bucket in one number. A moment that is over says
nothing, so such an entry may be replaced at any time.

Each key has two sets of `WAYS` slots, by two halves of its hash, and goes into the one with fewer live entries (the
power of two choices, Azar et al. 1994): so the table can be filled to two thirds before a live entry is lost. Then it
is the one whose bucket is fullest.
"""

from __future__ import annotations

import math
import mmap
from typing import Final, Protocol

WAYS: Final = 8
"""Slots of a set."""
SPARE: Final = 1.5
"""Slots for each key that must find room."""
MOST_SLOTS: Final = 1_500_000
CELL: Final = 8
"""Bytes of a number; a slot has two."""
HELD: Final = 0
"""Of `counts`: slots that are in use."""
FORGOTTEN: Final = 1
"""Of `counts`: entries that were replaced before their buckets were full."""
NONE: Final = -1
"""No slot."""
_HALF: Final = 0xFFFF_FFFF


def slots_for(max_keys: int) -> int:
    """Slots of a table in which so many keys find room."""
    return WAYS * math.ceil(max_keys * SPARE / WAYS)


Saved = tuple[bytes, bytes, bytes, float]
"""Of a `RateTable`: hashes, moments, counts, interval."""


class RateTable:
    """``hashes`` (cells of 8 bytes, 0: free), ``moments``, ``counts`` and ``interval`` are its memory, all zero when it
    is new. ``interval``: a cell with the seconds for which a token counts.
    """

    __slots__ = ("_sets", "counts", "hashes", "interval", "moments")

    def __init__(
        self, hashes: memoryview, moments: memoryview[float], counts: memoryview, interval: memoryview[float]
    ) -> None:
        self.hashes = hashes
        self.moments = moments
        self.counts = counts
        self.interval = interval
        self._sets = len(hashes) // WAYS

    def find(self, key: int) -> int:
        """The slot of ``key``, or `NONE`."""
        hashes = self.hashes
        for first in self._sets_of(key):
            found = hashes[first : first + WAYS].tolist()
            if key in found:
                return first + found.index(key)
        return NONE

    def put(self, slot: int, key: int, moment: float, now: float) -> None:
        """Store the ``moment`` of ``key``, whose slot is ``slot``, or which gets one. A process may die in between:
        then an entry is lost, and none is wrong.
        """
        if slot == NONE:
            slot = self._room(key, now)
            if not self.hashes[slot]:
                self.counts[HELD] += 1
            elif self.moments[slot] > now:
                self.counts[FORGOTTEN] += 1
            self.hashes[slot] = 0
            self.moments[slot] = moment
            self.hashes[slot] = key
        else:
            self.moments[slot] = moment

    def adapt(self, interval: float, now: float, most: float = math.inf, *, clip: bool = False) -> None:
        """A token counts for ``interval`` seconds from now on: each bucket misses as many tokens as before, and is full
        in ``most`` seconds. ``clip``: that is less than before, also where the interval is the same.
        """
        before = self.interval[0]
        self.interval[0] = interval  # first, because a process that dies below must not leave it to be done twice
        if not before or (before == interval and not clip):
            return
        factor, moments = interval / before, self.moments
        for slot, moment in enumerate(moments.tolist()):
            if moment > now:
                moments[slot] = now + min((moment - now) * factor, most)

    def clip(self, slot: int, moment: float, interval: float) -> None:
        """Store ``moment``, if it is earlier, and unless a token counts for another ``interval`` by now: then another
        process has newer numbers, by which the bucket may hold more."""
        if self.moments[slot] > moment and self.interval[0] in (0.0, interval):
            self.moments[slot] = moment

    def _sets_of(self, key: int) -> tuple[int, int]:
        """The first slots of both sets."""
        return (key & _HALF) % self._sets * WAYS, (key >> 32 & _HALF) % self._sets * WAYS

    def _room(self, key: int, now: float) -> int:
        """The slot of the fullest bucket, in the set with fewer live entries."""
        moments = self.moments
        candidates = []
        for first in self._sets_of(key):
            found = moments[first : first + WAYS].tolist()
            candidates.append((sum(map(now.__lt__, found)), min(found), first + found.index(min(found))))
        return min(candidates)[2]


class RateStore(Protocol):
    """The table of one limit. With several processes all calls but `peek` come between `enter` and `leave`."""

    @property
    def table(self) -> RateTable: ...

    def enter(self) -> None:
        """Keep other processes out. Stores are entered in one order, by the names of their limits."""
        ...

    def leave(self) -> None: ...

    def hand_over(self) -> Saved:
        """All of it, for another store to go on with."""
        ...

    def take_over(self, saved: Saved) -> None:
        """Go on from what another store of the same size has handed over."""
        ...


class MemoryRateStore:
    """The table of one process. Slots that were never used take no memory."""

    __slots__ = ("table",)

    def __init__(self, slots: int) -> None:
        middle, end = slots * CELL, 2 * slots * CELL
        whole = memoryview(mmap.mmap(-1, end + 3 * CELL, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        counts, interval = whole[end : end + 2 * CELL], whole[end + 2 * CELL :]
        self.table = RateTable(
            whole[:middle].cast("q"), whole[middle:end].cast("d"), counts.cast("q"), interval.cast("d")
        )

    def enter(self) -> None:
        """As `RateStore.enter`."""

    def leave(self) -> None:
        """As `RateStore.leave`."""

    def hand_over(self) -> Saved:
        """As `RateStore.hand_over`."""
        return saved(self.table)

    def take_over(self, saved: Saved) -> None:
        """As `RateStore.take_over`."""
        load(self.table, saved)


class _NoTable(RateTable):
    """Has no entry, and gets none."""

    __slots__ = ()

    def __init__(self) -> None:
        cells = memoryview(bytes(2 * CELL))
        super().__init__(cells.cast("q"), cells.cast("d"), cells.cast("q"), cells.cast("d"))

    def find(self, key: int) -> int:
        """As `RateTable.find`."""
        return NONE

    def put(self, slot: int, key: int, moment: float, now: float) -> None:
        """As `RateTable.put`."""


class _NoStore(MemoryRateStore):
    """Keeps nothing: each bucket is full. It has no lock."""

    __slots__ = ()

    def __init__(self) -> None:
        self.table = _NoTable()


NO_STORE: Final[RateStore] = _NoStore()
"""In place of a store that was given back."""


def saved(table: RateTable) -> Saved:
    """The memory of ``table``, copied."""
    return table.hashes.tobytes(), table.moments.tobytes(), table.counts.tobytes(), table.interval[0]


def load(table: RateTable, saved: Saved) -> None:
    """Write what `saved` has copied of a table of the same size."""
    hashes, moments, counts, table.interval[0] = saved
    table.hashes.cast("B")[:] = hashes
    table.moments.cast("B")[:] = moments
    table.counts.cast("B")[:] = counts
