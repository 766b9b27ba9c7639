"""Memory in which one process counts and others read: numbers of 8 bytes, in one slab for each proxy.

A worker is the only writer of its map; the descriptor belongs to the process that started it, so that a worker that
died leaves its counts to the next one, and a scrape needs no help of the worker. An aligned number of 8 bytes is
written and read whole; between two numbers nothing is promised.

    slab 0          the process itself; its first cell says how many counters were ever used
    slab 1, 2, ...  cell 0: 1 in use, 0 free; cell 1: length of the name; cells 2 to 9: the name; then the numbers
"""

from __future__ import annotations

import mmap
import os
from typing import Final

SLAB_CELLS: Final = 512
MAX_SLABS: Final = 1 << 14
FIRST: Final = 10
"""The first cell of a slab that is free for numbers."""
_CELL: Final = 8
_NAME: Final = 2
_MAX_NAME: Final = (FIRST - _NAME) * _CELL
_SIZE: Final = SLAB_CELLS * MAX_SLABS * _CELL


def create() -> int:
    """The descriptor of a new map, which children may inherit. Untouched counters take no memory."""
    descriptor = os.memfd_create("gateway-metrics")
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class CounterMap:
    """A map, by its descriptor; None: one of this process alone. ``ints`` and ``floats`` are the same cells."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._map = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)
        self.bytes = memoryview(self._map)
        self.ints = self.bytes.cast("q")
        self.floats = self.bytes.cast("d")
        self._bases = dict(self.live())
        self._free = [base for base in range(SLAB_CELLS, self._end, SLAB_CELLS) if not self.ints[base]]

    @property
    def _end(self) -> int:
        return (self.ints[0] + 1) * SLAB_CELLS

    def live(self) -> list[tuple[str, int]]:
        """(name, first cell) of every slab in use, by name."""
        found = []
        for base in range(SLAB_CELLS, self._end, SLAB_CELLS):
            if self.ints[base]:
                start = (base + _NAME) * _CELL
                found.append((bytes(self.bytes[start : start + self.ints[base + 1]]).decode(), base))
        return sorted(found)

    def claim(self, name: str) -> int | None:
        """The slab called ``name``, all zero when it is new; None when all are taken. At most 64 bytes of name."""
        known = self._bases.get(name)
        if known is not None:
            return known
        if not self._free and self.ints[0] + 1 >= MAX_SLABS:
            return None
        base = self._free.pop() if self._free else self._end
        start = base * _CELL
        self.bytes[start : start + SLAB_CELLS * _CELL] = bytes(SLAB_CELLS * _CELL)
        text = name.encode()[:_MAX_NAME]
        self.bytes[start + _NAME * _CELL : start + _NAME * _CELL + len(text)] = text
        self.ints[base + 1] = len(text)
        self.ints[base] = 1  # last: a concurrent reader sees a whole slab or none
        self.ints[0] = max(self.ints[0], base // SLAB_CELLS)
        self._bases[name] = base
        return base

    def release(self, name: str) -> None:
        """Forget the slab called ``name`` and what was counted in it."""
        base = self._bases.pop(name, None)
        if base is not None:
            self.ints[base] = 0
            self._free.append(base)

    def names(self) -> list[str]:
        return list(self._bases)

    def close(self) -> None:
        for view in (self.ints, self.floats, self.bytes):
            view.release()
        self._map.close()
