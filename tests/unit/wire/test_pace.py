"""The floor for a peer's rate: trickles end, pauses within the idle timeout do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.wire.pace import GRACE, WINDOW, Pace


def first_offence(pace: Pace, moves: Iterator[tuple[float, int]]) -> float:
    """When the pace is first called too slow; -1.0: never. ``moves``: times and bytes."""
    for now, moved in moves:
        if pace.too_slow(moved, now):
            return now
    return -1.0


def steady(every: float, moved: int, until: float = 600.0) -> Iterator[tuple[float, int]]:
    return ((1.0 + every * i, moved) for i in range(int(until / every)))


@pytest.mark.parametrize(
    ("every", "moved", "slow"),
    [
        (1.0, 1, True),
        (1.0, 239, True),
        (1.0, 240, False),
        (0.1, 24, False),
        (20.0, 4800, False),
        (20.0, 4000, True),
        (59.0, 1, True),
    ],
)
def test_a_steady_rate(every: float, moved: int, *, slow: bool) -> None:
    pace = Pace(240)
    pace.begin(1.0)
    ends = first_offence(pace, steady(every, moved))
    assert (ends > 0) is slow
    if slow:
        assert GRACE + WINDOW <= ends - 1.0 <= GRACE + WINDOW + 2 * every


def test_no_floor() -> None:
    pace = Pace(0)
    pace.begin(1.0)
    assert first_offence(pace, steady(1.0, 1)) == -1.0


def test_a_slow_start_is_no_offence() -> None:
    pace = Pace(240)
    pace.begin(1.0)
    slow_start = [(1.0 + i, 1) for i in range(int(GRACE))]
    fast = [(1.0 + GRACE + i, 10_000) for i in range(100)]
    assert first_offence(pace, iter(slow_start + fast)) == -1.0


@pytest.mark.parametrize("silence", [WINDOW / 2, WINDOW, 2 * WINDOW - 1])
def test_silence_is_left_to_the_idle_timeout(silence: float) -> None:
    """A fast peer that thinks for a while and goes on fast is never below the floor."""
    pace = Pace(240)
    pace.begin(1.0)
    burst = 32_768
    assert first_offence(pace, ((1.0 + silence * i, burst) for i in range(50))) == -1.0


def test_time_in_which_the_other_side_keeps_us_does_not_count() -> None:
    pace = Pace(240)
    now = 1.0
    for _ in range(1000):
        pace.begin(now)
        now += 0.001
        assert not pace.too_slow(1, now)
        pace.pause(now)
        now += 60.0


def test_a_wait_that_begins_twice_counts_once() -> None:
    pace = Pace(240)
    pace.begin(1.0)
    pace.begin(30.0)
    pace.pause(31.0)
    pace.pause(500.0)
    assert not pace.too_slow(1, 501.0)
    assert not pace.too_slow(1, 502.0)


def test_the_offence_ends_with_the_trickle() -> None:
    """Each window is judged by itself."""
    pace = Pace(240)
    pace.begin(1.0)
    ends = first_offence(pace, steady(1.0, 1))
    assert first_offence(pace, ((ends + i, 1000) for i in range(1, 200))) == -1.0
