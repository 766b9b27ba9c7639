"""The buckets of a rate limit, shared by all workers: a `gateway.policy.rate_store.RateStore`.

Its lock and its counts are in a slab of the page, its table in the area of that slab, behind all slabs. A table has one
entry for each bucket, and each store of an entry is whole, so the death of a process leaves nothing to repair; at most
the request that it was about to admit has taken tokens from a part of its limits.
"""

from __future__ import annotations

import mmap
import os

from gateway.page.layout import AREA, AREAS, CELL, RATE_COUNTS, RATE_INTERVAL, RATE_SLOTS, WITH_AREAS
from gateway.page.slab import Slab
from gateway.policy.rate_store import RateTable, Saved, load, saved


def area(descriptor: int, number: int) -> mmap.mmap:
    """The memory of the area of the slab ``number``. Raises OSError when the system gives none."""
    if os.fstat(descriptor).st_size < WITH_AREAS:
        os.ftruncate(descriptor, WITH_AREAS)
    return mmap.mmap(descriptor, AREA, offset=AREAS + (number - 1) * AREA)


class PageRateStore:
    """For the process in ``slab.slot``."""

    __slots__ = ("_memory", "slab", "table")

    def __init__(self, slab: Slab, memory: mmap.mmap, slots: int) -> None:
        """``memory``: an `area`, of which the first ``slots`` slots are used."""
        self.slab = slab
        self._memory = memory
        whole, middle, end = memoryview(memory), slots * CELL, 2 * slots * CELL
        counts = slab.cells[RATE_COUNTS : RATE_COUNTS + 2]
        interval = slab.floats[RATE_INTERVAL : RATE_INTERVAL + 1]
        self.table = RateTable(whole[:middle].cast("q"), whole[middle:end].cast("d"), counts, interval)
        with slab.locked():
            if slab.cells[RATE_SLOTS] != slots:
                self._clear()
                slab.cells[RATE_SLOTS] = slots

    def enter(self) -> None:
        """As `RateStore.enter`."""
        self.slab.enter()

    def leave(self) -> None:
        """As `RateStore.leave`."""
        self.slab.leave()

    def hand_over(self) -> Saved:
        """As `RateStore.hand_over`."""
        with self.slab.locked():
            return saved(self.table)

    def take_over(self, saved: Saved) -> None:
        """As `RateStore.take_over`."""
        with self.slab.locked():
            load(self.table, saved)

    def clear(self) -> None:
        """Give the memory back: no process uses it."""
        with self.slab.locked():
            self._clear()

    def _clear(self) -> None:
        self.slab.cells[RATE_SLOTS] = 0
        self.table.counts[0] = self.table.counts[1] = 0
        self.table.interval[0] = 0.0
        try:
            self._memory.madvise(mmap.MADV_REMOVE)
        except OSError:  # not every system can
            self.table.hashes.cast("B")[:] = bytes(len(self.table.hashes) * CELL)
            self.table.moments.cast("B")[:] = bytes(len(self.table.moments) * CELL)
