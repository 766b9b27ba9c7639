"""Memory in which one process counts and others read: numbers of 8 bytes, a slab for each proxy, upstream or endpoint.

A worker is the only writer of its map; the descriptor belongs to the process that started it, so that a worker that
died leaves its counts to the next one, and a scrape needs no help of the worker. An aligned number of 8 bytes is
written and read whole; between two numbers nothing is promised.

    slab 0          the process itself; its first cell says how many slabs were ever used, and its second one how often
                    one was taken or given back
    slab 1, 2, ...  cell 0: its `Kind`, 0 free; cell 1: length of the name; cells 2 to 9: the name; then the numbers

The names of an endpoint (its upstream and its URL) and of an upstream may be longer, so their slabs have them behind
the numbers, from `LAST` on.
"""

from __future__ import annotations

import enum
import mmap
import os
from collections.abc import Sequence
from typing import Final

SLAB_CELLS: Final = 640
MAX_SLABS: Final = 1 << 14
FIRST: Final = 10
"""The first cell of a slab that is free for numbers."""
LAST: Final = 384
"""Cells of the slab of an endpoint or an upstream from here on are its name."""
_CELL: Final = 8
_CHANGES: Final = 1
"""The cell of slab 0 that changes with the names of the other slabs."""
_SIZE: Final = SLAB_CELLS * MAX_SLABS * _CELL


class Kind(enum.IntEnum):
    """What a slab counts for, as its first cell says."""

    PROXY = 1
    ENDPOINT = 2
    UPSTREAM = 3


_BEHIND: Final = LAST * _CELL, SLAB_CELLS * _CELL
_NAMES: Final = {Kind.PROXY: (2 * _CELL, FIRST * _CELL), Kind.ENDPOINT: _BEHIND, Kind.UPSTREAM: _BEHIND}
"""The first byte of the name in a slab, and the end of its room."""


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
        self._live: dict[Kind, list[tuple[str, int]]] = {}
        """As `live`, when ``_CHANGES`` was ``_changes``."""
        self._changes = -1
        self._bases = {kind: dict(self.live(kind)) for kind in Kind}
        self._free = [base for base in range(SLAB_CELLS, self._end, SLAB_CELLS) if not self.ints[base]]

    @property
    def _end(self) -> int:
        return (self.ints[0] + 1) * SLAB_CELLS

    def live(self, kind: Kind = Kind.PROXY) -> Sequence[tuple[str, int]]:
        """(name, first cell) of every slab of that kind, by name. The same object as long as there is no other slab."""
        changes = self.ints[_CHANGES]
        if changes != self._changes:
            self._live.clear()
            self._changes = changes
        known = self._live.get(kind)
        if known is None:
            self._live[kind] = known = self._scan(kind)
        return known

    def _scan(self, kind: Kind) -> list[tuple[str, int]]:
        found = []
        for base in range(SLAB_CELLS, self._end, SLAB_CELLS):
            if self.ints[base] == kind:
                start = base * _CELL + _NAMES[kind][0]
                found.append((bytes(self.bytes[start : start + self.ints[base + 1]]).decode(), base))
        return sorted(found)

    def claim(self, name: str, kind: Kind = Kind.PROXY) -> int | None:
        """The slab called ``name``, all zero when it is new; None when all are taken, or the name is too long for one.

        A proxy's name has 64 bytes at most, that of an endpoint or an upstream 2048.
        """
        known = self.known(name, kind)
        if known is not None:
            return known
        text, (at, end) = name.encode(), _NAMES[kind]
        if len(text) > end - at:
            return None
        if not self._free and self.ints[0] + 1 >= MAX_SLABS:
            return None
        base = self._free.pop() if self._free else self._end
        start = base * _CELL
        self.bytes[start : start + SLAB_CELLS * _CELL] = bytes(SLAB_CELLS * _CELL)
        self.bytes[start + at : start + at + len(text)] = text
        self.ints[base + 1] = len(text)
        self.ints[base] = kind  # last: a concurrent reader sees a whole slab or none
        self.ints[0] = max(self.ints[0], base // SLAB_CELLS)
        self.ints[_CHANGES] += 1  # behind all else: who reads in between reads again
        self._bases[kind][name] = base
        return base

    def known(self, name: str, kind: Kind = Kind.PROXY) -> int | None:
        """The slab called ``name``; None: there is none."""
        return self._bases[kind].get(name)

    def release(self, name: str, kind: Kind = Kind.PROXY) -> None:
        """Forget the slab called ``name`` and what was counted in it."""
        base = self._bases[kind].pop(name, None)
        if base is not None:
            self.ints[base] = 0
            self.ints[_CHANGES] += 1
            self._free.append(base)

    def names(self, kind: Kind = Kind.PROXY) -> list[str]:
        return list(self._bases[kind])

    def close(self) -> None:
        for view in (self.ints, self.floats, self.bytes):
            view.release()
        self._map.close()
