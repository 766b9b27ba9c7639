"""Memory that stays above the bound, second by second."""

from __future__ import annotations

import pytest

from gateway.control.recycling import (
    FIRST_PAUSE,
    HELD_SECONDS,
    LONGEST_PAUSE,
    TABLE,
    YOUNG_SECONDS,
    Process,
    Recycling,
    Seen,
    Standing,
    Verdict,
)

BOUND = 100
FRESH = 40


class Watched:
    """Looks once a second at one worker."""

    def __init__(self, bound: int = BOUND) -> None:
        self.recycling = Recycling()
        self.bound = bound
        self.now = 1000.0
        self.pid = 1
        self.started = self.now

    def look(self, *sizes: int, slot: int = 0) -> list[Verdict]:
        """The verdicts of as many seconds."""
        found = []
        for size in sizes:
            process = Process(slot, self.pid, self.now - self.started, size)
            found += self.recycling.look([process], self.bound, self.now)
            self.now += 1
        return found

    def start(self) -> None:
        """Another process takes over, and is settled."""
        self.pid += 1
        self.started = self.now
        assert self.look(*[FRESH] * 6) == []

    def seconds_to_the_next(self) -> float:
        """From now on above the bound, until it is replaced."""
        began = self.now
        while not self.look(BOUND + 1):
            assert self.now < began + 2 * LONGEST_PAUSE
        return self.now - began


def process_in(standing: Standing, fresh: int) -> Watched:
    """One that is in ``standing`` since a moment, and had ``fresh`` bytes when it was young."""
    watched = Watched(bound=0)
    watched.look(*[fresh] * 6)
    watched.bound = BOUND
    watched.look(BOUND)
    if standing is Standing.GIVEN_UP:
        assert fresh > BOUND
        watched.look(*[BOUND + 1] * 6)
    elif standing is not Standing.WITHIN:
        watched.look(BOUND + 1)
    if standing is Standing.DUE:
        watched.look(*[BOUND + 1] * 5)
    return watched


def standing_of(watched: Watched) -> Standing:
    return watched.recycling._known[0].standing


CASES = [
    (before, seen)
    for before in Standing
    for seen in Seen
    # A standing is due to LASTING, which is HOPELESS above a fresh process; GIVEN_UP is due to that.
    if not (before is Standing.DUE and seen is Seen.HOPELESS)
    and not (before is Standing.GIVEN_UP and seen is Seen.LASTING)
]


@pytest.mark.parametrize(("before", "seen"), CASES)
def test_each_cell_of_the_table_that_a_process_can_reach(before: Standing, seen: Seen) -> None:
    hopeless = before is Standing.GIVEN_UP or seen is Seen.HOPELESS
    watched = process_in(before, BOUND + 1 if hopeless else FRESH)
    assert standing_of(watched) is before
    if seen in (Seen.LASTING, Seen.HOPELESS):
        watched.now += HELD_SECONDS
    watched.look(BOUND if seen is Seen.BELOW else BOUND + 1)
    assert standing_of(watched) is TABLE[before][seen]


def test_the_other_cells_say_what_comes_next() -> None:
    assert TABLE[Standing.DUE][Seen.HOPELESS] is Standing.GIVEN_UP
    assert TABLE[Standing.GIVEN_UP][Seen.LASTING] is Standing.GIVEN_UP


def test_a_bound_that_is_passed_for_a_moment_is_no_reason() -> None:
    watched = Watched()
    watched.start()
    assert watched.look(101, 150, 120, 110, 110, 100, 101, 101, 101, 101, 101) == []


def test_a_worker_that_stays_above_is_replaced_once() -> None:
    watched = Watched()
    watched.start()
    (verdict,) = watched.look(*range(101, 140))
    assert verdict == Verdict(Process(0, 2, 11.0, 106), FRESH, enough=True)


def test_no_bound_is_no_reason_and_what_a_fresh_process_has_is_known_all_the_same() -> None:
    watched = Watched(bound=0)
    assert watched.recycling.fresh(0) == 0
    assert watched.look(*range(101, 140)) == []
    assert (watched.recycling.fresh(0), watched.recycling.fresh(1)) == (106, 0)


def test_another_process_is_judged_by_its_own_memory() -> None:
    watched = Watched()
    watched.start()
    assert watched.look(101, 101, 101, 101, 101) == []
    watched.start()
    assert watched.look(101, 101, 101, 101, 101) == []
    assert len(watched.look(101)) == 1


def test_workers_have_nothing_to_do_with_each_other() -> None:
    watched = Watched()
    watched.start()
    for second in range(6):
        big, small = Process(0, 2, 50.0, 150), Process(1, 9, 50.0, 60)
        found = watched.recycling.look([big, small], BOUND, watched.now + second)
    assert [verdict.process for verdict in found] == [big]


def test_a_bound_below_a_fresh_process_is_reported_once_and_nothing_is_replaced() -> None:
    watched = Watched(bound=30)
    (verdict,) = watched.look(*[FRESH] * 100)
    assert verdict == Verdict(Process(0, 1, 5.0, FRESH), FRESH, enough=False)
    assert watched.recycling.too_small(0)
    assert not watched.recycling.too_small(1)


def test_the_next_process_above_that_bound_is_not_replaced_either() -> None:
    watched = Watched(bound=30)
    watched.look(*[FRESH] * 100)
    watched.pid, watched.started = 2, watched.now
    assert [verdict.enough for verdict in watched.look(*[FRESH] * 100)] == [False]


def test_another_bound_is_judged_again() -> None:
    watched = Watched(bound=30)
    watched.look(*[FRESH] * 100)
    watched.bound = 35
    assert [(verdict.enough, verdict.fresh) for verdict in watched.look(*[FRESH + 9] * 100)] == [(False, FRESH)]
    watched.bound = BOUND
    assert watched.look(FRESH) == []
    assert not watched.recycling.too_small(0)
    assert [verdict.enough for verdict in watched.look(*[BOUND + 1] * 10)] == [True]


def test_an_old_process_that_is_seen_for_the_first_time_may_have_grown() -> None:
    watched = Watched()
    watched.started -= YOUNG_SECONDS + 1
    (verdict,) = watched.look(*[BOUND + 1] * 10)
    assert (verdict.enough, verdict.fresh) == (True, 0)


def test_each_replacement_that_was_of_no_use_doubles_the_pause_to_the_next() -> None:
    watched = Watched()
    watched.start()
    assert watched.seconds_to_the_next() == 6.0
    pauses = []
    for _ in range(9):
        before = watched.now
        watched.start()
        watched.seconds_to_the_next()
        pauses.append(watched.now - before)
    expected = [FIRST_PAUSE * 2**number for number in range(9)]
    assert pauses == [min(pause, LONGEST_PAUSE) for pause in expected]


@pytest.mark.parametrize(("calm", "next_pause"), [(2 * FIRST_PAUSE, FIRST_PAUSE), (FIRST_PAUSE, 2 * FIRST_PAUSE)])
def test_a_process_that_lasted_resets_the_pause(calm: float, next_pause: float) -> None:
    watched = Watched()
    watched.start()
    watched.seconds_to_the_next()
    watched.start()
    assert watched.look(*[FRESH] * int(calm)) == []
    watched.seconds_to_the_next()
    before = watched.now
    watched.start()
    watched.seconds_to_the_next()
    assert watched.now - before == next_pause


def test_a_replacement_that_failed_is_asked_for_again_after_the_pause() -> None:
    watched = Watched()
    watched.start()
    watched.seconds_to_the_next()
    assert watched.seconds_to_the_next() == FIRST_PAUSE
    assert watched.seconds_to_the_next() == 2 * FIRST_PAUSE
