"""One scrape of the gateway's metrics as numbers, and what a histogram of it tells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Buckets = dict[float, float]
"""Upper bound in seconds -> observations up to it, in all."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """``values`` sums a sample's series over all labels; ``buckets`` likewise, by the name of the histogram."""

    values: dict[str, float]
    buckets: dict[str, Buckets]

    @classmethod
    def of(cls, text: str) -> Scrape:
        made = cls({}, {})
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    buckets = made.buckets.setdefault(family.name, {})
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
                else:
                    made.values[sample.name] = made.values.get(sample.name, 0.0) + sample.value
        return made

    def value(self, name: str) -> float:
        return self.values.get(name, 0.0)


def between(first: Scrape, last: Scrape, name: str) -> Buckets:
    """What a histogram counted from one scrape to the other."""
    before = first.buckets.get(name, {})
    return {bound: count - before.get(bound, 0.0) for bound, count in last.buckets.get(name, {}).items()}


def percentile(buckets: Buckets, percent: float) -> float:
    """The upper bound, in seconds, of the bucket in which so many per cent are reached; nan of nothing."""
    total = buckets.get(math.inf, 0.0)
    wanted = total * percent / 100
    return next((bound for bound in sorted(buckets) if total and buckets[bound] >= wanted), math.nan)


def highest(buckets: Buckets) -> float:
    """The upper bound of the highest bucket with anything in it, ten times the one before for the last; 0: nothing."""
    below, found = 0.0, 0.0
    for bound in sorted(buckets):
        if buckets[bound] > below:
            found = bound if math.isfinite(bound) else max(filter(math.isfinite, buckets)) * 10
        below = buckets[bound]
    return found


def beyond(buckets: Buckets, bound: float) -> float:
    """Observations above ``bound``, which has to be one of the buckets."""
    return buckets[math.inf] - buckets[bound] if buckets else math.nan
