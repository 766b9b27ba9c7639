"""A second release of one permit changes nothing: of two machines that live through the same, one is told all twice."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED, Machine

STEPS = 5_000


def limiter(clock: Clock) -> Machine:
    return Limiter(3, clock=clock)


def breaker(clock: Clock) -> Machine:
    return Breaker(3, 10.0, 2, clock=clock)


def shown(machine: Machine) -> tuple[object, ...]:
    """All that the machine shows of itself."""
    if isinstance(machine, Limiter):
        return machine.in_flight, machine.available, machine.hold, machine.peek_retry_after(), machine.store.arrived
    assert isinstance(machine, Breaker)
    return machine.state, machine.failures, machine.probes, machine.since, [*machine.outcomes], [*machine.moves]


@pytest.mark.covers("T017")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [limiter, breaker])
def test_a_second_release_changes_nothing(make: Callable[[Clock], Machine], seed: int) -> None:
    dice = random.Random(seed)
    clock = Clock()
    once, twice = make(clock), make(clock)
    running: list[int] = []
    released: list[int] = [REFUSED]
    repeated = 0
    for _ in range(STEPS):
        roll = dice.random()
        if roll < 0.4:
            permit = once.try_acquire()
            assert twice.try_acquire() == permit
            if permit != REFUSED:
                assert permit not in running
                assert permit not in released
                running.append(permit)
        elif roll < 0.7 and running:
            permit = running.pop(dice.randrange(len(running)))
            outcome, seconds = dice.choice(list(Outcome)), dice.random()
            once.release(permit, outcome, seconds)
            twice.release(permit, outcome, seconds)
            released.append(permit)
        elif roll < 0.9:
            twice.release(dice.choice(released[-10:]), dice.choice(list(Outcome)), dice.random())
            repeated += 1
        else:
            clock.now += dice.choice((0.1, 3.0, 11.0))
        assert shown(once) == shown(twice)
    assert repeated > STEPS / 10
    assert len(released) > STEPS / 10
