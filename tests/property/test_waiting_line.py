"""The line of those who wait against a plain model: a list that is searched for each question.

And the promises that the model does not state: no class starves, and no newcomer is predicted to wait behind more than
really go before him.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from gateway.policy.codel import Codel
from gateway.policy.waiting_line import MOST_PASSED, PRIORITIES, Rank, WaitingLine

STEPS = 4_000
SEEDS = 8
RULES = Codel(target=0.2, interval=1.0)


@dataclass(eq=False)
class Waiter:
    number: int
    rank: Rank
    since: float


class Model:
    """All waiters in the order of arrival, and the callers of each class in the order of their turns."""

    def __init__(self) -> None:
        self.all: list[Waiter] = []
        self.turns: list[list[object]] = [[] for _ in PRIORITIES]
        self.passed = [0] * len(PRIORITIES)
        self.long_since: list[float | None] = [None] * len(PRIORITIES)
        self.newest_first = [False] * len(PRIORITIES)

    def of(self, priority: int, *callers: object) -> list[Waiter]:
        mine = [one for one in self.all if one.rank.priority == priority]
        return [one for one in mine if one.rank.caller in callers] if callers else mine

    def observe(self, priority: int, age: float, now: float) -> None:
        if age < RULES.target:
            self.long_since[priority], self.newest_first[priority] = None, False
        elif self.long_since[priority] is None:
            self.long_since[priority] = now
        elif now - (self.long_since[priority] or 0.0) >= RULES.interval:
            self.newest_first[priority] = True

    def add(self, waiter: Waiter, now: float) -> None:
        priority, caller = waiter.rank
        if not self.of(priority):
            self.passed[priority] = 0
            self.observe(priority, 0.0, now)
        if not self.of(priority, caller):
            self.turns[priority].append(caller)
        self.all.append(waiter)

    def remove(self, waiter: Waiter) -> None:
        self.all.remove(waiter)
        priority, caller = waiter.rank
        if not self.of(priority, caller):
            self.turns[priority].remove(caller)

    def take(self, now: float) -> Waiter:
        there = [priority for priority in range(len(PRIORITIES)) if self.of(priority)]
        due = [priority for priority in there if self.passed[priority] >= MOST_PASSED]
        priority = max(due) if due else min(there)
        self.passed[priority] = 0
        for lower in range(priority + 1, len(PRIORITIES)):
            self.passed[lower] += 1
        self.observe(priority, now - self.of(priority)[0].since, now)
        caller = self.turns[priority][0]
        self.turns[priority].append(self.turns[priority].pop(0))
        waiter = self.of(priority, caller)[-1 if self.newest_first[priority] else 0]
        self.remove(waiter)
        return waiter

    def too_old(self, now: float) -> list[Waiter]:
        return [
            one
            for priority in range(len(PRIORITIES))
            for one in self.of(priority)
            if self.newest_first[priority] and now - one.since > RULES.interval
        ]

    def makes_way(self, rank: Rank) -> set[Waiter]:
        """Those of whom one has to."""
        for lower in range(len(PRIORITIES) - 1, rank.priority, -1):
            if len(self.of(lower)) > 1:
                return self._newest_of_the_longest(lower)
        sizes = self._sizes(rank.priority)
        longest = max(sizes.values(), default=0)
        return self._newest_of_the_longest(rank.priority) if longest > sizes[rank.caller] + 1 else set()

    def _sizes(self, priority: int) -> Counter[object]:
        return Counter(one.rank.caller for one in self.of(priority))

    def _newest_of_the_longest(self, priority: int) -> set[Waiter]:
        sizes = self._sizes(priority)
        return {self.of(priority, caller)[-1] for caller, size in sizes.items() if size == max(sizes.values())}


class Walk:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 100.0
        self.line: WaitingLine[Waiter] = WaitingLine(RULES)
        self.model = Model()
        self.count = 0
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        for step in range(STEPS):
            self.now += self.dice.choice((0.0, 0.01, 0.3))
            busy = (step // 500) % 2 == 0  # crowds, and times in which they are served
            more = 0.6 if busy else 0.3
            steps = (self.arrive, self.leave, self.make_way, self.take, self.drop)
            self.dice.choices(steps, (more, 0.05, 0.05, 0.4, 0.05))[0]()
            self.compare()

    def compare(self) -> None:
        model = self.model
        assert self.line.counts == tuple(len(model.of(priority)) for priority in range(len(PRIORITIES)))
        assert len(self.line) == len(model.all)
        assert self.line.newest_first == any(model.newest_first)

    def arrive(self) -> None:
        self.count += 1
        rank = Rank(self.dice.choice((0, 1, 1, 2)), self.dice.choice((b"a", b"a", b"a", b"b", b"c")))
        waiter = Waiter(self.count, rank, self.now)
        self.line.add(waiter, rank, self.now)
        self.model.add(waiter, self.now)
        self.seen["arrived"] += 1

    def leave(self) -> None:
        if self.model.all:
            waiter = self.dice.choice(self.model.all)
            self.model.remove(waiter)
            self.line.remove(waiter)
            self.seen["left"] += 1

    def make_way(self) -> None:
        rank = Rank(self.dice.randrange(3), self.dice.choice((b"a", b"b", b"d")))
        expected = self.model.makes_way(rank)
        assert self.line.yields_to(rank) is bool(expected)
        victim = self.line.displace(rank)
        if victim is None:
            assert not expected
            return
        assert victim in expected
        self.model.remove(victim)
        self.seen["made way"] += 1

    def take(self) -> None:
        if self.model.all:
            expected = self.model.take(self.now)
            assert self.line.take(self.now) is expected
            self.seen["taken"] += 1
            self.seen["newest"] += any(self.model.newest_first)

    def drop(self) -> None:
        expected = self.model.too_old(self.now)
        gone = []
        for waiter in self.line.too_old(self.now):
            self.line.remove(waiter)
            gone.append(waiter)
        assert gone == expected
        for waiter in gone:
            self.model.remove(waiter)
        self.seen["dropped"] += len(gone)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_it_is_the_model(seed: int) -> None:
    walk = Walk(seed)
    walk.run()
    assert all(walk.seen[what] > 50 for what in ("arrived", "left", "made way", "taken", "newest", "dropped")), (
        walk.seen
    )
    assert len(walk.line._lane_of) == len(walk.model.all), "nothing is remembered of those who are gone"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_class_starves(seed: int) -> None:
    """Whatever comes, of the classes in which someone waits each is served after at most eight of higher ones."""
    dice = random.Random(seed)
    line: WaitingLine[Waiter] = WaitingLine()
    passed = [0, 0, 0]
    for number in range(3_000):
        for _ in range(dice.randrange(3)):
            rank = Rank(dice.choices((0, 1, 2), (8, 4, 1))[0])
            line.add(Waiter(number, rank, 0.0), rank, 0.0)
        if not len(line):
            continue
        before = line.counts
        served = line.take(0.0).rank.priority
        for priority in range(3):
            if not before[priority] or priority == served:
                passed[priority] = 0
            elif priority > served:
                passed[priority] += 1
                assert passed[priority] <= MOST_PASSED


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_more_are_predicted_ahead_than_go_ahead(seed: int) -> None:
    """A wrong rejection is worse than a late one, so the estimate may be too low and never too high."""
    dice = random.Random(seed)
    for _ in range(300):
        line: WaitingLine[Waiter] = WaitingLine()
        for number in range(dice.randrange(40)):
            rank = Rank(dice.randrange(3), dice.randrange(4))
            line.add(Waiter(number, rank, 0.0), rank, 0.0)
        for _ in range(dice.randrange(1 + len(line))):
            line.take(0.0)
        rank = Rank(dice.randrange(3), dice.randrange(4))
        newcomer = Waiter(-1, rank, 0.0)
        predicted = line.ahead(rank)
        line.add(newcomer, rank, 0.0)
        ahead = 0
        while line.take(0.0) is not newcomer:
            ahead += 1
        assert predicted <= ahead


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_order_is_that_in_which_they_are_taken(seed: int, newest_first: bool) -> None:
    dice = random.Random(seed)
    for _ in range(100):
        line: WaitingLine[Waiter] = WaitingLine(Codel(0.1, 0.1) if newest_first else Codel())
        for number in range(dice.randrange(1, 60)):
            rank = Rank(dice.choices((0, 1, 2), (4, 2, 1))[0], dice.randrange(4))
            line.add(Waiter(number, rank, 0.0), rank, 0.0)
        now = 10.0
        for lane in line.lanes if newest_first else ():
            lane.switch.observe(lane.oldest(5.0), 5.0)  # long for an interval, so that the order is turned from here on
            lane.switch.observe(lane.oldest(now), now)
        for _ in range(dice.randrange(1 + len(line))):
            line.take(now)
        order = list(line.order())
        assert order == list(line.order()), "it changes nothing"
        assert order == [line.take(now) for _ in range(len(line))]
