from __future__ import annotations

import pytest
from unit.scene import Clock

from gateway.policy.latency import GROWTH, LEAST_SAMPLES, LONGEST, SHORTEST, SLICE_SECONDS, SLICES, Latency

WINDOW = SLICES * SLICE_SECONDS


def test_nothing_is_known_before_there_are_enough() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    for count in range(LEAST_SAMPLES - 1):
        latency.note(0.1)
        assert (latency.samples, latency.quantile()) == (count + 1, 0.0)
    latency.note(0.1)
    assert latency.quantile() == pytest.approx(0.1, rel=GROWTH - 1)


def test_one_of_twenty_lies_above() -> None:
    latency = Latency(clock=Clock())
    for seconds in [0.01] * 95 + [2.0] * 5:
        latency.note(seconds)
    assert 0.01 <= latency.quantile() <= 0.01 * GROWTH


def test_it_rises_when_more_are_slow() -> None:
    latency = Latency(clock=Clock())
    for seconds in [0.01] * 94 + [2.0] * 6:
        latency.note(seconds)
    assert 2.0 <= latency.quantile() <= 2.0 * GROWTH


def test_it_is_computed_once_a_second() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    for _ in range(LEAST_SAMPLES):
        latency.note(0.01)
    before = latency.quantile()
    for _ in range(1000):
        latency.note(2.0)
    clock.now += 0.9
    assert latency.quantile() == before
    clock.now += 0.1
    assert latency.quantile() > 1.9


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, SHORTEST, SHORTEST), (1e9, LONGEST, LONGEST * GROWTH**2)])
def test_what_is_very_short_or_very_long_counts_in_the_last_bucket(seconds: float, least: float, most: float) -> None:
    latency = Latency(clock=Clock())
    for _ in range(LEAST_SAMPLES):
        latency.note(seconds)
    assert least <= latency.quantile() <= most


def test_what_is_old_leaves_the_window_a_slice_at_a_time() -> None:
    clock = Clock(10 * WINDOW)
    latency = Latency(clock=clock)
    for _ in range(SLICES):
        for _ in range(LEAST_SAMPLES):
            latency.note(0.1)
        clock.now += SLICE_SECONDS
    assert latency.samples == LEAST_SAMPLES * (SLICES - 1)
    clock.now += SLICE_SECONDS
    assert latency.samples == LEAST_SAMPLES * (SLICES - 2)


def test_after_a_pause_nothing_is_known() -> None:
    clock = Clock()
    latency = Latency(clock=clock)
    for _ in range(LEAST_SAMPLES):
        latency.note(0.1)
    assert latency.quantile() > 0.0
    clock.now += 2 * WINDOW
    assert latency.quantile() == 0.0


def test_an_upstream_that_is_not_measured_costs_no_memory() -> None:
    latency = Latency(clock=Clock())
    assert sum(len(counts) for counts in latency._slices) == 0
    latency.note(0.1)
    assert sum(len(counts) for counts in latency._slices) < 300
