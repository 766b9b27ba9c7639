"""A criterion holds within its bounds, is broken by what is not a number, and needs its time."""

from __future__ import annotations

import math

import pytest
from load.findings import Findings
from load.scenario import Criterion, Size
from load.verdict import BROKEN, HELD, UNJUDGED, judge, passed


def made(value: float, *, needs: float = 0.0) -> Criterion:
    return Criterion("name", "NFR-001", lambda _: value, "how", "ms", at_least=1.0, at_most=5.0, needs=needs)


@pytest.mark.parametrize(
    ("value", "word"),
    [(1.0, HELD), (5.0, HELD), (0.99, BROKEN), (5.01, BROKEN), (math.nan, BROKEN), (math.inf, BROKEN)],
)
def test_bounds(value: float, word: str) -> None:
    (verdict,) = judge((made(value),), Findings(), Size(10, 1))
    assert (verdict.word, passed([verdict])) == (word, word == HELD)


def test_a_short_run_is_not_judged_and_nothing_judged_is_not_passed() -> None:
    verdicts = judge((made(9.0, needs=60),), Findings(), Size(10, 1))
    assert [verdict.word for verdict in verdicts] == [UNJUDGED]
    assert not passed(verdicts)


def test_the_bound_is_told_in_words() -> None:
    assert made(1.0).bound == "at least 1 and at most 5 ms"
    assert Criterion("n", "", lambda _: 0.0, "h", at_most=0.0).bound == "at most 0"
