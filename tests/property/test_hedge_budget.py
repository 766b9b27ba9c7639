"""Whatever responds, fails, leaves and is slow: no more attempts than the budget allows, no more at a time than the
limit allows, one response for each caller, and nothing that is left over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from unit.machines import turns
from unit.proxy.attempts import Attempts, Run, Timer
from unit.scene import exchange

from gateway.config.records import Backoff, Hedge, Retries
from gateway.core.exchange import Exchange
from gateway.core.layer import chain
from gateway.errors import UPSTREAM_RESET, GatewayError
from gateway.policy.budget import RetryBudget
from gateway.policy.latency import Latency
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.hedge import hedge
from gateway.proxy.layers.limit import limit
from gateway.proxy.layers.retry_within_budget import retry_within_budget
from gateway.proxy.race import Means
from gateway.wire.buffers import BufferPool

LIMIT = 12


class Upstream(Attempts):
    """Requests by way of limiter, retries and hedges."""

    def __init__(self, burst: int, share: float, *, retries: bool, limited: bool) -> None:
        super().__init__()
        self.burst, self.share = burst, share
        self.budget, self.limiter = RetryBudget(), Limiter(LIMIT if limited else 0)
        settings = Retries(3, ("503", "reset") if retries else (), share, burst, backoff=Backoff(0.0, 0.0))
        means = Means(
            Hedge(0.1), {503}, self.budget, Latency(), self.limiter, True, share, burst, self.clock, self.alarm
        )
        self.handle = chain(
            self,
            limit(self.limiter),
            retry_within_budget(settings, self.budget, BufferPool(), self.limiter, clock=self.clock),
            hedge(means, BufferPool(), 0),
        )
        self.asked: list[tuple[Exchange, asyncio.Task[None]]] = []

    async def ask(self) -> None:
        ex = exchange()
        self.asked.append((ex, asyncio.create_task(self.handle(ex))))
        await turns()

    @property
    def running(self) -> list[Run]:
        return [run for run in self.runs if not run.over]

    def check(self) -> None:
        """The bounds, as they stand now."""
        if self.limiter.max:
            assert len(self.running) <= LIMIT
            assert self.limiter.in_flight <= LIMIT
        admitted = [ex for ex, _ in self.asked if ex.attempts or ex.hedge is not None]
        more = len(self.runs) - len(admitted)
        assert more <= self.burst + self.share * len(admitted) + 1e-6
        # Behind its hedge an exchange may have more attempts of its own.
        shown = {id(run.exchange): run.exchange.request for run in self.runs if run.exchange.committed}
        assert len({id(request) for request in shown.values()}) == len(shown), "one response for each request"
        for ex, task in self.asked:
            if task.done() and not task.cancelled() and task.exception() is None:
                assert ex.committed


async def step(upstream: Upstream, random_: random.Random) -> None:
    """Anything that may happen next."""
    doing: list[tuple[float, Callable[[], Any]]] = [(3.0, upstream.ask)]
    if upstream.running:
        run = random_.choice(upstream.running)
        status = random_.choice([200, 200, 503, 404])
        doing.append((2.0, lambda: run.respond(status)) if run.sink is None else (2.0, lambda: run.fail(_reset())))
        doing.append((1.0, lambda: run.fail(_reset())))
    due = [timer for timer in upstream.timers if not timer.cancelled]
    if due:
        timer: Timer = random_.choice(due)
        doing.append((3.0, timer.fire))
    open_ = [task for _, task in upstream.asked if not task.done()]
    if open_:
        doing.append((0.3, random_.choice(open_).cancel))
    done = random_.choices([act for _, act in doing], [weight for weight, _ in doing])[0]()
    if asyncio.iscoroutine(done):
        await done
    upstream.clock.now += random_.choice([0.0, 0.01, 0.2])
    await turns(8)


def _reset() -> GatewayError:
    return GatewayError(UPSTREAM_RESET)


@pytest.mark.parametrize("retries", [False, True])
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("seed", range(8))
async def test_attempts_never_exceed_the_budget(seed: int, limited: bool, retries: bool) -> None:
    random_ = random.Random(f"{seed} {limited} {retries}")
    upstream = Upstream(random_.choice([1, 3, 10]), random_.choice([0.05, 0.2, 0.5]), retries=retries, limited=limited)
    for _ in range(400):
        await step(upstream, random_)
        upstream.check()
    hedged = [ex for ex, _ in upstream.asked if ex.hedge is not None and ex.hedge.sent]
    assert hedged, "the test would show nothing"
    for _, task in upstream.asked:
        task.cancel()
        with suppress(asyncio.CancelledError, GatewayError):
            await task
    await turns(20)
    assert (upstream.running, upstream.limiter.in_flight, upstream.limiter.extra_releases) == ([], 0, 0)


async def test_when_every_request_is_slow_the_load_stays_below_a_quarter_more() -> None:
    """1,000 requests that all take longer than `after`: one hedge for each would be twice the load."""
    upstream = Upstream(10, 0.2, retries=False, limited=False)
    for _ in range(1000):
        await upstream.ask()
        for timer in upstream.timers:
            timer.fire()
        upstream.timers.clear()
        await turns()
        for run in upstream.running:
            if not run.over and not run.exchange.committed:
                await run.respond()
        await turns()
    assert 1.19 < len(upstream.runs) / 1000 < 1.25
