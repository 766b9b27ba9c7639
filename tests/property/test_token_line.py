"""Lines for tokens against one queue in front of exact buckets, in fractions; over several processes too."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import pytest
from property.test_rate import ExactBucket
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.policy.rate import Buckets, RateLimit, RateLimits, Reservation
from gateway.policy.rate_store import MemoryRateStore, RateStore, slots_for
from gateway.policy.token_line import TokenLine

STEPS = 1_000
KEY = 7
FAR = 1e12
Numbers = Sequence[tuple[float, int]]
"""The rate in a second and the burst of each limit: powers of two, with which floats are exact."""


def numbers_of(dice: random.Random) -> Numbers:
    return [(2.0 ** dice.randrange(-2, 2), dice.randrange(1, 6)) for _ in range(dice.randrange(1, 3))]


def machine_of(numbers: Numbers, clock: Clock, stores: Sequence[RateStore]) -> RateLimits:
    limits = [
        RateLimit(str(at), rate, 1.0, burst, Buckets(str(at), store), owes=True)
        for at, ((rate, burst), store) in enumerate(zip(numbers, stores, strict=True))
    ]
    return RateLimits(limits, 1, clock)


class Queue:
    """The model: one queue for all processes, whose first one is served once all buckets have a token."""

    def __init__(self, numbers: Numbers) -> None:
        self.buckets = [ExactBucket(Fraction(rate), burst) for rate, burst in numbers]
        self.waiting: list[int] = []

    def time(self, now: float, ahead: int) -> Fraction:
        """When one is served before whom so many wait."""
        at = Fraction(now)
        copies = [ExactBucket(each.rate, each.burst) for each in self.buckets]
        for copy, bucket in zip(copies, self.buckets, strict=True):
            copy.tokens, copy.at = bucket.tokens, bucket.at
        for _ in range(ahead + 1):
            for copy in copies:
                copy.has(1, at)
            at += max([Fraction(0), *((1 - copy.tokens) / copy.rate for copy in copies)])
            self._take(copies, at)
        return at

    def take(self, now: float) -> bool:
        """For one who does not wait."""
        admitted = not self.waiting and all(bucket.has(1, Fraction(now)) for bucket in self.buckets)
        if admitted:
            self._take(self.buckets, Fraction(now))
        return admitted

    def serve(self, now: float) -> int:
        assert self.time(now, 0) == Fraction(now), "not before its time, and not after it"
        self._take(self.buckets, Fraction(now))
        return self.waiting.pop(0)

    def give_back(self) -> None:
        for bucket in self.buckets:
            bucket.tokens += 1

    @staticmethod
    def _take(buckets: Sequence[ExactBucket], at: Fraction) -> None:
        for bucket in buckets:
            assert bucket.has(1, at)
            bucket.tokens -= 1


@contextmanager
def processes(numbers: Numbers, clock: Clock) -> Iterator[list[RateLimits]]:
    with page_stage() as stage:
        names = [str(at) for at in range(len(numbers))]
        yield [machine_of(numbers, clock, [page.rates(name, slots_for(1)) for name in names]) for page in stage.pages]


def advance(clock: Clock, seconds: float, lines: Sequence[TokenLine[int]]) -> Iterator[tuple[int, Reservation]]:
    """All that are due until then, each at its moment."""
    until = clock.now + seconds
    while True:
        due = [at for line in lines if (at := line.next_at) is not None and at <= until]
        if not due:
            break
        clock.now = max(clock.now, min(due))
        for line in lines:
            yield from line.due()
    clock.now = until


@pytest.mark.covers("ACT-41")
@pytest.mark.parametrize("seed", range(12))
def test_lines_of_several_processes_are_one_queue(seed: int) -> None:
    """As many tokens as waiters: who comes first is served first, whatever process it is in, and none asks twice."""
    dice, clock = random.Random(seed), Clock()
    numbers = numbers_of(dice)
    served = refused = late = 0
    with processes(numbers, clock) as machines:
        lines: list[TokenLine[int]] = [TokenLine(machine, [KEY] * len(numbers)) for machine in machines]
        model = Queue(numbers)
        for step in range(STEPS):
            for waiter, token in advance(clock, dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)), lines):
                assert (model.serve(clock.now), token.at) == (waiter, clock.now)
                served += 1
            at = dice.randrange(len(lines))
            if dice.random() < 0.3:
                admitted = machines[at].try_take([KEY] * len(numbers)) is None
                assert admitted == model.take(clock.now)
                refused += not admitted
                continue
            due, patience = model.time(clock.now, len(model.waiting)), dice.choice((0.0, 1.0, 8.0, 64.0))
            joined = lines[at].join(step, clock.now + patience)
            assert joined == (due <= clock.now + patience)
            late += not joined
            if joined:
                model.waiting.append(step)
        assert min(served, refused, late) > 3, "all happen"
        for waiter, _ in advance(clock, 1e6, lines):
            assert model.serve(clock.now) == waiter
        assert (model.waiting, [len(line) for line in lines]) == ([], [0] * len(lines))


@pytest.mark.parametrize("seed", range(12))
def test_those_who_leave_cost_the_others_nothing(seed: int) -> None:
    """One process: as if those who leave, and those who do not use their token, had never come."""
    dice, clock = random.Random(seed), Clock()
    numbers = numbers_of(dice)
    machine = machine_of(numbers, clock, [MemoryRateStore(slots_for(1)) for _ in numbers])
    line: TokenLine[int] = TokenLine(machine, [KEY] * len(numbers))
    model, served, unused, left = Queue(numbers), 0, 0, 0
    for step in range(STEPS):
        for waiter, token in advance(clock, dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)), [line]):
            assert model.serve(clock.now) == waiter
            served += 1
            if dice.random() < 0.4:
                line.give_back(token)
                model.give_back()
                unused += 1
        if model.waiting and dice.random() < 0.4:
            leaving = dice.choice(model.waiting)
            line.leave(leaving)
            model.waiting.remove(leaving)
            left += 1
        elif line.join(step, clock.now + 64.0):
            model.waiting.append(step)
    assert min(served, unused, left) > 3, "all happen"
    line.leave(-1)  # who does not wait
    for waiter, _ in advance(clock, 1e6, [line]):
        assert model.serve(clock.now) == waiter
    assert (model.waiting, len(line)) == ([], 0)


@pytest.mark.parametrize("seed", range(12))
def test_many_leave_and_no_more_is_used_than_there_is(seed: int) -> None:
    """Several processes, in which many leave: each is served in its order and at the latest when it was promised."""
    dice, clock = random.Random(seed), Clock()
    numbers = numbers_of(dice)
    used: list[float] = []
    with processes(numbers, clock) as machines:
        lines: list[TokenLine[int]] = [TokenLine(machine, [KEY] * len(numbers)) for machine in machines]
        waiting: list[dict[int, float]] = [{} for _ in lines]
        for step in range(STEPS):
            for waiter, token in advance(clock, dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)), lines):
                own = next(each for each in waiting if waiter in each)
                assert next(iter(own)) == waiter, "the first to come"
                assert token.at <= clock.now <= own.pop(waiter), "no later than promised"
                if dice.random() < 0.1:
                    lines[waiting.index(own)].give_back(token)
                else:
                    used.append(clock.now)
            at = dice.randrange(len(lines))
            chance = dice.random()
            if waiting[at] and chance < 0.3:
                leaving = dice.choice([*waiting[at]])
                lines[at].leave(leaving)
                del waiting[at][leaving]
            elif chance < 0.5:
                if machines[at].try_take([KEY] * len(numbers)) is None:
                    used.append(clock.now)
            else:
                latest = clock.now + dice.choice((0.0, 8.0, 64.0))
                if lines[at].join(step, latest):
                    waiting[at][step] = latest
    assert len(used) > 20
    for bucket in Queue(numbers).buckets:
        for moment in used:
            assert bucket.has(1, Fraction(moment))
            bucket.tokens -= 1
