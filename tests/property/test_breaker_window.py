"""The rules of a breaker about shares and callers against a model that keeps a list of all that happened; over the
memory of one process, and over the page with several processes in it.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.page.page import Page, create, doorbells
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import MemoryBreakerStore, State
from gateway.policy.machine import REFUSED
from gateway.policy.window import BUCKETS, Sample, Tally, width_of

STEPS = 4_000
RECOVERY = 3.0
STEP_TIMES = (*[0.0, 0.015625, 0.25, 1.0] * 4, 2.5, 40.0)
"""Whole microseconds, and exact as floats: the model divides them otherwise than the window does."""
WIDTH = width_of(10.0)
GOOD = Sample(5.0, failed=False, slow=False)


@dataclass(frozen=True)
class Event:
    at: float
    failed: bool
    slow: bool
    caller: bytes


@dataclass
class Model:
    """All attempts since the circuit closed, in a list; what a window holds is looked up in it."""

    rules: Rules
    threshold: int
    clock: Clock
    state: State = State.CLOSED
    since: float = 0.0
    era: int = 0
    happened: list[Event] = field(default_factory=list)

    def enter(self, state: State) -> None:
        self.state, self.since, self.era = state, self.clock.now, self.era + 1
        self.happened.clear()

    def lately(self) -> list[Event]:
        """A bucket is a tenth of the window, and the newest ten are counted."""
        width = self.rules.window / BUCKETS
        newest = int(self.clock.now / width)
        return [event for event in self.happened if int(event.at / width) > newest - BUCKETS]

    def run(self) -> list[Event]:
        after = max((index for index, event in enumerate(self.happened) if not event.failed), default=-1)
        return self.happened[after + 1 :]

    def tally(self) -> Tally:
        window, told_apart = self.rules.width > 0, self.rules.distinct_callers > 1
        lately = self.lately() if window else []
        failed, slow = [event for event in lately if event.failed], [event for event in lately if event.slow]
        callers = [len({event.caller for event in events}) for events in (self.run(), failed, slow)]
        return Tally(len(self.run()), len(lately), len(failed), len(slow), *callers if told_apart else ())

    def ask(self) -> bool:
        if self.state is State.OPEN and self.clock.now - self.since >= RECOVERY:
            self.enter(State.HALF_OPEN)
        return self.state is not State.OPEN

    def tell(self, outcome: Outcome, seconds: float, caller: bytes) -> None:
        slow = self.rules.slow_rate > 0 and seconds > self.rules.slow_call
        if outcome is Outcome.IGNORED:
            return
        if self.state is State.HALF_OPEN:
            self.enter(State.OPEN if slow or outcome is Outcome.FAILURE else State.CLOSED)
            return
        self.happened.append(Event(self.clock.now, outcome is Outcome.FAILURE, slow, caller))
        if self.opens(self.tally()):
            self.enter(State.OPEN)

    def opens(self, now: Tally) -> bool:
        rules, needed = self.rules, self.rules.distinct_callers if self.rules.distinct_callers > 1 else 0
        if self.threshold and now.run >= self.threshold and now.run_callers >= needed:
            return True
        if not now.total or now.total < rules.minimum_requests:
            return False
        by_failures = 0 < rules.failure_rate <= now.failed / now.total and now.failed_callers >= needed
        by_slowness = 0 < rules.slow_rate <= now.slow / now.total and now.slow_callers >= needed
        return by_failures or by_slowness


def rules_of(dice: random.Random) -> tuple[Rules, int]:
    """Rules, at least one of them on, and a threshold."""
    slow_rate = dice.choice((0.0, 0.3, 0.5))
    failure_rate = dice.choice((0.0, 0.1, 0.3) if slow_rate else (0.1, 0.3))
    callers = dice.choice((0, 1, 2, 3))
    rules = Rules(failure_rate, 1.0, slow_rate, dice.choice((5.0, 10.0, 40.0)), dice.choice((1, 4, 12)), callers)
    return rules, dice.choice((0, 3, 8))


@contextmanager
def breakers_of(kind: str, clock: Clock, rules: Rules, threshold: int) -> Iterator[list[Breaker]]:
    if kind == "memory":
        yield [Breaker(threshold, RECOVERY, rules=rules, clock=clock, store=MemoryBreakerStore())]
        return
    with page_stage() as stage:
        stores = [page.breaker("ai", "http://h") for page in stage.pages]
        yield [Breaker(threshold, RECOVERY, rules=rules, clock=clock, store=store) for store in stores]
        stores[0].slab.check()


@pytest.mark.covers("FR-014")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["memory", "page"])
def test_it_behaves_like_the_model(kind: str, seed: int) -> None:
    dice = random.Random(seed)
    rules, threshold = rules_of(dice)
    clock, met = Clock(0.0), Counter[State]()
    model = Model(rules, threshold, clock)
    health = dice.choice((0.3, 0.7))
    with breakers_of(kind, clock, rules, threshold) as breakers:
        running: list[tuple[Breaker, int, int]] = []
        for _ in range(STEPS):
            roll, breaker = dice.random(), dice.choice(breakers)
            if roll < 0.4:
                probing = any(era == model.era for *_, era in running) and model.state is State.HALF_OPEN
                permit = breaker.try_acquire()
                assert (permit != REFUSED) is (model.ask() and not probing)
                if permit != REFUSED:
                    running.append((breaker, permit, model.era))
            elif roll < 0.8 and running:
                breaker, permit, era = running.pop(dice.randrange(len(running)))
                outcome = Outcome.SUCCESS if dice.random() < health else dice.choice(list(Outcome))
                seconds, caller = dice.choice((0.0, 0.5, 1.0, 1.5)), b"%d" % dice.randrange(4)
                named = caller if breaker.wants_caller(outcome, seconds) else b""
                breaker.release(permit, outcome, seconds, caller=named)
                if era == model.era:
                    model.tell(outcome, seconds, caller)
            elif roll < 0.995:
                clock.now += dice.choice(STEP_TIMES)
            else:
                breaker.reset()
                model.enter(State.CLOSED)
            met[model.state] += 1
            assert breaker.state is model.state
            if model.state is State.CLOSED:
                assert breaker.tally == model.tally()
    assert all(met[state] for state in State), f"the walk saw too little: {met}"


@pytest.mark.parametrize("seed", range(5))
def test_it_goes_on_while_it_moves_between_memory_and_page(seed: int) -> None:
    dice = random.Random(seed)
    rules, clock = Rules(0.5, 1.0, 0.5, 10.0, 20, 3), Clock(0.0)
    moving, staying = [Breaker(0, RECOVERY, rules=rules, clock=clock) for _ in range(2)]
    met = Counter[State]()
    with page_stage(1) as stage:
        shared = stage.pages[0].breaker("ai", "http://h")
        for _ in range(STEPS):
            roll = dice.random()
            if roll < 0.9:
                permits = [breaker.try_acquire() for breaker in (moving, staying)]
                outcome, seconds = dice.choice([*Outcome, Outcome.SUCCESS]), dice.choice((0.0, 0.5, 1.5))
                caller = b"%d" % dice.randrange(5) if staying.wants_caller(outcome, seconds) else b""
                for breaker, permit in zip((moving, staying), permits, strict=True):
                    breaker.release(permit, outcome, seconds, caller=caller)
            elif roll < 0.97:
                clock.now += dice.choice(STEP_TIMES)
            else:
                moving.move(shared if moving.store is not shared else MemoryBreakerStore())
            met[staying.state] += 1
            assert (moving.state, moving.tally) == (staying.state, staying.tally)
            figures = [[move.figures for move in breaker.moves][-9:] for breaker in (moving, staying)]
            assert figures[0] == figures[1]
    assert met[State.OPEN] > 10


PROCESSES, EACH = 3, 3_000


def test_processes_that_count_at_once_lose_nothing() -> None:
    descriptor, bells = create(), doorbells(PROCESSES + 1)
    begin, go = os.pipe()

    def run(slot: int) -> None:
        store = Page(descriptor, slot, bells).breaker("ai", "http://h")
        os.read(begin, 1)
        for number in range(EACH):
            kind = number % 3
            sample = Sample(5.0, failed=kind == 0, slow=kind == 1, caller=slot + 1 if kind < 2 else 0)
            assert store.count(store.word, WIDTH, sample) is not None

    store = Page(descriptor, PROCESSES, bells).breaker("ai", "http://h")
    store.begin(5.0)
    children = []
    for slot in range(PROCESSES):
        child = os.fork()
        if not child:
            failed = 1
            try:
                run(slot)
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    os.write(go, b"x" * PROCESSES)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * PROCESSES
    store.count(store.word, WIDTH, GOOD)
    of_each = EACH * PROCESSES // 3
    assert store.tally(5.0) == Tally(0, EACH * PROCESSES + 1, of_each, of_each, 0, PROCESSES, PROCESSES)
    for end in (descriptor, *bells, begin, go):
        os.close(end)
