"""The breaker against a model that is written apart from it: 100,000 random steps, with late results, second releases
and resets.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.circuit import Circuit
from gateway.policy.machine import REFUSED

STEPS = 20_000
RECOVERY = 10.0


@dataclass(eq=False)
class Era:
    """The time between two changes. It has no number: a call belongs to the very era that it began in."""

    state: State
    began: float
    streak: int = 0
    probes: set[object] = field(default_factory=set)


class Model:
    """What the text of the breaker says, with nothing clever in it."""

    def __init__(self, threshold: int, probes: int, recovery: float = RECOVERY) -> None:
        self.recovery = recovery
        self.threshold = threshold
        self.probes = probes
        self.era = Era(State.CLOSED, 0.0)

    def ask(self, now: float, call: object) -> Era | None:
        if self.era.state is State.OPEN and now >= self.era.began + self.recovery:
            self.era = Era(State.HALF_OPEN, now, self.era.streak)
        if self.era.state is State.OPEN:
            return None
        if self.era.state is State.HALF_OPEN:
            if len(self.era.probes) == self.probes:
                return None
            self.era.probes.add(call)
        return self.era

    def tell(self, now: float, call: object, began_in: Era, outcome: Outcome) -> None:
        era = self.era
        if began_in is not era:
            return
        era.probes.discard(call)
        if outcome is Outcome.FAILURE:
            era.streak += 1
            if era.state is State.HALF_OPEN or era.streak >= self.threshold:
                self.era = Era(State.OPEN, now, era.streak)
        elif outcome is Outcome.SUCCESS:
            era.streak = 0
            if era.state is State.HALF_OPEN:
                self.era = Era(State.CLOSED, now)

    def reset(self, now: float) -> None:
        self.era = Era(State.CLOSED, now)


@pytest.mark.covers("T029", "T056")
@pytest.mark.parametrize("seed", range(5))
def test_it_behaves_like_the_model(seed: int) -> None:
    dice = random.Random(seed)
    threshold, probes = dice.randint(1, 4), dice.randint(1, 3)
    clock, met = Clock(0.0), Counter[State]()
    changes: list[tuple[State, State]] = []
    breaker = Breaker(threshold, RECOVERY, probes, clock=clock)
    circuit = Circuit(breaker, lambda old, new, _: changes.append((old, new)))
    breaker.on_change = circuit.publish
    model = Model(threshold, probes)
    running: list[tuple[object, int, Era]] = []
    released: list[int] = [REFUSED]
    for _ in range(STEPS):
        before = breaker.state
        changes.clear()
        roll = dice.random()
        if roll < 0.45:
            call = object()
            permit, era = breaker.try_acquire(), model.ask(clock.now, call)
            assert (permit == REFUSED) is (era is None)
            if era is not None:
                running.append((call, permit, era))
        elif roll < 0.85 and running:
            call, permit, era = running.pop(dice.randrange(len(running)))
            outcome = dice.choice(list(Outcome))
            breaker.release(permit, outcome)
            released.append(permit)
            model.tell(clock.now, call, era, outcome)
        elif roll < 0.9:
            breaker.release(dice.choice(released[-20:]), dice.choice(list(Outcome)))
        elif roll < 0.995:
            clock.now += dice.choice((0.125, 1.0, 5.0, 11.0))
        else:
            breaker.reset()
            model.reset(clock.now)
        met[breaker.state] += 1
        assert breaker.state is model.era.state
        assert circuit.pybreaker.current_state == breaker.state.word
        assert breaker.failures == model.era.streak
        assert changes == ([(before, breaker.state)] if breaker.state is not before else [])
        if breaker.state is State.CLOSED:
            assert breaker.failures < threshold
        left = RECOVERY - (clock.now - model.era.began) if breaker.state is State.OPEN else 0.0
        assert breaker.retry_after() == next(seconds for seconds in range(1, 99) if seconds >= left)
    assert all(met[state] > STEPS / 50 for state in State), f"the walk saw too little: {met}"
