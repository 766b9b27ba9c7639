"""Criteria held against findings."""

from __future__ import annotations

from dataclasses import dataclass

from load.findings import Findings
from load.scenario import Criterion, Size

UNJUDGED, HELD, BROKEN = "not judged", "held", "BROKEN"


@dataclass(frozen=True, slots=True)
class Verdict:
    criterion: Criterion
    value: float
    word: str


def judge(criteria: tuple[Criterion, ...], findings: Findings, size: Size) -> list[Verdict]:
    return [_verdict(criterion, criterion.measure(findings), size) for criterion in criteria]


def _verdict(criterion: Criterion, value: float, size: Size) -> Verdict:
    if size.seconds < criterion.needs:
        return Verdict(criterion, value, UNJUDGED)
    return Verdict(criterion, value, HELD if criterion.holds(value) else BROKEN)


def passed(verdicts: list[Verdict]) -> bool:
    """Nothing is broken, and something was judged."""
    words = [verdict.word for verdict in verdicts]
    return BROKEN not in words and HELD in words
