"""A limit that adapts finds what an upstream with a few workers can do, and a gradient of whole durations does not."""

from __future__ import annotations

import sys

import adaptive
import pytest
from worker_pool import Adapting, Gradient, Lengths, Point, Pool

from gateway.config import records

FALL = 120.0
END = 200.0
SEEDS = range(3)


def limits(points: list[Point], since: float, until: float) -> set[int]:
    return {point.limit for point in points if since <= point.at < until}


def traced(seed: int, initial: int, **facts: object) -> list[Point]:
    pool = Pool(8, seed, **facts)  # type: ignore[arg-type] # of Pool
    return pool.run(Adapting(pool, initial), END, {FALL: 4})


@pytest.mark.parametrize("initial", [1, 10, 100])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_finds_eight_within_a_minute_and_follows_a_fall_to_four(seed: int, initial: int) -> None:
    points = traced(seed, initial)
    assert limits(points, 60.0, FALL) <= {7, 8, 9}
    assert limits(points, FALL + 30.0, END) <= {3, 4, 5}


@pytest.mark.parametrize(
    "facts",
    [
        {"arrivals": 0.8},  # callers come at random, somewhat more than can be served
        {"to_first_byte": Lengths(0.05, 0.4), "length": Lengths(1.0, 1.0, 0.2, 10.0)},
    ],
    ids=["random arrivals", "short responses"],
)
@pytest.mark.parametrize("initial", [1, 10])
def test_other_traffic(initial: int, facts: dict[str, object]) -> None:
    for seed in SEEDS:
        points = traced(seed, initial, **facts)
        assert limits(points, 60.0, FALL) <= {7, 8, 9, 10, 11}
        assert limits(points, FALL + 30.0, END) <= {3, 4, 5, 6}


@pytest.mark.parametrize("initial", [1, 10])
def test_it_grows_with_the_upstream(initial: int) -> None:
    for seed in SEEDS:
        pool = Pool(4, seed)
        points = pool.run(Adapting(pool, initial), 250.0, {90.0: 12})
        assert limits(points, 60.0, 90.0) <= {3, 4, 5}
        assert limits(points, 220.0, 250.0) <= {11, 12, 13}


@pytest.mark.parametrize("initial", [1, 10, 100])
def test_a_gradient_of_whole_durations_fails_on_the_same_trace(initial: int) -> None:
    for seed in SEEDS:
        pool = Pool(8, seed)
        points = pool.run(Gradient(initial), END, {FALL: 4})
        assert not limits(points, 60.0, FALL) <= {7, 8, 9}
        assert not limits(points, FALL + 30.0, END) & {3, 4, 5}


def test_few_requests_wait_inside_the_upstream() -> None:
    points = traced(0, 10)
    late = [point.queued for point in points if point.at > 10.0]
    assert sum(late) / len(late) < 0.5


def test_the_drawing_is_that_of_the_docs() -> None:
    assert adaptive.PICTURE.read_text() == adaptive.drawn(), f"write it again: {sys.executable} loadtest/adaptive.py"


def test_the_default_is_within_what_is_shown() -> None:
    assert records.Adaptive().initial in adaptive.INITIAL
