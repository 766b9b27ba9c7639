"""Reports of endpoints against a model: whatever they say, and whenever, the balancer keeps to what holds.

And limiters over one store: whatever each process bounds it to, the lowest bound that holds is the limit.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import pytest
from unit.groups import IGNORED, GroupScene

from gateway.policy.balance import LeastRequest, RoundRobin
from gateway.policy.capacity import ReportRules
from gateway.policy.group import Rules
from gateway.policy.limiter import Limiter
from gateway.policy.store import MemoryPermitStore

AGE = 10.0
TEXTS = ("0/1", "1/4", "4/4", "9/3", "0/2", "2/100", "drain", "Drain", "0/0", "-1/4", "4/-1", "many", "1/2000000", "")


@dataclass
class One:
    """An endpoint as the model has it."""

    running: int = 0
    total: int = 0
    others: int = 0
    drains: bool = False
    at: float = -1000.0
    drained: bool = False
    down: bool = False

    def hear(self, text: str, now: float) -> None:
        if text.lower() == "drain":
            self.total, self.drains, self.at = 0, True, now
        elif (found := re.fullmatch(r"(\d+)/(\d+)", text)) and 0 < int(found[2]) <= 1_000_000:
            self.total, self.drains, self.at = int(found[2]), False, now
            self.others = max(0, int(found[1]) - self.running)

    def holds(self, now: float) -> bool:
        return now - self.at < AGE

    def full(self, now: float) -> bool:
        return self.holds(now) and not self.drains and self.running + self.others >= self.total

    def leaves(self, now: float) -> bool:
        return self.holds(now) and self.drains


class Play:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        count = self.dice.randint(1, 4)
        scales = self.dice.random() < 0.5
        rules = Rules(reporting=ReportRules(AGE, scales=scales), panic=self.dice.choice([0.0, 0.5]))
        balance = LeastRequest(self.dice.random) if scales else RoundRobin()
        self.scene = GroupScene(count, rules, balance=balance)
        self.ones = [One() for _ in range(count)]
        self.running: list[tuple[int, float]] = []

    @property
    def now(self) -> float:
        return self.scene.clock.now

    def expected(self) -> list[int]:
        """Those that may be chosen: the best of what there is."""
        there = [at for at, one in enumerate(self.ones) if not one.drained]
        staying = [at for at in there if not self.ones[at].leaves(self.now)]
        well = [at for at in staying if not self.ones[at].down]
        lost = len(staying) - len(well)
        if lost and len(well) < self.scene.group.rules.panic * len(staying):
            well = staying
        well = well or [at for at in there if not self.ones[at].down]
        return [at for at in well if not self.ones[at].full(self.now)] or well

    def places(self) -> int:
        there = [one for one in self.ones if not one.drained and not one.leaves(self.now)]
        well = [one for one in there if not one.down]
        if len(well) < len(there) and len(well) < self.scene.group.rules.panic * len(there):
            well = there
        said = [one.total if one.holds(self.now) else 0 for one in well]
        return sum(said) if all(said) else 0

    def step(self) -> None:
        scene, dice, at = self.scene, self.dice, self.dice.randrange(len(self.ones))
        member, one = scene.members[at], self.ones[at]
        assert scene.group.capacity is not None
        match dice.randrange(6):
            case 0:
                text = dice.choice(TEXTS)
                scene.group.capacity.note(member, text.encode())
                one.hear(text, self.now)
            case 1:
                scene.clock.now += dice.choice([0.1, 3.0, 9.9, 10.0])
            case 2:
                one.drained = not one.drained
                settings = [(1, each.drained) for each in self.ones]
                after = scene.made(scene.group.rules, scene.group._balance)
                after.take_over(scene.group, settings, checks=True)
                scene.group = after
            case 3:
                one.down = not one.down
                why = "status 503" if one.down else ""
                for _ in range(3):
                    scene.group.check(member, why)
            case 4 if self.running:
                done, began = self.running.pop(dice.randrange(len(self.running)))
                scene.group.end(scene.members[done], began, IGNORED)
                self.ones[done].running -= 1
            case _:
                self.choose()
        # As the timer of the process does.
        assert scene.group.capacity is not None
        scene.group.capacity.age()
        assert scene.group.places() == self.places()

    def choose(self) -> None:
        scene, expected = self.scene, self.expected()
        assert scene.group.capacity is not None
        scene.group.capacity.age()
        chosen = scene.group.choose(b"")
        assert (chosen is None) == (not expected)
        if chosen is None:
            return
        at = scene.members.index(chosen)
        assert at in expected
        self.running.append((at, scene.group.begin(chosen)))
        self.ones[at].running += 1


@pytest.mark.parametrize("seed", range(60))
def test_reports_against_a_model(seed: int) -> None:
    play = Play(seed)
    for _ in range(400):
        play.step()


@pytest.mark.parametrize("seed", range(40))
def test_the_lowest_bound_of_all_processes_is_the_limit(seed: int) -> None:
    dice, store, wanted = random.Random(seed), MemoryPermitStore(), 10
    limiters = [Limiter(wanted, store=store) for _ in range(3)]
    bounds = [0, 0, 0]
    for _ in range(200):
        at = dice.randrange(3)
        if dice.random() < 0.1:
            wanted = dice.randint(1, 20)
            for limiter in limiters:
                limiter.resize(wanted)
        else:
            bounds[at] = dice.choice([0, 0, dice.randint(1, 12)])
            limiters[at].bound(bounds[at])
            lowest = min(each or wanted for each in bounds)
            assert store.limit <= wanted
            assert not bounds[at] or store.limit <= bounds[at]
            # Each says again what it says: from then on the lowest one holds, and nothing moves.
            for limiter, bound in zip(limiters, bounds, strict=True):
                limiter.bound(bound)
            assert store.limit <= min(lowest, wanted)
            before = store.limit
            for limiter, bound in zip(limiters, bounds, strict=True):
                limiter.bound(bound)
            assert store.limit == before
    for limiter in limiters:
        limiter.bound(0)
    assert store.limit == wanted, "where no bound holds, nothing is lowered"
