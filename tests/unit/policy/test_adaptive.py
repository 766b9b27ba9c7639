from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from unit.scene import Clock

from gateway.policy.adaptive import LOOK_SECONDS, Adaptive
from gateway.policy.learned import Decision, MemoryLearnedStore
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter

BOUNDS = Bounds(initial=4, min=1, max=8)


@dataclass(eq=False)
class Job:
    sent_at: float = 0.0
    begun_at: float = 0.0
    served: bool = True
    permits: int = 4
    silent: bool = False

    def stalls(self, now: float) -> bool:
        return self.silent and now > 0


class Scene:
    def __init__(self, store: MemoryLearnedStore | None = None) -> None:
        self.clock = Clock()
        self.limiter = Limiter(9, clock=self.clock)
        self.adaptive = Adaptive(self.limiter, BOUNDS, store, self.clock)
        self.decisions = list[Decision]()
        self.adaptive.on_decision = self.decisions.append
        self.adaptive.configure(BOUNDS)

    def begin(self, count: int = 1, **facts: float) -> list[Job]:
        """Requests that are sent now, each with a permit."""
        jobs = [Job(sent_at=self.clock.now, **facts) for _ in range(count)]  # type: ignore[arg-type] # floats alone
        for job in jobs:
            self.limiter.try_acquire()
            self.adaptive.begin(job)
        return jobs

    def look(self, after: float = LOOK_SECONDS) -> bool:
        self.clock.now += after
        return self.adaptive.look()

    def usual(self, seconds: float = 0.1, count: int = 30) -> None:
        """It has seen so many responses that began after so many seconds."""
        for _ in range(count):
            job = Job(self.clock.now - seconds, self.clock.now, permits=1)
            self.adaptive.begin(job)
            self.adaptive.end(job)
        self.look()


def test_it_begins_with_the_initial_limit_and_takes_other_bounds() -> None:
    scene = Scene()
    assert (scene.limiter.max, scene.decisions) == (4, [])
    scene.adaptive.configure(Bounds(4, 6, 8))
    assert scene.limiter.max == 6
    assert [each.cause for each in scene.decisions] == ["bounds"]


def test_who_begins_first_is_asked_to_look_until_nothing_runs() -> None:
    scene = Scene()
    one, two = Job(), Job()
    assert scene.adaptive.begin(one)
    assert not scene.adaptive.begin(two)
    scene.adaptive.end(one)
    assert scene.look()
    scene.adaptive.end(two)
    assert not scene.look()
    assert scene.adaptive.begin(Job())


def test_a_limit_that_is_used_up_in_time_grows() -> None:
    scene = Scene()
    jobs = scene.begin(4)
    scene.clock.now += 0.1
    for job in jobs:
        job.begun_at = scene.clock.now
    for _ in range(8):
        scene.look()
    assert scene.limiter.max == 5
    assert (scene.decisions[0].old, scene.decisions[0].new, scene.decisions[0].cause) == (4, 5, "probe")
    assert scene.adaptive.store.read().samples == pytest.approx([0.1] * 4), "each is reported once"
    for job in jobs:
        scene.adaptive.end(job)
    scene.look()
    assert len(scene.adaptive.store.read().samples) == 4


def test_responses_that_are_awaited_for_long_lower_it() -> None:
    scene = Scene()
    scene.usual()
    served = scene.begin(2)
    scene.begin(2)
    scene.clock.now += 0.1
    for job in served:
        job.begun_at = scene.clock.now
    for _ in range(12):
        scene.look()
    assert scene.limiter.max == 2
    assert scene.decisions[0].cause == "late"
    assert (scene.decisions[0].sent, scene.decisions[0].begun, scene.decisions[0].overdue) == (4, 2, 2)


def test_one_that_is_very_late_counts_twice_and_its_beginning_no_more() -> None:
    scene = Scene()
    scene.usual()
    (job,) = scene.begin()
    scene.look()
    assert scene.adaptive.store.read().late == pytest.approx(1.0)
    scene.look(0.3)
    late = scene.adaptive.store.read().late
    assert late == pytest.approx(1.0 * math.exp(-0.3 / 5) + 1)
    job.begun_at = scene.clock.now
    scene.adaptive.end(job)
    scene.look()
    learned = scene.adaptive.store.read()
    assert learned.late < late
    assert max(learned.samples) == pytest.approx(0.1)


def test_very_late_at_once_counts_twice_too() -> None:
    scene = Scene()
    scene.usual()
    scene.begin()
    scene.look(5.0)
    assert scene.adaptive.store.read().late == pytest.approx(2.0)


def test_a_stream_that_waits_again_is_late_once_and_not_at_work() -> None:
    scene = Scene()
    scene.usual()
    jobs = scene.begin(4)
    for job in jobs:
        job.begun_at = scene.clock.now
    scene.look()
    jobs[0].silent = jobs[1].silent = True
    for _ in range(2):
        scene.look()
    assert scene.adaptive.store.read().late == pytest.approx(2.0 * math.exp(-LOOK_SECONDS / 5))
    for _ in range(8):
        scene.look()
    assert (scene.limiter.max, scene.decisions[-1].begun, scene.decisions[-1].overdue) == (2, 2, 2)
    jobs[0].silent = False
    scene.look()
    samples = len(scene.adaptive.store.read().samples)
    for job in jobs:
        scene.adaptive.end(job)
    scene.look()
    assert len(scene.adaptive.store.read().samples) == samples, "each was reported before"


def test_what_is_not_sent_is_not_at_the_upstream() -> None:
    scene = Scene()
    scene.usual()
    scene.adaptive.begin(Job())
    scene.look(9.0)
    assert scene.adaptive.store.read().late == 0.0


@pytest.mark.parametrize("seen", [True, False])
def test_errors_and_ends_that_are_ignored_teach_nothing(seen: bool) -> None:
    scene = Scene()
    error, gone, unsent = [*scene.begin(2), Job()]
    scene.adaptive.begin(unsent)
    error.served = False
    error.begun_at = scene.clock.now
    if seen:
        scene.look()
    gone.begun_at = scene.clock.now
    scene.adaptive.end(error)
    scene.adaptive.end(gone, ignored=True)
    scene.adaptive.end(unsent)
    before = scene.adaptive.store.read()
    scene.look()
    learned = scene.adaptive.store.read()
    assert (learned.samples, learned.timely, learned.late, learned.dropped) == ([], 0.0, 0.0, 0.0)
    assert learned.limit == before.limit


def test_drops_lower_it() -> None:
    scene = Scene()
    scene.clock.now += 2.0
    scene.begin(3)
    (job,) = scene.begin(1)
    scene.adaptive.end(job, dropped=True, ignored=True)
    scene.look()
    assert (scene.limiter.max, scene.decisions[0].cause) == (1, "dropped")


def test_what_another_process_has_decided_holds_here_too() -> None:
    store = MemoryLearnedStore()
    one, two = Scene(store), Scene(store)
    assert (one.limiter.max, two.limiter.max) == (4, 4)
    one.adaptive.configure(Bounds(4, 6, 8))
    assert (one.limiter.max, two.limiter.max) == (6, 4)
    two.look()
    assert (two.limiter.max, len(one.decisions), two.decisions) == (6, 1, [])


def test_one_that_is_retired_changes_nothing() -> None:
    scene = Scene()
    scene.begin(4)
    scene.limiter.resize(7)
    scene.adaptive.retire()
    assert not scene.look()
    assert scene.limiter.max == 7


def test_it_moves_with_what_it_has_learnt() -> None:
    scene = Scene()
    scene.usual()
    store = MemoryLearnedStore()
    scene.adaptive.move(store)
    scene.adaptive.move(store)
    assert scene.adaptive.store is store
    assert store.read().samples == pytest.approx([0.1] * 30)
    assert store.bound < 1.0
