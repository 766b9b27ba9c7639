"""A group of endpoints against a model that is written apart from it: 60,000 random steps of attempts that end late, of
checks, drains, new configurations, and of endpoints that are broken for a while.

The clock moves by whole slices of the window, so that the model may keep each attempt with its time.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from unit.groups import FAILURE, IGNORED, SUCCESS, GroupScene
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.balance import LeastRequest
from gateway.policy.ejection import TRANSITIONS, EjectionRules, Event, Standing
from gateway.policy.group import Rules
from gateway.policy.member import DRAINED, EJECTED, LOST, PROBATION, UNHEALTHY, Member

STEPS = 15_000
RULES = EjectionRules(3, 0.5, window=10.0, minimum_requests=6, base_time=4.0, max_time=14.0)


@dataclass(eq=False)
class One:
    """An endpoint of the model."""

    drained: bool = False
    down: bool = False
    state: Standing = Standing.ACTIVE
    since: float = 0.0
    until: float = 0.0
    steps: int = 0
    outcomes: list[tuple[float, bool]] = field(default_factory=list)
    """When each attempt of this state ended, and whether it failed."""
    trials: set[object] = field(default_factory=set)
    """What began in the present probation and has not ended."""

    @property
    def lost(self) -> bool:
        return self.down or self.state is Standing.EJECTED


class Model:
    """What the texts of the group and of the ejection say, with nothing clever in it."""

    def __init__(self, count: int, share: float, panic: float) -> None:
        self.ones = [One() for _ in range(count)]
        self.share = share
        self.panic = panic
        self.met = Counter[tuple[Standing, Event]]()
        self.held_back = 0
        self.times: list[float] = []

    def enter(self, one: One, event: Event, state: Standing, now: float) -> None:
        self.met[one.state, event] += 1
        one.state, one.since = state, now
        one.outcomes, one.trials = [], set()

    def allowed(self, now: float) -> list[One]:
        for one in self.ones:
            if one.state is Standing.EJECTED and now >= one.until:
                self.enter(one, Event.EXPIRED, Standing.PROBATION, now)
        there = [one for one in self.ones if not one.drained]
        well = [one for one in there if not one.lost]
        if len(well) < len(there) and len(well) < self.panic * len(there):
            return there
        return [one for one in well if one.state is not Standing.PROBATION or not one.trials] or well

    def end(self, one: One, call: object, began: float, now: float, outcome: Outcome) -> None:
        if began < one.since:
            return
        one.trials.discard(call)
        if outcome is IGNORED or one.state is Standing.EJECTED:
            return
        failed = outcome is FAILURE
        one.outcomes.append((now, failed))
        if one.state is Standing.PROBATION:
            if failed:
                self.eject(one, Event.FAILED_AGAIN, now)
            else:
                self.enter(one, Event.PROVED, Standing.ACTIVE, now)
            return
        in_a_row = [failed for _, failed in one.outcomes[-RULES.consecutive_failures :]]
        recent = [failed for at, failed in one.outcomes if at > now - RULES.window]
        often = len(recent) >= RULES.minimum_requests and sum(recent) >= RULES.failure_rate * len(recent)
        if (len(in_a_row) == RULES.consecutive_failures and all(in_a_row)) or often:
            self.eject(one, Event.FAILED_OFTEN, now)

    def eject(self, one: One, event: Event, now: float) -> None:
        away = sum(other.state is Standing.EJECTED for other in self.ones if other is not one)
        if len(self.ones) == 1:
            return
        if away > 0 and away + 1 > self.share * len(self.ones):
            self.held_back += 1
            return
        if event is Event.FAILED_OFTEN:
            one.steps = max(0, one.steps - int((now - one.since) / RULES.base_time))
        one.steps = min(one.steps + 1, math.ceil(RULES.max_time / RULES.base_time))
        self.enter(one, event, Standing.EJECTED, now)
        one.until = now + min(RULES.max_time, RULES.base_time * one.steps)
        self.times.append(one.until - now)


class Walk:
    """The group and the model, side by side."""

    def __init__(self, seed: int, count: int, share: float, panic: float) -> None:
        self.dice = random.Random(seed)
        rules = Rules(RULES, max_share=share, panic=panic, slow_start=3.0, healthy_after=1, unhealthy_after=1)
        self.scene = GroupScene(count, rules, clock=Clock(100.0), balance=LeastRequest(self.dice.random))
        self.model = Model(count, share, panic)
        self.of = dict(zip(self.scene.members, self.model.ones, strict=True))
        self.running: list[tuple[Member, float]] = []
        self.calls: list[object] = []
        self.broken = dict.fromkeys(self.scene.members, 0.1)
        self.most_away = 0
        self.held_back = 0
        self.panics = 0

    def step(self) -> None:
        roll = self.dice.random()
        if roll < 0.44:
            self.choose()
        elif roll < 0.87 and self.running:
            self.end(self.dice.randrange(len(self.running)))
        elif roll < 0.95:
            self.scene.clock.now += self.dice.choice((1.0, 1.0, 2.0, 5.0))
        elif roll < 0.98:
            self.broken[self.dice.choice(self.scene.members)] = self.dice.choice((0.0, 0.1, 0.4, 1.0))
        elif roll < 0.99:
            member = self.dice.choice(self.scene.members)
            good = self.dice.random() < 0.6
            self.scene.group.check(member, "" if good else "broken")
            self.of[member].down = not good
        elif roll < 0.995:
            self.reload()

    def choose(self) -> None:
        now = self.scene.clock.now
        allowed = self.model.allowed(now)
        member = self.scene.group.choose(b"", [self.dice.choice(self.scene.members)])
        assert (member is None) is (not allowed)
        if member is None:
            return
        one = self.of[member]
        assert one in allowed
        assert not member.out & DRAINED
        if member.out & LOST:
            assert self.scene.group.panicking
            self.panics += 1
        call = object()
        if one.state is Standing.PROBATION:
            one.trials.add(call)
        self.running.append((member, self.scene.group.begin(member)))
        self.calls.append(call)

    def end(self, at: int) -> None:
        (member, began), call = self.running.pop(at), self.calls.pop(at)
        roll = self.dice.random()
        outcome = IGNORED if roll > 0.95 else FAILURE if roll < self.broken[member] else SUCCESS
        self.scene.group.end(member, began, outcome)
        self.model.end(self.of[member], call, began, self.scene.clock.now, outcome)

    def reload(self) -> None:
        """A new configuration drains others; attempts that run end at the group that serves then."""
        for one in self.model.ones:
            one.drained = self.dice.random() < 0.2
        if len(self.model.ones) == 1:  # it is judged anew, to no effect
            self.model.ones[0].outcomes = []
        settings = [(self.dice.randint(1, 3), one.drained) for one in self.model.ones]
        old = self.scene.group
        self.held_back += old.held_back
        self.scene.group = self.scene.made(old.rules, LeastRequest(self.dice.random))
        self.scene.group.take_over(old, settings, checks=True)

    def compare(self) -> None:
        for condition, one in zip(self.scene.conditions, self.model.ones, strict=True):
            ejection, member = condition.ejection, condition.member
            assert (ejection.state, ejection.since, ejection.steps) == (one.state, one.since, one.steps)
            assert ejection.until == (one.until if one.state is Standing.EJECTED else 0.0)
            flags = {DRAINED: one.drained, UNHEALTHY: one.down}
            flags |= {EJECTED: one.state is Standing.EJECTED, PROBATION: one.state is Standing.PROBATION}
            assert member.out == sum(flag for flag, on in flags.items() if on)
        assert self.held_back + self.scene.group.held_back == self.model.held_back
        away = sum(one.state is Standing.EJECTED for one in self.model.ones)
        assert away <= max(1.0, self.model.share * len(self.model.ones))
        self.most_away = max(self.most_away, away)


@pytest.mark.parametrize(("seed", "count", "share", "panic"), [(1, 4, 0.5, 0.5), (2, 5, 0.5, 0.0), (3, 3, 1.0, 0.4)])
def test_it_behaves_like_the_model(seed: int, count: int, share: float, panic: float) -> None:
    walk = Walk(seed, count, share, panic)
    for _ in range(STEPS):
        walk.step()
        walk.compare()
    cells = {(state, event) for state, row in TRANSITIONS.items() for event in row}
    assert walk.model.met.keys() == cells, "the walk saw too little"
    assert min(walk.model.met.values()) > 20
    assert walk.most_away == 2
    assert {*walk.model.times} == {4.0, 8.0, 12.0, 14.0}
    shorter = sum(later < earlier for earlier, later in zip(walk.model.times, walk.model.times[1:], strict=False))
    assert shorter > 10, "the time has to step back too"
    assert (walk.panics > 0) is (panic > 0.0)


def test_a_lone_endpoint_is_never_ejected() -> None:
    walk = Walk(4, 1, 1.0, 0.5)
    for _ in range(STEPS):
        walk.step()
        walk.compare()
    assert (walk.model.times, walk.model.held_back) == ([], 0)
    assert any(each.failures for each in walk.scene.members)
    assert {cause for _, cause, _ in walk.scene.changes} == {"down", "up"}


@pytest.mark.parametrize("seed", range(5))
def test_one_that_comes_back_and_still_fails_costs_one_request(seed: int) -> None:
    dice = random.Random(seed)
    scene = GroupScene(3, Rules(RULES), clock=Clock(100.0), balance=LeastRequest(dice.random))
    broken = scene.members[0]
    running: list[tuple[Member, float]] = []
    costs: list[int] = []
    while len(costs) < 20:
        scene.clock.now += 0.05
        member = scene.group.choose(b"")
        assert member is not None
        if scene.changes and scene.changes[-1][1] == "probation" and len(costs) < len(scene.changes) // 2:
            costs.append(0)
        costs[-1:] = [each + (member is broken) for each in costs[-1:]]
        running.append((member, scene.group.begin(member)))
        while len(running) > 8:
            ended, began = running.pop(dice.randrange(len(running)))
            scene.group.end(ended, began, FAILURE if ended is broken else SUCCESS)
    assert costs[:-1] == [1] * 19


@pytest.mark.parametrize("seed", range(20))
def test_what_began_before_the_present_state_changes_nothing(seed: int) -> None:
    dice = random.Random(seed)
    scene = GroupScene(3, Rules(RULES))
    a = scene.members[0]
    old = [scene.group.begin(a) for _ in range(20)]
    scene.clock.now += 1.0
    scene.fail(a, RULES.consecutive_failures)
    for goal in (Standing.EJECTED, Standing.PROBATION, Standing.ACTIVE):
        if goal is Standing.PROBATION:
            scene.clock.now += 4.0
            scene.chosen()
        elif goal is Standing.ACTIVE:
            scene.attempt(a, SUCCESS, 1.0)
        shown = scene.conditions[0].ejection
        before = (shown.state, shown.since, shown.until, shown.failures, shown.steps, a.out, len(scene.changes))
        assert shown.state is goal
        for began in old[:6]:
            scene.group.end(a, began, dice.choice(list(Outcome)))
        del old[:6]
        assert before == (
            shown.state, shown.since, shown.until, shown.failures, shown.steps, a.out, len(scene.changes),
        )  # fmt: skip
