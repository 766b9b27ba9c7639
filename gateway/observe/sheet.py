"""How metric families are laid out in a slab: what a family is, and the sheet that gives each its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.observe.counters import FIRST, SLAB_CELLS

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Values:
    """A counter or a gauge: one cell for each text in ``labels`` (as in ``reason="x"``; "" for none), from ``at``.

    ``sparse``: a series appears with its first observation.
    """

    name: str
    kind: Kind
    help: str
    at: int
    labels: tuple[str, ...]
    floating: bool
    sparse: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """A count for each bucket (not cumulative), one for what is above them all, and the sum of all observations."""

    name: str
    help: str
    at: int
    bounds: tuple[float, ...]
    exemplars: int = 0
    """Cell from which on each bucket has room for an exemplar (`EXEMPLAR_CELLS`); 0: none are kept."""

    @property
    def sum_at(self) -> int:
        return self.at + len(self.bounds) + 1


@dataclass(frozen=True, slots=True)
class Requests:
    """Counts by method and status: pairs of a key and a count, taken in the order of their first use.

    A key is ``status * 16 + index in METHODS + 1``; 0 is free. Who finds no room is counted under `OTHER`.
    """

    name: str
    help: str
    at: int
    room: int


Family = Values | Histogram | Requests

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
OTHER: Final = len(METHODS) - 1
EXEMPLAR_CELLS: Final = 11
"""Seconds of the epoch, value, length of the id, and up to 64 bytes of it."""


class Sheet:
    """The families of one kind of slab, in the order in which they are shown."""

    def __init__(self, end: int = SLAB_CELLS) -> None:
        """``end``: the first cell that has no room for numbers."""
        self.families: list[Family] = []
        self._next = FIRST
        self._end = end

    def values(
        self,
        name: str,
        kind: Kind,
        help_: str,
        labels: Sequence[str] = ("",),
        *,
        floating: bool = False,
        sparse: bool = False,
    ) -> int:
        """Add a family; the first of its cells."""
        at = self._take(len(labels))
        self.families.append(Values(name, kind, help_, at, tuple(labels), floating, sparse))
        return at

    def histogram(self, name: str, help_: str, bounds: tuple[float, ...], *, exemplars: bool = False) -> Histogram:
        at = self._take(len(bounds) + 2)
        ids = self._take((len(bounds) + 1) * EXEMPLAR_CELLS) if exemplars else 0
        made = Histogram(name, help_, at, bounds, ids)
        self.families.append(made)
        return made

    def requests(self, name: str, help_: str, room: int) -> Requests:
        made = Requests(name, help_, self._take(2 * room), room)
        self.families.append(made)
        return made

    def hidden(self, cells: int) -> int:
        """Cells that no family shows."""
        return self._take(cells)

    def _take(self, cells: int) -> int:
        at, self._next = self._next, self._next + cells
        assert self._next <= self._end, "the slab is full"
        return at
