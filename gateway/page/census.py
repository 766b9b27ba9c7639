"""The connections of all workers to a limited upstream: a `gateway.policy.stores.Census`.

Each worker writes how many it has. One that opens a connection beyond the limit rings those with idle ones.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.page.layout import CONNECTIONS, HELD, LIMIT, OPEN, QUARANTINE
from gateway.page.slab import Slab


class PageCensus:
    """In the slab of the limiter, for the process in ``slab.slot``."""

    __slots__ = ("_cells", "_connections", "_limit", "_shrinks", "slab")

    def __init__(self, slab: Slab) -> None:
        self.slab = slab
        self._cells = slab.cells
        # Read whenever a connection becomes idle.
        self._connections, self._limit = slab.cell(CONNECTIONS), slab.cell(LIMIT)
        self._shrinks: list[Callable[[], None]] = []

    def excess(self) -> int:
        """As `Census.excess`."""
        return self._connections[()] - self._limit[()]

    def on_crowded(self, shrink: Callable[[], None]) -> None:
        """As `Census.on_crowded`."""
        self._shrinks.append(shrink)

    def opened(self) -> None:
        """As `Census.opened`."""
        self._count(1)
        if self.excess() > 0:
            for slot in self._idlest():
                if slot == self.slab.slot:
                    self.rung()
                else:
                    self.slab.ring(slot)

    def rung(self) -> None:
        """There may be too many connections."""
        if self.excess() > 0:
            for shrink in self._shrinks:
                shrink()

    def closed(self) -> None:
        """As `Census.closed`."""
        if not self.slab.put_off(self.closed):
            self._count(-1)

    def _idlest(self) -> set[int]:
        """The processes that are to close idle connections: those with the most, and no more of them than needed."""
        cells = self._cells
        opened, held = cells[OPEN : OPEN + QUARANTINE].tolist(), cells[HELD : HELD + QUARANTINE].tolist()
        idle = [count - used for count, used in zip(opened, held, strict=True)]
        idle[self.slab.slot] -= 1  # the one that was just opened is about to be used
        found, left = set[int](), self.excess()
        for slot in sorted(range(QUARANTINE), key=lambda slot: -idle[slot]):
            if left <= 0 or idle[slot] <= 0:
                break
            found.add(slot)
            left -= idle[slot]
        # A permit without a connection hides an idle one: then each process that has a connection looks for itself.
        return found if left <= 0 else {slot for slot, count in enumerate(opened) if count}

    def _count(self, step: int) -> None:
        cells, mine, slab = self._cells, OPEN + self.slab.slot, self.slab
        slab.enter()
        slab.commit((mine, cells[mine] + step), (CONNECTIONS, cells[CONNECTIONS] + step))
        slab.leave()
