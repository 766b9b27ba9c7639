"""Counts of times in buckets of one per cent: as many as you like in little memory, and they can be added up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Self

RESOLUTION = 1.01
_PER_E = 1 / math.log(RESOLUTION)
SMALLEST = 1e-6
"""Seconds; what is shorter counts as this."""


class Histogram:
    """``counts`` maps a bucket to how many times fell into it. The buckets need no bounds, so nothing is cut off."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        made = cls()
        for each in seconds:
            made.add(each)
        return made

    @classmethod
    def sum(cls, parts: Iterable[Histogram]) -> Self:
        made = cls()
        for part in parts:
            for bucket, count in part.counts.items():
                made.counts[bucket] = made.counts.get(bucket, 0) + count
        return made

    def add(self, seconds: float) -> None:
        bucket = int(math.log(seconds / SMALLEST) * _PER_E) if seconds > SMALLEST else 0
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def __len__(self) -> int:
        return sum(self.counts.values())

    def percentile(self, percent: float) -> float:
        """Seconds within which so many per cent fell, by nearest rank; up to one per cent too long. nan of nothing."""
        wanted, seen = math.ceil(len(self) * percent / 100), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return SMALLEST * RESOLUTION ** (bucket + 1)
        return math.nan

    @property
    def longest(self) -> float:
        return self.percentile(100)
