from __future__ import annotations

import math

import pytest

from gateway.policy.learned import KEPT_DECISIONS, KEPT_SAMPLES, Learned, Load
from gateway.policy.lessons import (
    LONGEST_REST_SECONDS,
    REST_SECONDS,
    RISE_SECONDS,
    TOLERANCE,
    Bounds,
    Evidence,
    Sample,
    bound_of,
    busy_of,
    confine,
    learn,
    usual_of,
)

BOUNDS = Bounds(initial=10, min=2, max=20)
LOOK = 0.25


class Lesson:
    """An adaptive limit, and looks at what is given, four a second."""

    def __init__(self, bounds: Bounds = BOUNDS, *, usual: float = 0.2) -> None:
        self.now = 1000.0
        self.bounds = bounds
        self.learned = Learned()
        confine(self.learned, bounds, self.now)
        if usual:
            self.learned.samples = [usual] * KEPT_SAMPLES
            self.learned.slow = usual
        self.now += 2.0
        self.learned.looked_at = self.now

    @property
    def limit(self) -> int:
        return self.learned.limit

    def timely(self, count: int = 1, *, seconds: float = 0.2, permits: int | None = None) -> Evidence:
        """Responses in time, to requests that were sent just now and took the last permits."""
        used = self.limit if permits is None else permits
        return Evidence([Sample(self.now, seconds, used)] * count)

    def look(
        self,
        evidence: Evidence | None = None,
        load: Load | None = None,
        *,
        in_flight: int | None = None,
        after: float = LOOK,
    ) -> int:
        """By default the limit is used up, and half of the responses have begun."""
        self.now += after
        used = self.limit if in_flight is None else in_flight
        learn(self.learned, self.bounds, self.now, evidence or Evidence(), load or Load(used, used // 2), used)
        return self.limit

    @property
    def causes(self) -> list[str]:
        return [decision.cause for decision in self.learned.decisions]


class TestBounds:
    def test_it_begins_with_the_initial_limit(self) -> None:
        learned = Learned()
        confine(learned, BOUNDS, 5.0)
        assert (learned.limit, learned.changed_at, learned.decisions) == (10, 5.0, [])

    def test_other_bounds_move_it_no_further_than_they_have_to(self) -> None:
        lesson = Lesson()
        confine(lesson.learned, Bounds(30, 2, 40), 1.0)
        assert (lesson.limit, lesson.causes) == (10, [])
        confine(lesson.learned, Bounds(30, 12, 40), 1.0)
        confine(lesson.learned, Bounds(30, 1, 4), 2.0)
        assert [(each.old, each.new, each.cause) for each in lesson.learned.decisions] == [
            (10, 12, "bounds"),
            (12, 4, "bounds"),
        ]


class TestWhatIsLate:
    def test_nothing_is_known_without_a_response(self) -> None:
        learned = Learned()
        assert (bound_of(learned), usual_of(learned), busy_of(learned)) == (math.inf, 0.0, None)

    def test_the_first_responses_leave_doubt(self) -> None:
        lesson = Lesson(usual=0.0)
        lesson.look(lesson.timely())
        assert bound_of(lesson.learned) == pytest.approx(0.2 * TOLERANCE * 3)
        lesson.look(lesson.timely(KEPT_SAMPLES))
        assert bound_of(lesson.learned) == pytest.approx(0.2 * TOLERANCE * (1 + 2 / KEPT_SAMPLES))
        assert usual_of(lesson.learned) == pytest.approx(0.2)

    def test_a_slow_one_counts_and_not_the_average(self) -> None:
        learned = Learned(samples=[0.1] * 8 + [2.0] * 2)
        assert bound_of(learned) == pytest.approx(2.0 * TOLERANCE * 1.2)

    def test_samples_cover_a_minute_when_there_are_enough(self) -> None:
        lesson = Lesson()
        for _ in range(8):
            lesson.look(lesson.timely(5, seconds=0.1))
        assert lesson.learned.samples.count(0.1) == 2
        assert len(lesson.learned.samples) == KEPT_SAMPLES

    def test_late_responses_are_no_samples(self) -> None:
        lesson = Lesson()
        late = Sample(lesson.now, 5.0, 10)
        lesson.look(Evidence([late, late._replace(judged=True)]))
        assert max(lesson.learned.samples) == 0.2
        assert lesson.learned.late == 1.0, "the second was counted before"

    def test_what_is_slow_falls_at_once_and_rises_slowly(self) -> None:
        lesson = Lesson()
        lesson.learned.samples = [0.25] * KEPT_SAMPLES
        lesson.look(after=1.0)
        assert lesson.learned.slow == pytest.approx(0.2 * math.exp(1 / RISE_SECONDS))
        lesson.learned.samples = [0.1] * KEPT_SAMPLES
        lesson.look()
        assert lesson.learned.slow == 0.1


class TestProbe:
    def test_a_limit_that_is_used_up_grows_by_one(self) -> None:
        lesson = Lesson()
        assert lesson.look(lesson.timely()) == 11
        (decision,) = lesson.learned.decisions
        assert (decision.at, decision.old, decision.new, decision.cause) == (lesson.now, 10, 11, "probe")
        assert (decision.sent, decision.begun, decision.overdue, decision.timely) == (10, 5, 0, 1.0)
        assert (decision.usual, decision.bound) == (pytest.approx(0.2), pytest.approx(0.268, abs=0.001))

    def test_a_large_one_grows_by_a_part(self) -> None:
        lesson = Lesson(Bounds(100, 1, 1000))
        assert lesson.look(lesson.timely()) == 106

    def test_it_does_not_grow_above_the_largest(self) -> None:
        lesson = Lesson(Bounds(10, 2, 10))
        assert (lesson.look(lesson.timely()), lesson.causes) == (10, [])

    def test_there_is_time_between_two(self) -> None:
        lesson = Lesson()
        lesson.look(lesson.timely())
        assert lesson.look(lesson.timely()) == 11
        assert lesson.look(after=0.75) == 12

    def test_it_takes_the_time_of_a_response_at_least(self) -> None:
        lesson = Lesson(usual=4.0)
        assert lesson.look(lesson.timely(seconds=4.0)) == 10
        assert lesson.look(after=2.0) == 11

    @pytest.mark.parametrize(
        "evidence",
        [
            Evidence([Sample(1002.0, 0.2, 8)]),  # it did not take one of the last permits
            Evidence([Sample(999.0, 0.2, 10)]),  # it was sent before the last change
            Evidence(),
        ],
    )
    def test_only_proof_lets_it_grow(self, evidence: Evidence) -> None:
        lesson = Lesson()
        assert lesson.look(evidence) == 10

    def test_of_very_many_some_are_late_by_chance(self) -> None:
        lesson = Lesson(Bounds(64, 1, 100))
        assert lesson.look(Evidence(lesson.timely(60).samples, late=6), Load(64, 59, 5)) == 64
        assert lesson.look(lesson.timely(60), Load(64, 60, 4)) == 68

    def test_not_while_a_response_is_late(self) -> None:
        lesson = Lesson()
        assert lesson.look(lesson.timely(9), Load(10, 9, 1)) == 10
        assert lesson.look(Evidence(late=1)) == 10
        assert lesson.look() == 10, "one was late a moment ago"


class TestLateness:
    def test_it_falls_to_what_the_upstream_works_on(self) -> None:
        lesson = Lesson()
        for _ in range(5):
            lesson.look(Evidence(late=1), Load(10, 8, 2))
        assert (lesson.limit, lesson.causes) == (8, ["late"])
        assert lesson.learned.decisions[0].busy == pytest.approx(8.0)

    def test_in_steps(self) -> None:
        lesson = Lesson(Bounds(100, 1, 100))
        limits = [lesson.look(load=Load(100, 8, 92)) for _ in range(30)]
        assert limits[-1] == 8
        assert {70, 49, 34} <= set(limits)

    def test_responses_between_start_and_first_byte_count(self) -> None:
        """Two begin in each look, each after 0.2 s: 1.6 are in between at a time."""
        lesson = Lesson()
        for _ in range(4):
            lesson.look(Evidence([Sample(lesson.now, 0.2, 9)] * 2, late=1), Load(10, 6, 2))
        assert lesson.limit == 8

    def test_one_late_response_is_chance(self) -> None:
        lesson = Lesson()
        for _ in range(20):
            lesson.look(Evidence(late=lesson.now < 1002.1), Load(10, 8, 1))
        assert lesson.limit == 10

    def test_a_small_share_is_chance(self) -> None:
        lesson = Lesson()
        for _ in range(8):
            lesson.look(Evidence(lesson.timely(8, permits=5).samples, late=2), Load(10, 5, 0))
        assert lesson.limit == 10

    def test_not_below_the_smallest(self) -> None:
        lesson = Lesson(Bounds(4, 2, 20))
        for _ in range(40):
            lesson.look(Evidence(late=1), Load(4, 0, 4))
        assert lesson.limit == 2

    def test_nothing_while_less_than_half_is_used(self) -> None:
        lesson = Lesson()
        for _ in range(8):
            lesson.look(Evidence(late=3, dropped=3), Load(4, 1, 3), in_flight=4)
        assert (lesson.limit, lesson.causes) == (10, [])

    def test_it_rises_to_what_the_upstream_works_on_beyond_the_limit(self) -> None:
        """Requests of a higher limit are still there."""
        lesson = Lesson()
        for _ in range(8):
            lesson.look(load=Load(30, 13, 17), in_flight=30)
        assert (lesson.limit, lesson.causes) == (13, ["late"])

    def test_after_a_fall_it_rests_and_longer_after_each_probe_that_fails(self) -> None:
        lesson = Lesson()
        rests = []
        for _ in range(6):
            busy = lesson.limit - 2
            while lesson.look(Evidence(late=1), Load(lesson.limit, busy, 2)) > busy:
                pass
            rests.append(lesson.learned.rest)
            assert lesson.look(lesson.timely(), after=lesson.learned.rest - 1) == busy
            lesson.look(lesson.timely(), after=2.0)
            assert lesson.limit == busy + 1
        assert rests == [REST_SECONDS, 20.0, 40.0, *[LONGEST_REST_SECONDS] * 3]
        lesson.now += 30.0
        while lesson.learned.rest == LONGEST_REST_SECONDS:
            lesson.look(Evidence(late=1), Load(lesson.limit, 1, 2))
        assert lesson.learned.rest == REST_SECONDS, "the last probe was long ago"

    def test_what_is_late_for_long_without_a_queue_is_the_new_usual(self) -> None:
        lesson = Lesson()
        for _ in range(160):
            lesson.look(Evidence(late=1), Load(10, 10, 0))
        assert (lesson.limit, lesson.causes) == (10, ["relearn"])
        assert (lesson.learned.samples, bound_of(lesson.learned), lesson.learned.slow) == ([], math.inf, math.inf)
        assert lesson.learned.decisions[0].bound > 0.0
        lesson.look(lesson.timely(seconds=1.0))
        assert usual_of(lesson.learned) == 1.0


class TestDrops:
    @pytest.mark.parametrize(("dropped", "timely", "limit"), [(1, 0, 4), (5, 0, 4), (5, 5, 7), (1, 9, 9), (1, 10, 10)])
    def test_it_falls_by_their_share(self, dropped: int, timely: int, limit: int) -> None:
        lesson = Lesson()
        evidence = Evidence(lesson.timely(timely, permits=1).samples, dropped=dropped)
        assert lesson.look(evidence) == limit
        assert lesson.causes == (["dropped"] if limit < 10 else [])

    def test_the_smaller_limit_of_two_reasons(self) -> None:
        lesson = Lesson()
        lesson.look(Evidence(late=1), Load(10, 4, 6), after=0.3)
        lesson.look(Evidence(lesson.timely(6, permits=1).samples, late=2, dropped=1), Load(10, 4, 6), after=0.3)
        assert (lesson.limit, lesson.causes) == (7, ["late"])
        for _ in range(4):
            lesson.look(Evidence(late=2, dropped=4), Load(7, 10, 6), after=0.3)
        assert (lesson.limit, lesson.causes) == (3, ["late", "dropped"])


def test_the_newest_decisions_are_kept() -> None:
    lesson = Lesson(Bounds(10, 1, 100))
    for _ in range(15):
        lesson.look(lesson.timely(), after=1.0)
    assert [each.new for each in lesson.learned.decisions] == [*range(16, 16 + KEPT_DECISIONS)]
