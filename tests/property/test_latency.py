"""The measured time of an upstream against a list of all values with their times."""

from __future__ import annotations

import math
import random

import pytest
from unit.scene import Clock

from gateway.policy.latency import GROWTH, LEAST_SAMPLES, SHORTEST, SLICE_SECONDS, SLICES, Latency


@pytest.mark.parametrize("seed", range(30))
def test_the_quantile_is_that_of_the_values_in_the_window(seed: int) -> None:
    random_ = random.Random(seed)
    clock, kept = Clock(random_.uniform(0, 1e6)), list[tuple[float, float]]()
    latency = Latency(clock=clock)
    for _ in range(400):
        clock.now += random_.choice([0.0, 0.1, 5.0, SLICE_SECONDS, random_.uniform(0, 400)]) * random_.random()
        for _ in range(random_.randrange(30)):
            seconds = random_.lognormvariate(-3.0, random_.choice([0.2, 2.0]))
            latency.note(seconds)
            kept.append((clock.now, seconds))
        clock.now += 1.0  # what was computed before is not good any more
        newest = int(clock.now / SLICE_SECONDS)
        values = sorted(max(seconds, SHORTEST) for at, seconds in kept if int(at / SLICE_SECONDS) > newest - SLICES)
        assert latency.samples == len(values)
        if len(values) < LEAST_SAMPLES:
            assert latency.quantile() == 0.0
            continue
        rank = next(rank for rank in range(1, len(values) + 1) if rank >= 0.95 * len(values))
        exact = values[rank - 1]
        assert exact / (1 + 1e-9) <= latency.quantile() <= exact * GROWTH * (1 + 1e-9)


def test_values_that_are_cut_at_the_quantile_do_not_bring_it_down() -> None:
    """What is slower than the quantile is cut, because a hedge is faster. Counted as long as they ran, the time stays
    where it is; left out, it would fall, and ever more requests would be hedged."""
    random_ = random.Random(1)
    clock = Clock()
    counted, left_out = Latency(clock=clock), Latency(clock=clock)
    for _ in range(40_000):
        clock.now += 0.05
        seconds = random_.lognormvariate(-2.0, 1.0)
        for latency, is_counted in ((counted, True), (left_out, False)):
            after = latency.quantile()
            cut = 0.0 < after < seconds
            if not cut:
                latency.note(seconds)
            elif is_counted:
                latency.note(after + 0.1)
    assert counted.quantile() == pytest.approx(math.exp(-2.0 + 1.645), rel=0.12)
    assert left_out.quantile() < counted.quantile() / 2
