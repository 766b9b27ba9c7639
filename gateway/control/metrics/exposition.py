"""Maps as text: the Prometheus exposition format 0.0.4 and OpenMetrics 1.0.

This is an own renderer because of speed: prometheus_client takes 123 ms for 500 proxies, and blocks the loop for all
callers meanwhile. It fills one template for each proxy and family, which is made when the proxy is first seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from time import monotonic
from typing import Final

from gateway.observe import families
from gateway.observe.counters import SLAB_CELLS, CounterMap, Kind
from gateway.observe.families import (
    ENDPOINT,
    EXEMPLAR_CELLS,
    METHODS,
    PROCESS,
    PROXY,
    Family,
    Histogram,
    Requests,
    Values,
)

_OPEN_SECONDS: Final = "gateway_circuit_breaker_open_seconds_total"
_CELL: Final = 8
_ZEROS: Final = memoryview(bytes(SLAB_CELLS * _CELL))
_LENGTH: Final = 2
"""Index of the exemplar's cell that holds the length of its id."""
NOT_IN_LABELS: Final = str.maketrans({'"': "", "\\": "", "\n": ""})


def comment(name: str, kind: str, help_: str, *, open_metrics: bool) -> str:
    """The lines above a family; OpenMetrics names a counter without its ``_total``."""
    shown = name.removesuffix("_total") if open_metrics and kind == "counter" else name
    return f"# HELP {shown} {help_}\n# TYPE {shown} {kind}\n"


class Exposition:
    """Renders one map. Text that is the same in each scrape is cached while the set of proxies is unchanged."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters
        self._live: list[list[tuple[str, int]]] = []
        self._templates: dict[str, tuple[list[tuple[str, int]], str]] = {}
        """By family and format: the slabs, and the template of their lines."""
        self._series: dict[tuple[int, int], str] = {}
        """Name and labels of a known series, by its cell and the cell's value."""

    def render(self, *, open_metrics: bool) -> Iterator[str]:
        """The text of all families, in pieces; without the ``# EOF`` of OpenMetrics."""
        # Of each slab the labels that its owner has, and where it begins.
        proxies = [(f'proxy="{name}"', base) for name, base in self._counters.live()]
        endpoints = [(_endpoint(name), base) for name, base in self._counters.live(Kind.ENDPOINT)]
        live = [proxies, endpoints]
        if live != self._live:
            self._live = live
            self._templates.clear()
            self._series.clear()
        for sheet, slabs in ((PROCESS, [("", 0)]), (PROXY, proxies), (ENDPOINT, endpoints)):
            for family in sheet.families:
                yield from self._family(family, slabs, open_metrics=open_metrics)

    def _family(self, family: Family, live: list[tuple[str, int]], *, open_metrics: bool) -> Iterator[str]:
        kind = "counter"
        match family:
            case Values():
                kind = family.kind
                text = self._values(family, live)
            case Histogram():
                kind = "histogram"
                text = self._histogram(family, live, with_ids=open_metrics and family.exemplars > 0)
            case Requests():
                text = "".join([self._requests(family, name, base) for name, base in live])
        if text:
            yield comment(family.name, kind, family.help, open_metrics=open_metrics)
            yield text

    def _values(self, family: Values, live: list[tuple[str, int]]) -> str:
        if family.name == _OPEN_SECONDS:
            return "".join([self._open_seconds(family, name, base) for name, base in live])
        if family.sparse:
            return "".join([self._sparse(family, name, base) for name, base in live])
        cells, at, count = self._cells(family), family.at, len(family.labels)

        def lines(name: str) -> str:
            return "".join(f"{family.name}{_labels(name, label)} %r\n" for label in family.labels)

        template = self._template(family.name, live, lines)
        return template % tuple([cells[base + cell] for _, base in live for cell in range(at, at + count)])

    def _template(self, key: str, live: list[tuple[str, int]], lines: Callable[[str], str]) -> str:
        """One template for all slabs of a family: a scrape formats each family in one operation."""
        known = self._templates.get(key)
        if known is None or known[0] != live:
            known = self._templates[key] = live, "".join(lines(name) for name, _ in live)
        return known[1]

    def _cells(self, family: Values) -> memoryview[int] | memoryview[float]:
        return self._counters.floats if family.floating else self._counters.ints

    def _sparse(self, family: Values, name: str, base: int) -> str:
        at, count = base + family.at, len(family.labels)
        if self._counters.bytes[at * _CELL : (at + count) * _CELL] == _ZEROS[: count * _CELL]:
            return ""  # as most are: the bytes are compared in one operation
        numbers = self._cells(family)[at : at + count].tolist()
        found = []
        for index, number in enumerate(numbers):
            if number:
                series = self._series.get((at + index, 0))
                if series is None:
                    series = self._series[at + index, 0] = f"{family.name}{_labels(name, family.labels[index])}"
                found.append(f"{series} {number!r}\n")
        return "".join(found)

    def _open_seconds(self, family: Values, name: str, base: int) -> str:
        seconds = self._counters.floats[base + family.at]
        since = self._counters.floats[base + families.OPENED_AT]
        if since:
            seconds += max(0.0, monotonic() - since)
        return f"{family.name}{_labels(name, '')} {seconds!r}\n"

    def _histogram(self, family: Histogram, live: list[tuple[str, int]], *, with_ids: bool) -> str:
        ints, floats, at, sum_at = self._counters.ints, self._counters.floats, family.at, family.sum_at
        shown: list[tuple[str, int]] = []
        numbers: list[object] = []
        for name, base in live:
            counts = list(accumulate(ints[base + at : base + sum_at].tolist()))
            total = counts[-1]
            if not total and name:
                continue
            shown.append((name, base))
            if with_ids:
                for bucket, count in enumerate(counts):
                    numbers += (count, self._exemplar(family, base, bucket))
            else:
                numbers += counts
            numbers += (floats[base + sum_at], total)

        def lines(name: str) -> str:
            bounds = [*map(repr, family.bounds), "+Inf"]
            count = "%d%s" if with_ids else "%d"
            labels = [_labels(name, f'le="{bound}"') for bound in bounds]
            buckets = "".join(f"{family.name}_bucket{each} {count}\n" for each in labels)
            return f"{buckets}{family.name}_sum{_labels(name, '')} %r\n{family.name}_count{_labels(name, '')} %d\n"

        return self._template(f"{family.name} {with_ids}", shown, lines) % tuple(numbers)

    def _exemplar(self, family: Histogram, base: int, bucket: int) -> str:
        at = base + family.exemplars + bucket * EXEMPLAR_CELLS
        length = self._counters.ints[at + _LENGTH]
        if not length:
            return ""
        start = (at + 3) * 8
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


def _endpoint(name: str) -> str:
    """The labels of an endpoint, by the name of its slab."""
    upstream, _, url = name.translate(NOT_IN_LABELS).partition(" ")
    return f'upstream="{upstream}",endpoint="{url}"'


def _labels(owner: str, label: str) -> str:
    """``owner``: the labels that say whose series it is, as text; empty: the process's."""
    parts = [part for part in (owner, label) if part]
    return f"{{{','.join(parts)}}}" if parts else ""
