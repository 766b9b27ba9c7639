"""The budget of retries against a model, and the load that an upstream gets when everything fails."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
from unit.scene import Clock, exchange

from gateway.config.records import Retries
from gateway.core.exchange import Exchange
from gateway.errors import UPSTREAM_RESET, GatewayError
from gateway.policy.budget import RetryBudget
from gateway.proxy.layers.retry_within_budget import retry_within_budget
from gateway.wire.buffers import BufferPool


@pytest.mark.parametrize("seed", range(60))
def test_it_holds_what_a_bucket_of_fractions_holds(seed: int) -> None:
    random_ = random.Random(seed)
    share, burst = Fraction(random_.randrange(1, 100), 100), random_.randrange(1, 30)
    sharers = random_.choice([1, 1, 2, 3, 7, 40])
    size = max(Fraction(1), Fraction(burst, sharers))
    tokens, budget = size, RetryBudget(sharers)
    for _ in range(3000):
        if random_.random() < 0.6:
            tokens = min(size, tokens + share)
            budget.deposit(float(share))
        else:
            assert budget.try_withdraw(burst) == (tokens >= 1)
            tokens -= tokens >= 1
        assert budget.left(burst) == pytest.approx(float(tokens), abs=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_in_no_stretch_of_time_are_there_more_retries_than_burst_and_share(seed: int) -> None:
    """Whatever fails, and in whatever order: the bound holds between any two moments, not only from the beginning."""
    random_ = random.Random(seed)
    share, burst = random_.choice([0.05, 0.2, 0.5]), random_.randrange(1, 20)
    budget, worst = RetryBudget(), 0.0
    excess = 0.0  # the most that retries were ahead of their share, over all stretches that end now
    for _ in range(4000):
        failing = random_.random() < random_.choice([0.0, 0.1, 1.0])
        budget.deposit(share)
        excess = max(0.0, excess - share)
        for _ in range(random_.randrange(5) if failing else 0):
            if budget.try_withdraw(burst):
                excess += 1.0
        worst = max(worst, excess)
    assert worst <= burst + 1e-6


class Fleet:
    """The layer of several workers in front of one upstream of which every attempt fails."""

    def __init__(self, workers: int, settings: Retries) -> None:
        self.clock, self.attempts = Clock(), 0
        self.layers = [
            retry_within_budget(
                settings, RetryBudget(workers), BufferPool(), clock=self.clock, jitter=random.random, sleep=self.sleep
            )(self.fail)
            for _ in range(workers)
        ]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def fail(self, ex: Exchange) -> None:
        self.attempts += 1
        ex.attempts += 1
        ex.attempt.asked_at = self.clock()
        raise GatewayError(UPSTREAM_RESET)

    async def ask(self, number: int) -> None:
        with suppress(GatewayError):
            await self.layers[number % len(self.layers)](exchange())


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("together", [1, 50])
async def test_at_full_failure_the_load_stays_below_a_quarter_more(workers: int, together: int) -> None:
    """1,000 requests at 50 a second, one after the other or as one burst each second; and from the first request on."""
    fleet = Fleet(workers, replace(Retries(), attempts=10, on=("reset",)))
    for start in range(0, 1000, together):
        await asyncio.gather(*[fleet.ask(start + number) for number in range(together)])
        fleet.clock.now += together / 50
    assert 1.19 < fleet.attempts / 1000 < 1.25
