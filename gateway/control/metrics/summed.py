"""The maps of several workers as one: counts add up, and so do the gauges of those that serve.

It is made again for each scrape, in a map of this process alone. The integers of many slabs are added as one big
number: as none of their cells is negative, no sum reaches into the next cell, and 500 proxies take milliseconds.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from time import monotonic
from typing import Final

from gateway.control.metrics.blocks import Block, Part, Segment, together
from gateway.core.quota import KINDS
from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.observe.families import ENDPOINT, PROCESS, PROXY, UPSTREAM
from gateway.observe.sheet import EXEMPLAR_CELLS, OTHER, Histogram, Requests, Sheet, Values

_CELL: Final = 8
_GAP: Final = 32
"""So many cells between two that are added begin another number: it costs less than to add nothing."""
_FEW_PAIRS: Final = 8
"""Most proxies have fewer combinations of method and status."""
_WORST: Final = {0: 0, 2: 1, 1: 2}
"""The states of a breaker as `families.BREAKER_STATE` numbers them, by how much callers notice."""


class _Plan:
    """What happens to each cell of one kind of slab."""

    def __init__(self, sheet: Sheet, same: Iterable[int] = ()) -> None:
        """``same``: gauges that all processes have in common, as a rule."""
        kinds: dict[int, str] = {}
        for family in sheet.families:
            match family:
                case Values():
                    kind = "float" if family.floating else family.kind
                    kinds |= dict.fromkeys(range(family.at, family.at + len(family.labels)), kind)
                case Histogram():
                    kinds |= dict.fromkeys(range(family.at, family.sum_at), "counter")
                    kinds[family.sum_at] = "float"
                case Requests():
                    pass  # pairs of a key and a count, whose places differ
        kinds |= dict.fromkeys(same, "same")
        self.segments: list[Segment] = []
        run: dict[int, str] = {}
        for cell in sorted(kinds):
            if run and cell - max(run) > _GAP:
                self.segments.append(Segment(run))
                run = {}
            run[cell] = kinds[cell]
        self.segments.append(Segment(run))


def _reader(cells: Sequence[int], kind: str) -> Callable[[memoryview, int], tuple[float, ...]]:
    """Reads ``cells``, in order, from the beginning of a slab, and skips what lies between them."""
    steps = (after - before for before, after in pairwise([-1, *cells]))
    return struct.Struct("=" + "".join(f"{(step - 1) * _CELL}x{kind}" for step in steps)).unpack_from


_SAME: Final = sorted(
    (
        families.LIMIT,
        families.QUEUE_LIMIT,
        *range(families.ENDPOINTS, families.ENDPOINTS + len(families.ENDPOINT_STATES)),
        *range(families.RATE_KEYS, families.RATE_KEYS + len(KINDS)),
        families.ADAPTIVE_LIMIT,
        *range(families.MODE, families.MODE + len(families.PROTECTIONS)),
    )
)
"""Gauges that are the same in all workers, or nearly so: each has its own opinion of an endpoint."""
_SAME_OF: Final = _reader(_SAME, "q")
_LARGEST_OF_UPSTREAM: Final = (
    families.UPSTREAM_LIMIT,
    families.UPSTREAM_QUEUE_LIMIT,
    *range(families.UPSTREAM_ENDPOINTS, families.UPSTREAM_ENDPOINTS + len(families.ENDPOINT_STATES)),
)
_PROXY: Final = _Plan(PROXY, (*_SAME, families.BREAKER_STATE))
_PROCESS: Final = _Plan(PROCESS)
_ENDPOINT: Final = _Plan(ENDPOINT)
_UPSTREAM: Final = _Plan(UPSTREAM)
_PAIRS: Final = Segment(
    {families.REQUESTS.at + cell: "counter" if cell % 2 else "same" for cell in range(2 * _FEW_PAIRS + 1)}
)
"""The first pairs of a key and a count, and the key behind them."""
_EXEMPLARS: Final = [family for family in PROXY.families if isinstance(family, Histogram) and family.exemplars]


class Summed:
    """``maps``: those of the workers. `update` makes the sum in ``total``."""

    def __init__(self, maps: Sequence[CounterMap]) -> None:
        self._maps = maps
        self.total = self._sum = CounterMap()
        self._slabs: dict[Kind, tuple[object, list[Block]]] = {}
        """What `_blocks` found last, and of which maps."""

    def update(self, serving: Sequence[CounterMap], *, exemplars: bool = True) -> CounterMap:
        """The map of the only one that was ever used, or ``total``, added up again.

        ``serving``: the maps whose process serves; of the others only the counts are taken. ``exemplars``: whether
        those of ``total`` are brought up to date, too.
        """
        used = [each for each in self._maps if each.ints[0] or each in serving]
        if len(used) <= 1:
            return used[0] if used else self._maps[0]
        now = monotonic()
        for block in self._blocks(Kind.PROXY, used, serving):
            self._proxies(block, now)
            if exemplars:
                for index, base in enumerate(block.bases):
                    for family in _EXEMPLARS:
                        self._exemplars(family, base, block.parts(index))
        for block in self._blocks(Kind.UPSTREAM, used, serving):
            self._upstreams(block)
        for block in self._blocks(Kind.ENDPOINT, used, serving):
            self._endpoints(block)
        self._add(Block([0], [(each, [0], each in serving) for each in used]), _PROCESS)
        live = [each.ints[families.GENERATION] for each in serving or used]
        self._sum.ints[families.GENERATION] = max(live)
        return self._sum

    def _blocks(self, kind: Kind, used: Sequence[CounterMap], serving: Sequence[CounterMap]) -> list[Block]:
        """The slabs of all names that are shown."""
        names = [each.live(kind) for each in used]
        known = self._slabs.get(kind)
        of = [*used, None, *serving, None, *names]  # kept, so that no later list can take the place of one
        if known is not None and known[0] == of:
            return known[1]
        bases = {each: dict(live) for each, live in zip(used, names, strict=True)}
        shown = dict.fromkeys(name for each in (serving or used) for name in bases[each])
        for name in set(self._sum.names(kind)) - shown.keys():
            self._sum.release(name, kind)
        found = []
        for name in shown:
            base = self._sum.claim(name, kind)
            if base is not None:
                found.append(
                    (base, [(each, bases[each][name], each in serving) for each in used if name in bases[each]])
                )
        self._slabs[kind] = of, together(found)
        return self._slabs[kind][1]

    def _endpoints(self, block: Block) -> None:
        """Each worker has its own opinion of them: the worst is shown."""
        self._add(block, _ENDPOINT)
        ints, up, capacity = self._sum.ints, families.ENDPOINT_UP, families.ENDPOINT_CAPACITY
        for index, base in enumerate(block.bases):
            live = [(each.ints, at) for each, at, serves in block.parts(index) if serves]
            ints[base + up] = min([cells[at + up] for cells, at in live], default=0)
            ints[base + capacity] = max([cells[at + capacity] for cells, at in live], default=0)

    def _upstreams(self, block: Block) -> None:
        """The limits are those of all workers together. The breaker is shared: the worst state is shown, because a
        worker may not have seen the newest change yet.

        Each worker has its own opinion of the endpoints: of each state the largest count is shown.
        """
        self._add(block, _UPSTREAM)
        ints, state_of = self._sum.ints, families.UPSTREAM_BREAKER_STATE
        for index, base in enumerate(block.bases):
            live = [(each.ints, at) for each, at, serves in block.parts(index) if serves]
            for cell in _LARGEST_OF_UPSTREAM:
                ints[base + cell] = max([cells[at + cell] for cells, at in live], default=0)
            states = [cells[at + state_of] for cells, at in live]
            ints[base + state_of] = max(states, key=lambda state: _WORST.get(state, 0), default=0)

    def _proxies(self, block: Block, now: float) -> None:
        for index in self._add(block, _PROXY):
            live = [(each, at) for each, at, serves in block.parts(index) if serves]
            self._differing(block.bases[index], live)
        self._open_seconds(block, now)
        self._requests(block)

    def _open_seconds(self, block: Block, now: float) -> None:
        """For how long each breaker was open, as each worker saw it. All share it, so that the times do not add up."""
        columns: list[list[float]] = []
        for each, starts, serves in block.rows:
            floats = each.floats
            seconds = [floats[at + families.OPEN_SECONDS] for at in starts]
            opened = [floats[at + families.OPENED_AT] for at in starts] if serves else []
            if any(opened):
                seconds = [
                    counted + max(0.0, now - since) if since else counted
                    for counted, since in zip(seconds, opened, strict=True)
                ]
            columns.append(seconds)
        if any(map(any, columns)):
            for base, numbers in zip(block.bases, zip(*columns, strict=True), strict=True):
                self._sum.floats[base + families.OPEN_SECONDS] = max(numbers)

    def _differing(self, base: int, live: Sequence[tuple[CounterMap, int]]) -> None:
        """Gauges that should be the same and are not: the largest, and the worst state of the breaker."""
        ints = self._sum.ints
        rows = [_SAME_OF(each.bytes, at * _CELL) for each, at in live]
        for cell, number in zip(_SAME, map(max, zip(*rows, strict=True)), strict=True):
            ints[base + cell] = int(number)
        cell = families.BREAKER_STATE
        states = {each.ints[at + cell] for each, at in live}
        ints[base + cell] = max(states, key=lambda state: _WORST.get(state, 0))

    def _add(self, block: Block, plan: _Plan) -> set[int]:
        """Indices of slabs whose gauges should be the same and differ. They are then as the first process that serves
        has them.
        """
        return set().union(*[self._add_segment(block, segment) for segment in plan.segments])

    def _add_segment(self, block: Block, segment: Segment) -> set[int]:
        """As `_add`, for one segment."""
        first, end, slabs = segment.first, segment.end, len(block.bases)
        added, counts, common = segment.masks(slabs)
        total, differing, same = 0, 0, -1
        rows = [b"".join([each.ints[at + first : at + end] for at in starts]) for each, starts, _ in block.rows]
        for row, (_, _, serves) in zip(rows, block.rows, strict=True):
            number = int.from_bytes(row, "little")
            total += number & (added if serves else counts)
            if serves and common:
                if same < 0:
                    same = number & common
                    total += same
                else:
                    differing |= same ^ number & common
        self._scatter(block, segment, total, rows)
        if not differing:
            return set()
        size = segment.width * _CELL
        found = differing.to_bytes(size * slabs, "little")
        return {index for index in range(slabs) if any(found[index * size : (index + 1) * size])}

    def _scatter(self, block: Block, segment: Segment, total: int, rows: Sequence[bytes]) -> None:
        """Write the cells of all slabs: ``total``, and the sums of the floating numbers in ``rows``."""
        width = segment.width
        cells = memoryview(bytearray(total.to_bytes(width * _CELL * len(block.bases), "little")))
        floats, numbers = cells.cast("d"), [memoryview(row).cast("d") for row in rows]
        for cell in segment.floats:
            columns = [row[cell::width].tolist() for row in numbers]
            if any(map(any, columns)):
                floats[cell::width] = memoryview(array("d", map(sum, zip(*columns, strict=True))))
        ints, whole = self._sum.ints, cells.cast("q")
        for place, base in zip(range(0, len(whole), width), block.bases, strict=True):
            ints[base + segment.first : base + segment.end] = whole[place : place + width]

    def _requests(self, block: Block) -> None:
        """By method and status. Where the first pairs have the same keys in all maps, and no pair follows, they are
        added as they stand.
        """
        rows = [(each, starts, True) for each, starts, _ in block.rows]
        differing = self._add_segment(Block(block.bases, rows), _PAIRS)
        ints, behind = self._sum.ints, _PAIRS.end - 1
        for index, base in enumerate(block.bases):
            if index in differing or ints[base + behind]:
                self._pairs(base, block.parts(index))

    def _pairs(self, base: int, parts: Sequence[Part]) -> None:
        """By method and status; the last pair takes what finds no room, as in the map of a worker."""
        counts: dict[int, int] = {}
        first, room = families.REQUESTS.at, families.REQUESTS.room
        for each, at, _ in parts:
            cells = each.ints[at + first : at + first + 2 * _FEW_PAIRS].tolist()
            if cells[-2]:
                cells = each.ints[at + first : at + first + 2 * room].tolist()
            for index in range(0, len(cells), 2):
                key = cells[index]
                if not key:
                    break
                counts[key] = counts.get(key, 0) + cells[index + 1]
        if len(counts) >= room or OTHER + 1 in counts:
            counts = _in_room(counts, room)
        numbers = array("q", chain.from_iterable(counts.items()))
        if len(counts) < room:
            numbers.append(0)  # the end
        start = base + first
        self._sum.ints[start : start + len(numbers)] = memoryview(numbers)

    def _exemplars(self, family: Histogram, base: int, parts: Sequence[Part]) -> None:
        """Of each bucket the newest."""
        first, cells = family.exemplars, EXEMPLAR_CELLS * (len(family.bounds) + 1)
        times = [each.floats[at + first : at + first + cells : EXEMPLAR_CELLS].tolist() for each, at, _ in parts]
        size = EXEMPLAR_CELLS * _CELL
        latest = max(times, key=max)
        if len(times) == 1 or list(map(max, *times)) == latest:  # one worker has them all
            each, at, _ = parts[times.index(latest)]
            start, to = (at + first) * _CELL, (base + first) * _CELL
            self._sum.bytes[to : to + cells * _CELL] = each.bytes[start : start + cells * _CELL]
            return
        for bucket, of in enumerate(zip(*times, strict=True)):
            newest = max(of)
            if newest:
                each, at, _ = parts[of.index(newest)]
                start, to = (at + first) * _CELL + bucket * size, (base + first) * _CELL + bucket * size
                self._sum.bytes[to : to + size] = each.bytes[start : start + size]


def _in_room(counts: dict[int, int], room: int) -> dict[int, int]:
    """``counts`` in at most ``room`` pairs: what is too much is counted together, in the last one."""
    other = OTHER + 1
    pairs = [pair for pair in counts.items() if pair[0] != other]
    kept = dict(pairs[: room - 1])
    rest = counts.get(other, 0) + sum(count for _, count in pairs[room - 1 :])
    return kept | {other: rest} if rest else kept
