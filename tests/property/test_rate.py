"""Rate limits against an exact token bucket in fractions, and what no sequence of requests may get out of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.policy.rate import Buckets, RateLimit, RateLimits
from gateway.policy.rate_store import FORGOTTEN, MemoryRateStore, RateStore, slots_for

STEPS = 3_000
KEYS = 2


class ExactBucket:
    """Tokens and a clock, in exact numbers: the text-book form."""

    def __init__(self, rate: Fraction, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = Fraction(burst), Fraction(0)

    def change(self, rate: Fraction, burst: int, now: Fraction) -> None:
        """As many tokens are missing as before, and no more than it holds."""
        self.has(0, now)
        self.tokens = max(Fraction(0), burst - (self.burst - self.tokens))
        self.rate, self.burst = rate, burst

    def has(self, weight: int, now: Fraction) -> bool:
        self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)
        self.at = now
        return self.tokens >= weight


class ExactLimits:
    """``numbers``: rate, per and burst of each limit, and whether it is in shadow mode."""

    def __init__(self, numbers: Sequence[tuple[float, float, int, bool]], weight: int) -> None:
        self.numbers, self.weight = numbers, weight
        self.buckets = [
            [ExactBucket(Fraction(rate) / Fraction(per), burst) for _ in range(KEYS)] for rate, per, burst, _ in numbers
        ]

    def take(self, keys: Sequence[int], now: float) -> tuple[list[int], bool]:
        """The limits that reject, and whether the request is admitted."""
        mine = [buckets[key] for buckets, key in zip(self.buckets, keys, strict=True)]
        rejecting = [at for at, bucket in enumerate(mine) if not bucket.has(self.weight, Fraction(now))]
        shadowed = [self.numbers[at][3] for at in rejecting]
        admitted = all(shadowed)
        if admitted:
            for bucket, (*_, shadow) in zip(mine, self.numbers, strict=True):
                if not (shadow and any(shadowed)):
                    bucket.tokens -= self.weight
        return rejecting, admitted


def machine_of(
    numbers: Sequence[tuple[float, float, int, bool]], weight: int, clock: Clock, stores: Sequence[RateStore] = ()
) -> RateLimits:
    stores = stores or [MemoryRateStore(slots_for(100)) for _ in numbers]
    return RateLimits(
        [
            RateLimit(str(at), rate, per, burst, Buckets(str(at), store), shadow=shadow)
            for at, ((rate, per, burst, shadow), store) in enumerate(zip(numbers, stores, strict=True))
        ],
        weight,
        clock,
    )


def numbers_of(dice: random.Random) -> list[tuple[float, float, int, bool]]:
    """Powers of two, with which floats are exact: no step may differ."""
    return [
        (2.0 ** dice.randrange(-3, 1), 2.0 ** dice.randrange(-1, 3), dice.randrange(4, 20), dice.random() < 0.3)
        for _ in range(dice.randrange(1, 4))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_an_exact_token_bucket(seed: int) -> None:
    dice, clock = random.Random(seed), Clock()
    numbers, weight = numbers_of(dice), dice.randrange(1, 4)
    machine, model = machine_of(numbers, weight, clock), ExactLimits(numbers, weight)
    refused = 0
    for _ in range(STEPS):
        clock.now += dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)) if dice.random() < 0.99 else 64.0
        keys = [dice.randrange(KEYS) for _ in numbers]
        rejection = machine.try_take([key + 1 for key in keys])
        rejecting, admitted = model.take(keys, clock.now)
        assert (rejection.limits if rejection else []) == rejecting
        assert (rejection is None or not rejection.wait) == admitted
        refused += bool(rejecting)
    assert STEPS / 50 < refused < STEPS, "both happen"


@pytest.mark.parametrize("seed", range(20))
def test_generations_of_one_limit_are_one_exact_token_bucket(seed: int) -> None:
    """Reloads change the numbers, and requests of all generations before go on."""
    dice, clock = random.Random(seed), Clock()
    buckets, weight = Buckets("a", MemoryRateStore(slots_for(100))), dice.randrange(1, 4)
    generations: list[RateLimits] = []
    models: list[ExactBucket] = []
    refused = 0
    for step in range(STEPS):
        if step % 100 == 0:
            rate, per, burst, _ = numbers_of(dice)[0]
            limit = RateLimit("a", rate, per, burst, buckets)
            buckets.adapt(limit.numbers, clock.now)
            generations.append(RateLimits([limit], weight, clock))
            exact = Fraction(rate) / Fraction(per)
            models = models or [ExactBucket(exact, burst) for _ in range(KEYS)]
            for model in models:
                model.change(exact, burst, Fraction(clock.now))
        clock.now += dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)) if dice.random() < 0.99 else 64.0
        key = dice.randrange(KEYS)
        admitted = dice.choice(generations).try_take([key + 1]) is None
        assert admitted == models[key].has(weight, Fraction(clock.now))
        models[key].tokens -= weight * admitted
        refused += not admitted
    assert STEPS / 50 < refused < STEPS, "both happen"


@pytest.mark.parametrize("seed", range(10))
def test_several_processes_are_one_exact_token_bucket(seed: int) -> None:
    dice, clock = random.Random(seed), Clock()
    numbers, weight = numbers_of(dice), dice.randrange(1, 4)
    with page_stage() as stage:
        names = [str(at) for at in range(len(numbers))]
        machines = [
            machine_of(numbers, weight, clock, [page.rates(name, slots_for(100)) for name in names])
            for page in stage.pages
        ]
        model = ExactLimits(numbers, weight)
        for _ in range(STEPS // 3):
            clock.now += dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0))
            keys = [dice.randrange(KEYS) for _ in numbers]
            rejection = dice.choice(machines).try_take([key + 1 for key in keys])
            assert (rejection.limits if rejection else []) == model.take(keys, clock.now)[0]


@pytest.mark.parametrize("seed", range(10))
def test_no_time_admits_more_than_burst_and_rate(seed: int) -> None:
    """Any numbers, and the worst of callers: it asks all the time. Also no less, once tokens are used up."""
    dice, clock = random.Random(seed), Clock(random.Random(seed).uniform(1.0, 1e7))
    start = clock.now
    rate, per, burst = dice.uniform(0.1, 5000.0), dice.uniform(0.1, 100.0), dice.randrange(1, 50)
    machine = machine_of([(rate, per, burst, False)], 1, clock)
    admitted: list[float] = []
    while len(admitted) < STEPS:
        rejection = machine.try_take([1])
        if rejection is None:
            admitted.append(clock.now)
        else:
            clock.now += rejection.wait * dice.choice((0.25, 1.0, 1.0))
    passed = (clock.now - start) * rate / per
    assert len(admitted) <= burst + passed + 0.01
    assert len(admitted) >= burst + passed - 1.01, "a caller who waits as told loses nothing"
    for _ in range(200):
        first = dice.randrange(len(admitted) - 1)
        last = dice.randrange(first + 1, len(admitted))
        assert last - first + 1 <= burst + (admitted[last] - admitted[first]) * rate / per + 0.01


def test_what_is_forgotten_is_what_loses_least() -> None:
    """Twice as many keys as there is room for: who comes often stays limited."""
    dice, clock = random.Random(1), Clock()
    store = MemoryRateStore(slots_for(400))
    machine = machine_of([(1.0, 1.0, 10, False)], 1, clock, [store])
    heavy, served = 17, 0
    for _ in range(20_000):
        machine.try_take([dice.randrange(1_000, 3_000)])
        served += machine.try_take([heavy]) is None
        clock.now += 0.001
    assert store.table.counts[FORGOTTEN] > 1_000, "there is not room for all"
    assert served <= 10 + 20 + 1


@pytest.mark.parametrize("seed", range(10))
def test_tokens_of_several_processes_are_charged_exactly(seed: int) -> None:
    """Requests run side by side in several processes, and each takes what it used when it ends: the model may owe."""
    dice, clock = random.Random(seed), Clock()
    rate, burst, weight = 2.0 ** dice.randrange(-2, 3), dice.randrange(1, 20), dice.randrange(1, 3)
    with page_stage() as stage:
        machines = [
            RateLimits(
                [RateLimit("t", rate, 1.0, burst, Buckets("t", page.rates("t", slots_for(100))), late=True)],
                weight,
                clock,
            )
            for page in stage.pages
        ]
        models = [ExactBucket(Fraction(rate), burst) for _ in range(KEYS)]
        running: list[tuple[int, int]] = []
        seen = {True: 0, False: 0}
        for _ in range(STEPS // 2):
            clock.now += dice.choice((0.0, 0.0, 1 / 64, 1 / 8, 1.0)) if dice.random() < 0.98 else 64.0
            if running and dice.random() < 0.4:
                key, tokens = running.pop(dice.randrange(len(running)))
                dice.choice(machines).charge([key + 1], tokens)
                models[key].has(0, Fraction(clock.now))
                models[key].tokens -= tokens * weight
                continue
            key = dice.randrange(KEYS)
            admitted = dice.choice(machines).try_take([key + 1]) is None
            assert admitted == models[key].has(1, Fraction(clock.now))
            seen[admitted] += 1
            if admitted:
                running.append((key, dice.choice((0, 1, 2, 5, 30))))
        assert min(seen.values()) > STEPS / 100, "both happen"
