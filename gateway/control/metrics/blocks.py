"""Slabs of several maps in blocks, whose cells are added as one number: what is the same for each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.observe.counters import CounterMap

TOGETHER: Final = 64
"""Slabs in a block: of more, the numbers no longer fit into the caches of the processor."""
_CELL: Final = 8
_KEPT: Final = 4
"""Sizes of blocks whose masks are kept: a kind of slab has full blocks, and others where names come and go."""

Part = tuple[CounterMap, int, bool]
"""A map, the first cell of a slab there, and whether its process serves."""


class Block(NamedTuple):
    """Slabs of one kind that the same maps have."""

    bases: list[int]
    """The first cells of the sums."""
    rows: list[tuple[CounterMap, list[int], bool]]
    """Of each map: the first cells of the slabs there, in the same order, and whether its process serves."""

    def parts(self, index: int) -> list[Part]:
        """Those of one slab."""
        return [(each, starts[index], serves) for each, starts, serves in self.rows]


class Segment:
    """Cells from ``first`` to ``end`` that are added as one number, those of many slabs at once."""

    def __init__(self, cells: Mapping[int, str]) -> None:
        """``cells``: the kind of each cell, in order; all others become 0."""
        self.first, self.end = min(cells), max(cells) + 1
        self.width = self.end - self.first
        self.floats = [cell - self.first for cell, kind in cells.items() if kind == "float"]
        kinds = ("counter", "gauge"), ("counter",), ("same",)
        self._one = [self._mask([cell for cell, kind in cells.items() if kind in wanted]) for wanted in kinds]
        self._masks: dict[int, tuple[int, int, int]] = {}

    def _mask(self, cells: Iterable[int]) -> bytes:
        bits = sum(((1 << 64) - 1) << 64 * (cell - self.first) for cell in cells)
        return bits.to_bytes(self.width * _CELL, "little")

    def masks(self, slabs: int) -> tuple[int, int, int]:
        """All bits of the cells, in so many slabs, that are added up, that only count, and that are the same."""
        if slabs not in self._masks:
            if len(self._masks) >= _KEPT:
                self._masks.clear()
            added, counts, same = [int.from_bytes(mask * slabs, "little") for mask in self._one]
            self._masks[slabs] = added, counts, same
        return self._masks[slabs]


def together(found: Sequence[tuple[int, list[Part]]]) -> list[Block]:
    """``found``: where the sum of each slab goes, and what is added up."""
    alike: dict[tuple[object, ...], list[tuple[int, list[Part]]]] = {}
    for base, parts in found:
        alike.setdefault(tuple([each for each, _, _ in parts]), []).append((base, parts))
    blocks = []
    for slabs in alike.values():
        for start in range(0, len(slabs), TOGETHER):
            bases, all_parts = zip(*slabs[start : start + TOGETHER], strict=True)
            columns = zip(*all_parts, strict=True)
            rows = [(column[0][0], [at for _, at, _ in column], column[0][2]) for column in columns]
            blocks.append(Block(list(bases), rows))
    return blocks
