from __future__ import annotations

import pytest

from gateway.config.schema.protections import MOST_CALLERS
from gateway.policy.breaker_rules import RULES, Figures, Rules, figures_of
from gateway.policy.window import CALLERS, Tally


def test_no_setting_needs_more_callers_than_are_told_apart() -> None:
    assert MOST_CALLERS == CALLERS


def test_what_is_off_counts_nothing() -> None:
    off = Rules()
    assert (off.counts, off.width, off.is_slow(9e9)) == (False, 0, False)
    assert off.verdict(Tally(4, 99, 99, 99), 5) is None
    assert off.verdict(Tally(99, 99, 99, 99), 0) is None
    assert [Rules(distinct_callers=callers).counts for callers in (0, 1, 2)] == [False, False, True]


@pytest.mark.parametrize(
    ("rules", "tally", "found"),
    [
        (Rules(), Tally(5), ("failure_threshold", Figures(5, 5))),
        (Rules(0.5), Tally(0, 19, 19), None),
        (Rules(0.5), Tally(0, 20, 9), None),
        (Rules(0.5), Tally(0, 20, 10), ("failure_rate", Figures(10, 0.5, 20, 30.0))),
        (Rules(0.1), Tally(0, 30, 3), ("failure_rate", Figures(3, 0.1, 30, 30.0))),
        (Rules(0.5, minimum_requests=1), Tally(0, 1, 1), ("failure_rate", Figures(1, 0.5, 1, 30.0))),
        (Rules(0.0, 2.0, 0.25), Tally(4, 20, 20, 4), None),
        (Rules(0.0, 2.0, 0.25), Tally(4, 20, 0, 5), ("slow_rate", Figures(5, 0.25, 20, 30.0, 2.0))),
        (Rules(0.5, 2.0, 0.25), Tally(9, 20, 20, 20), ("failure_threshold", Figures(9, 5))),
        (Rules(0.5, 2.0, 0.25), Tally(4, 20, 20, 20), ("failure_rate", Figures(20, 0.5, 20, 30.0, 2.0))),
        (Rules(0.5, 2.0, 0.25, distinct_callers=3), Tally(9, 20, 20, 20, 2, 2, 2), None),
        (Rules(distinct_callers=3), Tally(9, run_callers=3), ("failure_threshold", Figures(9, 5, callers=3))),
        (
            Rules(0.5, 2.0, 0.25, distinct_callers=3),
            Tally(9, 20, 20, 20, 2, 3, 2),
            ("failure_rate", Figures(20, 0.5, 20, 30.0, 2.0, 3)),
        ),
        (
            Rules(0.5, 2.0, 0.25, distinct_callers=3),
            Tally(9, 20, 20, 20, 2, 2, 3),
            ("slow_rate", Figures(20, 0.25, 20, 30.0, 2.0, 3)),
        ),
    ],
)
def test_the_rule_that_opens_and_its_figures(rules: Rules, tally: Tally, found: tuple[str, Figures] | None) -> None:
    assert rules.verdict(tally, 5) == found
    assert found is None or found[0] in RULES


def test_a_call_is_slow_above_the_bound() -> None:
    rules = Rules(0.0, 2.0, 0.5)
    assert [rules.is_slow(seconds) for seconds in (0.0, 2.0, 2.01)] == [False, False, True]


def test_figures_are_read_as_they_were_written() -> None:
    figures = Figures(123_456_789, 0.123456789, 123_456_789, 3599.12345, 3599.12345, 16)
    assert figures_of(figures.text) == figures
    assert len(figures.text) <= 60


@pytest.mark.parametrize("text", ["", "ann", "1 2 3", "1 2 3 4 5 x", "1 2 3 4 5 6 7"])
def test_a_text_without_figures(text: str) -> None:
    assert figures_of(text) is None
