"""An adaptive limit under any sequence of outcomes: its bounds hold, worse news never raises it, and what is to teach
nothing teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as some
from unit.scene import Clock

from gateway.policy.adaptive import Adaptive
from gateway.policy.learned import CAUSES, KEPT_DECISIONS, KEPT_SAMPLES, Learned, Load
from gateway.policy.lessons import Bounds, Evidence, Sample, bound_of, busy_of, confine, learn
from gateway.policy.limiter import Limiter

STARTED = 1000.0
seconds = some.floats(0.0, 120.0)


@dataclass(frozen=True)
class Look:
    """What is seen ``after`` so many seconds. Shares are of the limit that holds then."""

    after: float
    responses: list[float]
    late: int
    dropped: int
    used: float
    begun: float


looks = some.builds(
    Look,
    after=some.floats(0.0, 20.0),
    responses=some.lists(seconds, max_size=6),
    late=some.integers(0, 6),
    dropped=some.integers(0, 6),
    used=some.floats(0.0, 3.0),
    begun=some.floats(0.0, 1.0),
)
bounds_of_any_size = some.lists(some.integers(1, 300), min_size=3, max_size=3).map(
    lambda sizes: Bounds(sorted(sizes)[1], min(sizes), max(sizes))
)


def load_of(look: Look, limit: int) -> tuple[Load, int]:
    in_flight = round(look.used * limit)
    begun = round(look.begun * in_flight)
    return Load(in_flight, begun, in_flight - begun if look.late else 0), in_flight


def evidence_of(look: Look, learned: Learned, now: float) -> Evidence:
    return Evidence([Sample(now, each, learned.limit) for each in look.responses], look.late, look.dropped)


def at(learned: Learned, look: Look, now: float, bounds: Bounds, **more: int) -> None:
    load, in_flight = load_of(look, learned.limit)
    evidence = evidence_of(look, learned, now)
    evidence = evidence._replace(**{name: getattr(evidence, name) + count for name, count in more.items()})
    learn(learned, bounds, now, evidence, load, in_flight)


def grown(steps: list[Look], bounds: Bounds) -> tuple[Learned, float]:
    learned, now = Learned(), STARTED
    confine(learned, bounds, now)
    for look in steps:
        now += look.after
        at(learned, look, now, bounds)
    return learned, now


@given(bounds_of_any_size, some.lists(looks, max_size=60))
def test_the_bounds_hold_and_every_change_is_told(bounds: Bounds, steps: list[Look]) -> None:
    learned, now = Learned(), STARTED
    confine(learned, bounds, now)
    told = learned.limit
    for look in steps:
        now += look.after
        before = learned.limit
        in_flight = load_of(look, before)[1]
        at(learned, look, now, bounds)
        assert bounds.min <= learned.limit <= bounds.max
        assert bound_of(learned) >= 0.0
        assert (busy_of(learned) or 0.0) >= 0.0
        assert len(learned.samples) <= KEPT_SAMPLES
        assert len(learned.decisions) <= KEPT_DECISIONS
        if in_flight * 2 < before:
            assert learned.limit == before, "it is not used"
        if learned.limit != before:
            newest = learned.decisions[-1]
            assert (newest.at, newest.old, newest.new) == (now, before, learned.limit)
            assert newest.cause in CAUSES
            told = newest.new
    assert told == learned.limit


@given(
    bounds_of_any_size,
    some.lists(looks, max_size=30),
    looks,
    some.sampled_from(["late", "dropped"]),
    some.integers(1, 10),
)
def test_worse_news_never_leads_to_a_higher_limit(
    bounds: Bounds, steps: list[Look], last: Look, worse: str, more: int
) -> None:
    learned, now = grown(steps, bounds)
    other = learned.copy()
    now += last.after
    last = Look(last.after, last.responses, max(1, last.late), last.dropped, min(1.0, last.used), last.begun)
    at(learned, last, now, bounds)
    at(other, last, now, bounds, **{worse: more})
    assert other.limit <= learned.limit


@dataclass(eq=False)
class Job:
    sent_at: float
    begun_at: float = 0.0
    served: bool = True
    permits: int = 1

    def stalls(self, now: float) -> bool:
        return now < 0


@pytest.mark.parametrize("leaves_after", [0.0, 0.1])
@given(ends=some.lists(some.tuples(seconds, some.booleans()), min_size=1, max_size=30), initial=some.integers(1, 30))
def test_callers_who_leave_and_own_refusals_teach_nothing(
    leaves_after: float, ends: list[tuple[float, bool]], initial: int
) -> None:
    """However long they waited, and whether their response had begun; in any number."""
    clock = Clock()
    limiter = Limiter(initial, clock=clock)
    bounds = Bounds(initial, 1, 100)
    adaptive = Adaptive(limiter, bounds, clock=clock)
    adaptive.configure(bounds)
    for waited, begun in ends:
        clock.now += waited
        job = Job(clock.now)
        permit = limiter.try_acquire()
        adaptive.begin(job)
        clock.now += leaves_after
        job.begun_at = clock.now if begun else 0.0
        adaptive.end(job, ignored=True)
        limiter.release(permit)
        adaptive.look()
        learned = adaptive.store.read()
        assert (limiter.max, learned.limit, learned.samples, learned.decisions) == (initial, initial, [], [])
        assert (learned.timely, learned.late, learned.dropped) == (0.0, 0.0, 0.0)
