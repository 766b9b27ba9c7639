"""Maps as text: the Prometheus exposition format 0.0.4 and OpenMetrics 1.0.

This is an own renderer because of speed: prometheus_client takes 123 ms for 500 proxies, and blocks the loop for all
callers meanwhile. It fills one template for each family, which is made when a series is first seen. The numbers of a
family are read by columns, a cell of all slabs at a time, because that and all that follows then happens in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, compress, repeat
from operator import add, is_not, itemgetter
from time import monotonic
from typing import Final, TypeAlias

from gateway.observe import families
from gateway.observe.counters import SLAB_CELLS, CounterMap, Kind
from gateway.observe.families import ENDPOINT, PROCESS, PROXY, UPSTREAM
from gateway.observe.sheet import EXEMPLAR_CELLS, METHODS, Family, Histogram, Requests, Values

_KINDS: Final = Kind.PROXY, Kind.UPSTREAM, Kind.ENDPOINT
_OPEN_SECONDS: Final = "gateway_circuit_breaker_open_seconds_total"
_CELL: Final = 8
_LENGTH: Final = 2
"""Index of the exemplar's cell that holds the length of its id."""
Cells: TypeAlias = "memoryview[int] | memoryview[float]"
Number = int | float
Series = tuple[Sequence[str], Sequence[int]]
"""Labels, and indices."""
NOT_IN_LABELS: Final = str.maketrans({'"': "", "\\": "", "\n": ""})


def comment(name: str, kind: str, help_: str, *, open_metrics: bool) -> str:
    """The lines above a family; OpenMetrics names a counter without its ``_total``."""
    shown = name.removesuffix("_total") if open_metrics and kind == "counter" else name
    return f"# HELP {shown} {help_}\n# TYPE {shown} {kind}\n"


class _Slabs:
    """Those of one kind."""

    def __init__(self, named: Sequence[tuple[str, int]]) -> None:
        """``named``: the labels that say whose a slab is, and its first cell, in the order in which they are shown."""
        self.owners = [owner for owner, _ in named]
        self.bases = [base for _, base in named]
        self.all = range(len(named))
        self._first, self._end = min(self.bases, default=0), max(self.bases, default=0) + SLAB_CELLS
        order = [(base - self._first) // SLAB_CELLS for base in self.bases]
        self._in_order: Callable[[Sequence[Number]], tuple[Number, ...]] = tuple
        if len(order) > 1:  # one index alone would give no tuple
            self._in_order = itemgetter(*order)

    def column(self, cells: Cells, at: int) -> tuple[Number, ...]:
        """The number in the same cell of each slab: all are read in one operation."""
        return self._in_order(cells[self._first + at : self._end : SLAB_CELLS].tolist())


class Exposition:
    """Renders one map. Text that is the same in each scrape is cached while the same series are shown."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters
        self._live: tuple[object, ...] = ()
        self._process = _Slabs([("", 0)])
        self._proxies = self._upstreams = self._endpoints = _Slabs(())
        self._templates: dict[str, tuple[Series, str]] = {}
        """By family and format: which series are shown, and the template of their lines."""
        self._texts: dict[str, tuple[list[tuple[Number, ...]], str]] = {}
        """By family: what its numbers were, and their text. Most gauges stay as they are from scrape to scrape."""
        self._series: dict[tuple[int, int], str] = {}
        """Name and labels of a known series, by its cell and the cell's value."""

    def render(self, *, open_metrics: bool) -> Iterator[str]:
        """The text of all families, in pieces; without the ``# EOF`` of OpenMetrics."""
        live = proxies, upstreams, endpoints = tuple([self._counters.live(kind) for kind in _KINDS])
        if not self._live or any(map(is_not, self._live, live)):
            self._live = live
            self._proxies = _Slabs([(f'proxy="{name}"', base) for name, base in proxies])
            self._upstreams = _Slabs([(_upstream(name), base) for name, base in upstreams])
            self._endpoints = _Slabs([(_endpoint(name), base) for name, base in endpoints])
            self._templates.clear()
            self._texts.clear()
            self._series.clear()
        for sheet, slabs in (
            (PROCESS, self._process),
            (PROXY, self._proxies),
            (UPSTREAM, self._upstreams),
            (ENDPOINT, self._endpoints),
        ):
            if slabs.bases:
                for family in sheet.families:
                    yield from self._family(family, slabs, open_metrics=open_metrics)

    def _family(self, family: Family, slabs: _Slabs, *, open_metrics: bool) -> Iterator[str]:
        kind = "counter"
        match family:
            case Values():
                kind = family.kind
                text = self._values(family, slabs)
            case Histogram():
                kind = "histogram"
                text = self._histogram(family, slabs, with_ids=open_metrics and family.exemplars > 0)
            case Requests():
                text = "".join(map(self._requests, repeat(family), slabs.owners, slabs.bases))
        if text:
            yield comment(family.name, kind, family.help, open_metrics=open_metrics)
            yield text

    def _values(self, family: Values, slabs: _Slabs) -> str:
        cells: Cells = self._counters.floats if family.floating else self._counters.ints
        columns = [slabs.column(cells, family.at + index) for index in range(len(family.labels))]
        if family.name == _OPEN_SECONDS:
            columns = [self._open_seconds(columns[0], slabs)]
        known = self._texts.get(family.name)
        if known is None or known[0] != columns:
            known = self._texts[family.name] = columns, self._text_of(family, slabs, columns)
        return known[1]

    def _text_of(self, family: Values, slabs: _Slabs, columns: list[tuple[Number, ...]]) -> str:
        labels: Sequence[str] = family.labels
        if family.sparse:
            seen = list(map(any, columns))
            labels, columns = list(compress(labels, seen)), list(compress(columns, seen))
            if not columns:
                return ""  # as of most families
        numbers = columns[0] if len(columns) == 1 else tuple(chain.from_iterable(zip(*columns, strict=True)))
        shown: Sequence[int] = range(len(numbers))
        if family.sparse:
            shown, numbers = list(compress(shown, numbers)), tuple(compress(numbers, numbers))

        number = "%r" if family.floating else "%d"  # an integer is written without a text of its own

        def line(index: int) -> str:
            owner, label = divmod(index, len(labels))
            return f"{family.name}{_in_template(_labels(slabs.owners[owner], labels[label]))} {number}\n"

        return self._template(family.name, (labels, shown), line) % numbers

    def _template(self, key: str, series: Series, lines: Callable[[int], str]) -> str:
        """One template for all ``series`` of a family: a scrape formats each family in one operation."""
        known = self._templates.get(key)
        if known is None or known[0] != series:
            known = self._templates[key] = series, "".join(map(lines, series[1]))
        return known[1]

    def _open_seconds(self, counted: Sequence[Number], slabs: _Slabs) -> tuple[Number, ...]:
        """With the time since breakers that are open have opened."""
        now, since = monotonic(), slabs.column(self._counters.floats, families.OPENED_AT)
        return tuple(
            [seconds + max(0.0, now - at) if at else seconds for seconds, at in zip(counted, since, strict=True)]
        )

    def _histogram(self, family: Histogram, slabs: _Slabs, *, with_ids: bool) -> str:
        columns = [slabs.column(self._counters.ints, at) for at in range(family.at, family.sum_at)]
        if slabs is not self._process and not any(map(any, columns)):
            return ""  # as of most families
        columns = list(accumulate(columns, lambda below, column: tuple(map(add, below, column))))
        totals = columns[-1]
        shown: Sequence[int] = slabs.all
        rows: Iterable[tuple[object, ...]] = zip(*columns, strict=True)
        sums = slabs.column(self._counters.floats, family.sum_at)
        if slabs is not self._process and not all(totals):
            # What was never observed has no series yet.
            shown, rows, sums = list(compress(shown, totals)), compress(rows, totals), tuple(compress(sums, totals))
            totals = tuple(compress(totals, totals))
        if with_ids:
            rows = [self._with_ids(family, slabs.bases[each], row) for each, row in zip(shown, rows, strict=True)]
        count = "%d%s" if with_ids else "%d"
        bounds = [f'le="{bound}"' for bound in (*map(repr, family.bounds), "+Inf")]

        def lines(index: int) -> str:
            owner = _in_template(slabs.owners[index])
            buckets = "".join([f"{family.name}_bucket{_labels(owner, each)} {count}\n" for each in bounds])
            return f"{buckets}{family.name}_sum{_labels(owner, '')} %r\n{family.name}_count{_labels(owner, '')} %d\n"

        ends = zip(sums, totals, strict=True)
        numbers = chain.from_iterable(chain.from_iterable(zip(rows, ends, strict=True)))
        return self._template(f"{family.name} {with_ids}", ((), shown), lines) % tuple(numbers)

    def _with_ids(self, family: Histogram, base: int, counts: Sequence[object]) -> tuple[object, ...]:
        """Each count, and the exemplar of its bucket."""
        first = base + family.exemplars
        lengths = self._counters.ints[first + _LENGTH : first + len(counts) * EXEMPLAR_CELLS : EXEMPLAR_CELLS].tolist()
        found = [
            self._exemplar(first + bucket * EXEMPLAR_CELLS, length) if length else ""
            for bucket, length in enumerate(lengths)
        ]
        return tuple(chain.from_iterable(zip(counts, found, strict=True)))

    def _exemplar(self, at: int, length: int) -> str:
        start = (at + 3) * _CELL
        text = bytes(self._counters.bytes[start : start + abs(length)]).decode("ascii", "replace")
        label = "trace_id" if length < 0 else "request_id"
        value, seconds = self._counters.floats[at + 1], self._counters.floats[at]
        return f' # {{{label}="{text.translate(NOT_IN_LABELS)}"}} {value!r} {seconds:.3f}'

    def _requests(self, family: Requests, name: str, base: int) -> str:
        ints, first = self._counters.ints, base + family.at
        lines = []
        for at in range(first, first + 2 * family.room, 2):
            key = ints[at]
            if not key:
                break
            series = self._series.get((at, key))
            if series is None:
                label = f'method="{METHODS[key % 16 - 1]}",status="{key // 16 or "other"}"'
                series = self._series[at, key] = f"{family.name}{_labels(name, label)}"
            lines.append(f"{series} {ints[at + 1]}\n")
        return "".join(lines)


def _in_template(text: str) -> str:
    """``text`` as it stands in a template: a URL may have a percent sign."""
    return text.replace("%", "%%")


def _endpoint(name: str) -> str:
    """The labels of an endpoint, by the name of its slab: that of its upstream, which may have spaces, and its URL."""
    before, colon, rest = name.translate(NOT_IN_LABELS).rpartition("://")
    upstream, _, scheme = before.rpartition(" ")
    return f'upstream="{upstream}",endpoint="{scheme}{colon}{rest}"'


def _upstream(name: str) -> str:
    """The labels of an upstream, by the name of its slab."""
    return f'upstream="{name.translate(NOT_IN_LABELS)}"'


def _labels(owner: str, label: str) -> str:
    """``owner``: the labels that say whose series it is, as text; empty: the process's."""
    parts = [part for part in (owner, label) if part]
    return f"{{{','.join(parts)}}}" if parts else ""
