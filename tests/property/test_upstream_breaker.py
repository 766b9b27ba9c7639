"""The breaker of an upstream above those of its endpoints, in the layers of the pipeline, against a model: each is the
model of a single breaker, and what is between them is written out here. No permit is lost on any way out.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from property.test_breaker import RECOVERY, Era, Model
from unit.machines import turns
from unit.scene import Clock, exchange

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, chain
from gateway.core.outcome import Outcome
from gateway.errors import BREAKER_OPEN, CLIENT_GONE, UPSTREAM_RESET, GatewayError, Reason
from gateway.policy.balance import RoundRobin
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import Member
from gateway.proxy.layers.balance import balance
from gateway.proxy.layers.break_circuit import break_circuit, keep_state

STEPS = 4_000
ENDPOINTS = 3
LONGER = 2.5 * RECOVERY
ENDS = (
    (200, Outcome.SUCCESS),
    (503, Outcome.FAILURE),
    (UPSTREAM_RESET, Outcome.FAILURE),
    (CLIENT_GONE, Outcome.IGNORED),
    (asyncio.CancelledError, Outcome.IGNORED),
)


@dataclass(eq=False)
class Attempt:
    """One that runs at the endpoint ``at``, until ``over`` has its status or error."""

    at: int
    over: asyncio.Future[int]
    task: asyncio.Task[None]
    call: object
    began_in: tuple[Era, Era]


class Scene:
    """The layers, and a model of each breaker. ``inner``: endpoints have breakers, too, which open sooner here and for
    longer, so that all of them may reject what that of the upstream admits."""

    def __init__(self, threshold: int, probes: int, *, inner: bool) -> None:
        self.clock = Clock(0.0)
        self.outer = Breaker(threshold, RECOVERY, probes, clock=self.clock)
        self.inner = [Breaker(1, LONGER, 1, clock=self.clock) if inner else None for _ in range(ENDPOINTS)]
        self.model = Model(threshold, probes)
        self.models = [Model(1, 1, LONGER) for _ in range(ENDPOINTS)]
        self.rejected_by_all = Counter[State]()
        """By the state of the breaker of the upstream."""
        self.running: list[Attempt] = []
        self.reached: list[tuple[int, asyncio.Future[int]]] = []
        conditions = [Condition(Member(str(at))) for at in range(ENDPOINTS)]
        chains = {
            condition.member: chain(self._endpoint(at), break_circuit(self.inner[at]))
            for at, condition in enumerate(conditions)
        }
        choose = balance(Group(conditions, RoundRobin(), Rules(), clock=self.clock), chains, lambda ex: b"")
        self.handle = chain(choose, break_circuit(self.outer, whole=True), keep_state(enabled=inner))

    def _endpoint(self, at: int) -> Handler:
        async def serve(ex: Exchange) -> None:
            ex.attempts += 1
            over = asyncio.get_running_loop().create_future()
            self.reached.append((at, over))
            ex.status = await over

        return serve

    async def ask(self) -> None:
        """A request comes: what becomes of it is what the models say."""
        call, now = object(), self.clock.now
        task = asyncio.create_task(self.handle(exchange()))
        await turns(2)
        era = self.model.ask(now, call)
        if era is None:
            assert not self.reached, "no endpoint is asked"
            assert self.rejected(task)
            return
        if not self.reached:
            assert all(model.ask(now, call) is None for model in self.models), "the breakers of all reject it"
            assert self.rejected(task)
            self.model.tell(now, call, era, Outcome.IGNORED)
            self.rejected_by_all[era.state] += 1
            return
        ((at, over),) = self.reached
        self.reached.clear()
        inner = self.models[at].ask(now, call) if self.inner[at] is not None else Era(State.CLOSED, now)
        assert inner is not None, "its breaker rejects it"
        self.running.append(Attempt(at, over, task, call, (era, inner)))

    def rejected(self, task: asyncio.Task[None]) -> bool:
        error = task.exception()
        return isinstance(error, GatewayError) and error.reason is BREAKER_OPEN

    async def end(self, attempt: Attempt, end: int | Reason | type[BaseException], outcome: Outcome) -> None:
        self.running.remove(attempt)
        if isinstance(end, int):
            attempt.over.set_result(end)
        elif isinstance(end, Reason):
            attempt.over.set_exception(GatewayError(end))
        else:
            attempt.task.cancel()
        await asyncio.gather(attempt.task, return_exceptions=True)
        self.models[attempt.at].tell(self.clock.now, attempt.call, attempt.began_in[1], outcome)
        self.model.tell(self.clock.now, attempt.call, attempt.began_in[0], outcome)

    def reset(self) -> None:
        for breaker, model in self.pairs():
            breaker.reset()
            model.reset(self.clock.now)

    def pairs(self) -> list[tuple[Breaker, Model]]:
        inner = [(each, model) for each, model in zip(self.inner, self.models, strict=True) if each is not None]
        return [(self.outer, self.model), *inner]


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("seed", range(4))
async def test_both_behave_like_their_models(seed: int, inner: bool) -> None:
    dice = random.Random(seed)
    scene = Scene(dice.randint(2, 6), dice.randint(1, 3), inner=inner)
    met = Counter[State]()
    for _ in range(STEPS):
        roll = dice.random()
        if roll < 0.45:
            await scene.ask()
        elif roll < 0.9 and scene.running:
            attempt = dice.choice(scene.running)
            # One endpoint is bad, so that its breaker opens before the other ones.
            await scene.end(attempt, *(ENDS[1] if attempt.at == 0 and dice.random() < 0.5 else dice.choice(ENDS)))
        elif roll < 0.995:
            scene.clock.now += dice.choice((0.125, 1.0, 5.0, 11.0))
        else:
            scene.reset()
        met[scene.outer.state] += 1
        for breaker, model in scene.pairs():
            assert breaker.state is model.era.state
            assert breaker.failures == model.era.streak
            assert breaker.probes == (len(model.era.probes) if model.era.state is State.HALF_OPEN else 0)
    assert all(met[state] > STEPS / 50 for state in State), f"the walk saw too little: {met}"
    if inner:
        assert min(scene.rejected_by_all[state] for state in (State.CLOSED, State.HALF_OPEN)) > STEPS / 200
    for attempt in [*scene.running]:
        await scene.end(attempt, 200, Outcome.SUCCESS)
    assert all(breaker.idle for breaker, _ in scene.pairs()), "every permit is back"
