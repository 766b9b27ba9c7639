"""What the runs of a scenario gave, and the questions that criteria and charts ask of it.

Judged are the seconds between the warm-up, in which users start and connections open, and the last one, which is never
whole.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from load.exposition import Buckets, Scrape, between, highest
from load.histogram import Histogram
from load.record import Record, Second
from load.variant import Variant
from load.watch import Sample

Points = list[tuple[float, float]]
WARM = 5.0
WARM_SHARE = 0.1
"""Seconds of warm-up: `WARM`, or in short runs this share."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something happened to the run. ``at`` is by the monotonic clock; ``took`` in seconds, when it was measured;
    ``count``: how many it concerned, when they were counted."""

    at: float
    what: str
    took: float | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One variant's. Times in the answers below are seconds since the first request."""

    variant: Variant
    record: Record
    samples: list[Sample]
    marks: list[Mark]

    @property
    def began(self) -> int:
        """By the monotonic clock."""
        return min(map(min, self.record.kinds.values()), default=0)

    @property
    def warm(self) -> int:
        return math.ceil(min(WARM, self.variant.seconds * WARM_SHARE))

    @property
    def span(self) -> int:
        """How many seconds are judged; less than planned when locust was late."""
        last = max(map(max, self.record.kinds.values()), default=0) - self.began
        return max(1, min(int(self.variant.seconds) - 1, last) - self.warm)

    def seconds(self, kind: str = "answer") -> Iterator[tuple[int, Second]]:
        """The judged ones, in order; one in which nobody meant to ask is not among them."""
        for number, second in sorted(self.record.kinds.get(kind, {}).items()):
            if self.warm <= number - self.began < self.warm + self.span:
                yield number - self.began, second

    def latency(self, kind: str = "answer") -> Histogram:
        return Histogram.sum(second.latency for _, second in self.seconds(kind))

    def service(self, kind: str = "answer") -> Histogram:
        return Histogram.sum(second.service for _, second in self.seconds(kind))

    def late(self) -> Histogram:
        return Histogram.sum(second.late for kind in self.record.kinds for _, second in self.seconds(kind))

    def outcomes(self, kind: str = "answer") -> Counter[str]:
        return sum((second.outcomes for _, second in self.seconds(kind)), Counter[str]())

    def good(self, kind: str = "answer") -> float:
        """Good answers a second, all of them within the clients' patience."""
        return sum(second.good for _, second in self.seconds(kind)) / self.span

    def rate(self, kind: str = "answer") -> float:
        """Requests a second, whatever became of them."""
        return sum(second.total for _, second in self.seconds(kind)) / self.span

    def share(self, outcome: str, kind: str = "answer") -> float:
        """Of all requests of a kind; nan of none."""
        outcomes = self.outcomes(kind)
        return outcomes[outcome] / outcomes.total() if outcomes else math.nan

    def bad(self, kind: str = "answer") -> int:
        """Requests without a good answer."""
        outcomes = self.outcomes(kind)
        return outcomes.total() - outcomes["200"] if outcomes else -1

    def windows(self, percent: float, width: int = 10, kind: str = "answer") -> Points:
        """A percentile of the latency, in milliseconds, of each whole window of ``width`` seconds."""
        groups: dict[int, list[Histogram]] = {}
        for number, second in self.seconds(kind):
            groups.setdefault((number - self.warm) // width, []).append(second.latency)
        return [
            (self.warm + (group + 1.0) * width, Histogram.sum(parts).percentile(percent) * 1e3)
            for group, parts in groups.items()
            if len(parts) == width
        ]

    def jitter(self, percent: float = 99.0, width: int = 10) -> float:
        """Coefficient of variation of the windows' percentile, in per cent; nan of fewer than two windows."""
        values = [value for _, value in self.windows(percent, width)]
        return statistics.pstdev(values) / statistics.fmean(values) * 100 if len(values) > 1 else math.nan

    def line(self, percent: float, kind: str = "answer") -> Points:
        """A percentile of the latency of each second, in milliseconds."""
        return [(n, s.latency.percentile(percent) * 1e3) for n, s in self.whole(kind) if len(s.latency)]

    def per_second(self, outcome: str, kind: str = "answer") -> Points:
        return [(n, float(s.outcomes[outcome])) for n, s in self.whole(kind)]

    def bad_per_second(self, kind: str = "answer") -> Points:
        return [(n, float(s.total - s.good)) for n, s in self.whole(kind)]

    def whole(self, kind: str = "answer") -> Iterator[tuple[int, Second]]:
        """All seconds, judged or not, in order."""
        for number, second in sorted(self.record.kinds.get(kind, {}).items()):
            yield number - self.began, second

    def figure(self, name: str) -> Points:
        """A column of the watch over the whole run."""
        return [(s.at - self.began, s.figures[name]) for s in self.samples if name in s.figures and s.at >= self.began]

    def steady(self, name: str) -> list[float]:
        """The same, in the judged seconds alone."""
        return [value for at, value in self.figure(name) if self.warm <= at < self.warm + self.span]

    def most(self, name: str) -> float:
        return max((value for _, value in self.figure(name)), default=math.nan)

    def growth(self, name: str) -> float:
        """From the mean of the first tenth of the judged seconds to that of the last."""
        values = self.steady(name)
        part = max(1, len(values) // 10)
        return statistics.fmean(values[-part:]) - statistics.fmean(values[:part]) if values else math.nan

    def gain(self, name: str) -> float:
        """How much a counter grew in the judged seconds."""
        values = self.steady(name)
        return values[-1] - values[0] if values else math.nan

    def buckets(self, name: str) -> Buckets:
        """What a histogram of the gateway counted in the judged seconds."""
        scrapes = [s.scrape for s in self.samples if s.scrape.values and self._judged(s)]
        return between(scrapes[0], scrapes[-1], name) if scrapes else {}

    def worst(self, name: str) -> Points:
        """Of each look, the upper bound in milliseconds of the highest bucket that counted something new; 0: none did.

        The highest bucket of all has no bound, and shows as ten times the one below it.
        """
        scraped = [sample for sample in self.samples if sample.scrape.buckets]
        return [
            (after.at - self.began, highest(between(before.scrape, after.scrape, name)) * 1e3)
            for before, after in pairwise(scraped)
            if after.at >= self.began
        ]

    def last(self) -> Scrape:
        """The newest scrape. IndexError when there was none."""
        return [sample.scrape for sample in self.samples if sample.scrape.values][-1]

    def _judged(self, sample: Sample) -> bool:
        return self.warm <= sample.at - self.began < self.warm + self.span

    def marked(self, what: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.what == what]


class Findings(dict[str, Run]):
    """The runs of a scenario, by their variants' names."""
