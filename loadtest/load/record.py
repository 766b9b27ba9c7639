"""What the clients saw, counted by the second: inside locust it is filled, in the runner it is read.

A request belongs to the second of its intended start. Times are taken by the monotonic clock, which all processes of
one machine share.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load.histogram import Histogram

GOOD = "200"


@dataclass(slots=True)
class Second:
    """One kind of request in one second. ``outcomes``: a status, or `timeout`, `reset`, `left`."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    """From the intended start to the last byte; good answers alone."""
    service: Histogram = field(default_factory=Histogram)
    """From the real start; good answers alone."""
    late: Histogram = field(default_factory=Histogram)
    """From the intended to the real start, of all."""

    @property
    def good(self) -> int:
        return self.outcomes[GOOD]

    @property
    def total(self) -> int:
        return self.outcomes.total()


Seconds = dict[int, Second]


class Record:
    """``kinds`` has the seconds of each kind of request, by whole seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.kinds: dict[str, Seconds] = {}

    def add(self, kind: str, outcome: str, intended: float, began: float, ended: float) -> None:
        seconds = self.kinds.setdefault(kind, {})
        second = seconds.get(int(intended))
        if second is None:
            second = seconds[int(intended)] = Second()
        second.outcomes[outcome] += 1
        second.late.add(began - intended)
        if outcome == GOOD:
            second.latency.add(ended - intended)
            second.service.add(ended - began)

    def save(self, path: Path) -> None:
        """One JSON line for each kind and second."""
        with path.open("w") as file:
            for kind, seconds in self.kinds.items():
                for number, second in sorted(seconds.items()):
                    file.write(json.dumps({"kind": kind, "second": number, **_plain(second)}) + "\n")

    @classmethod
    def load(cls, path: Path) -> Record:
        record = cls()
        for line in path.read_text().splitlines():
            row = json.loads(line)
            record.kinds.setdefault(row["kind"], {})[row["second"]] = Second(
                Counter(row["outcomes"]), *(_histogram(row[name]) for name in ("latency", "service", "late"))
            )
        return record


def _plain(second: Second) -> dict[str, Any]:
    histograms = {"latency": second.latency, "service": second.service, "late": second.late}
    return {"outcomes": second.outcomes} | {name: made.counts for name, made in histograms.items()}


def _histogram(counts: dict[str, int]) -> Histogram:
    return Histogram({int(bucket): count for bucket, count in counts.items()})
