"""Percentiles out of buckets of one per cent, against the sorted values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load.histogram import RESOLUTION, SMALLEST, Histogram

TIMES = st.lists(st.floats(SMALLEST * 2, 1000.0), min_size=1, max_size=200)


@given(TIMES, st.floats(0.1, 100.0))
def test_a_percentile_is_that_of_the_nearest_rank_within_one_per_cent(times: list[float], percent: float) -> None:
    exact = sorted(times)[math.ceil(len(times) * percent / 100) - 1]
    assert exact / RESOLUTION**0.01 <= Histogram.of(times).percentile(percent) <= exact * RESOLUTION**1.01


@given(TIMES, TIMES)
def test_histograms_add_up(one: list[float], other: list[float]) -> None:
    both = Histogram.sum([Histogram.of(one), Histogram.of(other)])
    assert both.counts == Histogram.of(one + other).counts
    assert len(both) == len(one) + len(other)


@pytest.mark.parametrize("time", [0.0, -1.0, SMALLEST])
def test_what_is_too_short_counts_as_shortest(time: float) -> None:
    assert Histogram.of([time]).longest == pytest.approx(SMALLEST * RESOLUTION)


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(Histogram().percentile(99))
