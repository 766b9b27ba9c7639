"""What is counted stays right over new configurations, and a slow start grows evenly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.groups import GroupScene
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.balance import Balance, LeastRequest, Random, RingHash, RoundRobin
from gateway.policy.ejection import EjectionRules, Standing
from gateway.policy.group import COLD, Condition, Group, Rules
from gateway.policy.member import EJECTED, PROBATION, UNHEALTHY, Member

STEPS = 5_000
QUICK = EjectionRules(1, base_time=2.0, max_time=6.0)
RULES = [Rules(), Rules(QUICK), Rules(QUICK, max_share=1.0), Rules(QUICK, shadow=True), Rules(QUICK, panic=0.0)]


def any_balance(dice: random.Random, conditions: list[Condition]) -> Balance:
    members = [each.member for each in conditions]
    ring = RingHash(members, [1] * len(members), dice.random, dice.choice([0.0, 1.25]))
    return dice.choice([LeastRequest(dice.random), RoundRobin(), Random(dice.random), ring])


@pytest.mark.parametrize("seed", range(6))
def test_in_flight_returns_to_zero_over_new_configurations(seed: int) -> None:
    dice = random.Random(seed)
    scene = GroupScene(3, RULES[1])
    checked, conditions = True, scene.conditions
    everyone = [*scene.members]
    running: list[tuple[Group, Member, float]] = []
    reloads = 0
    for number in range(STEPS):
        roll = dice.random()
        if roll < 0.45:
            member = scene.group.choose(b"%d" % dice.randrange(50))
            if member is not None:
                running.append((scene.group, member, scene.group.begin(member)))
        elif roll < 0.9 and running:
            group, member, began = running.pop(dice.randrange(len(running)))
            group.end(member, began, dice.choice(list(Outcome)))
        elif roll < 0.95:
            scene.clock.now += dice.random() * 2
        elif checked and roll < 0.97:
            scene.group.check(dice.choice(conditions).member, dice.choice(["", "broken"]))
        elif roll < 0.99:
            reloads += 1
            kept = [each for each in conditions if dice.random() < 0.7]
            new = [Condition(Member(f"{number} {each}")) for each in range(dice.randint(not kept, 2))]
            everyone += [each.member for each in new]
            conditions, checked, before = [*kept, *new], dice.random() < 0.5, scene.group
            scene.group = scene.made(dice.choice(RULES), any_balance(dice, conditions), conditions)
            settings = [(dice.randint(1, 3), dice.random() < 0.1) for _ in conditions]
            scene.group.take_over(before, settings, checks=checked)
        consistent(scene.group, conditions, checked=checked)
        for member in everyone[-10:]:
            assert member.in_flight == sum(1 for _, each, _ in running if each is member)
    for group, member, began in running:
        group.end(member, began, dice.choice(list(Outcome)))
    assert [member.in_flight for member in everyone] == [0] * len(everyone)
    assert reloads > 30


def consistent(group: Group, conditions: list[Condition], *, checked: bool) -> None:
    """Nothing keeps requests from an endpoint that no machine would end."""
    enforced = group.rules.ejection is not None and not group.rules.shadow
    for condition in conditions:
        out, standing = condition.member.out, condition.ejection.state
        assert checked or not out & UNHEALTHY
        assert bool(out & EJECTED) is (enforced and standing is Standing.EJECTED)
        assert bool(out & PROBATION) is (enforced and standing is Standing.PROBATION)


@given(st.integers(1, 10), st.integers(1, 10), st.floats(0.0, 1.5), st.floats(1.0, 100.0))
def test_a_slow_start_grows_evenly(weight: int, other: int, share: float, seconds: float) -> None:
    scene = GroupScene(2, Rules(slow_start=seconds), clock=Clock(1.0), settings=[(weight, False), (other, False)])
    a = scene.members[0]
    a.warm_from = 1.0
    scene.clock.now = 1.0 + share * seconds
    now = weight * min(1.0, max(COLD, share))
    count = [scene.group.choose(b"") for _ in range(200)].count(a)
    assert abs(count - 200 * now / (now + other)) <= 2.0
