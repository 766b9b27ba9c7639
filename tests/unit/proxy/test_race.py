from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from unit.machines import turns
from unit.proxy.attempts import Attempts, Run
from unit.scene import exchange

from gateway import errors
from gateway.config.records import Hedge as Settings
from gateway.core.hedge import Hedge
from gateway.errors import GatewayError
from gateway.policy.budget import RetryBudget
from gateway.policy.latency import LEAST_SAMPLES, Latency
from gateway.policy.limiter import Limiter
from gateway.proxy.race import Means, Race

RESET = GatewayError(errors.UPSTREAM_RESET)
LATE = GatewayError(errors.HEADER_TIMEOUT)


class Scene(Attempts):
    """One race, of which nothing has happened yet but the begin of the first attempt."""

    def __init__(self, after: float | Any = 0.5, *, limit: int = 0, limits: bool = True, **settings: Any) -> None:
        super().__init__()
        self.limiter = Limiter(limit) if limit else None
        self.means = Means(
            Settings(after, **settings),
            {500, 503},
            RetryBudget(),
            Latency(clock=self.clock),
            self.limiter,
            limits,
            0.25,
            2,
            self.clock,
            self.alarm,
        )
        self.exchange = exchange()
        self.hedge = Hedge()
        self.task: asyncio.Task[None] | None = None

    async def begin(self) -> Run:
        self.exchange.hedge = self.hedge
        self.task = asyncio.create_task(Race(self.exchange, self.hedge, self.means, self).run())
        await turns()
        return self.runs[0]

    async def both(self) -> tuple[Run, Run]:
        first = await self.begin()
        await self.pass_time(0.5)
        return first, self.runs[1]

    async def done(self) -> None:
        assert self.task is not None
        await self.task

    @property
    def left(self) -> float:
        return self.means.budget.left(2)


async def test_the_exchange_has_what_the_attempt_has_found_from_the_head_on() -> None:
    scene = Scene()
    first = await scene.begin()
    assert (scene.exchange.attempt.endpoint, scene.exchange.attempts) == ("", 0)
    assert [each.attempt.endpoint for each in scene.hedge.carriers] == ["endpoint-1"]
    assert first.head()
    ex = scene.exchange
    assert (ex.attempt.endpoint, ex.attempts, ex.status, ex.committed) == ("endpoint-1", 1, 200, True)
    first.exchange.bytes_out = 9
    first.end()
    await scene.done()
    assert (ex.bytes_out, scene.hedge.result, scene.hedge.carriers, scene.timers[0].cancelled) == (9, "", (), True)
    assert scene.left == 2.0, "what is paid into a full bucket is lost"


async def test_the_second_attempt_wins() -> None:
    scene = Scene()
    first, second = await scene.both()
    assert (len(scene.hedge.carriers), scene.hedge.after, second.exchange.retried) == (2, 0.5, 0.5)
    assert second.head()
    assert not first.over, "it is cut in the next turn"
    await turns()
    assert (first.over, scene.task is not None and scene.task.done()) == (True, False)
    second.end()
    await scene.done()
    assert (scene.hedge.result, scene.hedge.endpoint) == ("won", "endpoint-1")
    assert (scene.exchange.attempts, scene.exchange.attempt.endpoint) == (2, "endpoint-2")
    assert scene.left == pytest.approx(1.25), "one token, and the share of one request"


async def test_the_first_attempt_wins() -> None:
    scene = Scene()
    first, second = await scene.both()
    assert await first.respond()
    await scene.done()
    assert (second.over, scene.hedge.result, scene.hedge.endpoint) == (True, "lost", "endpoint-2")


async def test_what_comes_from_the_loser_in_the_same_turn_is_discarded() -> None:
    scene = Scene()
    first, second = await scene.both()
    assert second.head()
    assert not first.head()
    assert first.exchange.retries is not None
    assert first.exchange.retries.discarding, "its interim responses, too"
    first.end(RESET)
    second.end()
    await scene.done()
    assert scene.exchange.attempt.endpoint == "endpoint-2"


@pytest.mark.parametrize("earlier", [0, 1])
async def test_a_bad_response_waits_for_a_good_one(earlier: int) -> None:
    scene = Scene()
    runs = await scene.both()
    assert not await runs[earlier].respond(503)
    assert await runs[1 - earlier].respond(200)
    await scene.done()
    assert (scene.exchange.status, scene.hedge.won) == (200, earlier == 0)


async def test_of_two_bad_responses_the_last_one_stands() -> None:
    scene = Scene()
    first, second = await scene.both()
    assert not await second.respond(503)
    assert await first.respond(500)
    await scene.done()
    assert scene.exchange.status == 500


async def test_a_discarded_response_that_takes_long_is_cut_by_the_winner() -> None:
    scene = Scene()
    first, second = await scene.both()
    assert not second.head(503)
    assert second.sink is not None
    assert not second.over
    assert await first.respond()
    await scene.done()
    assert second.over


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_when_both_fail_the_last_failure_stands(order: tuple[int, int]) -> None:
    scene = Scene()
    runs = await scene.both()
    await runs[order[0]].fail(RESET)
    assert scene.task is not None
    assert not scene.task.done()
    await runs[order[1]].fail(LATE)
    with pytest.raises(GatewayError) as caught:
        await scene.done()
    assert caught.value is LATE
    assert scene.exchange.attempt.endpoint == f"endpoint-{order[1] + 1}"


async def test_a_failure_of_the_only_attempt_is_not_hedged() -> None:
    scene = Scene()
    first = await scene.begin()
    await first.fail(RESET)
    with pytest.raises(GatewayError):
        await scene.done()
    assert (len(scene.runs), scene.timers[0].cancelled) == (1, True)


async def test_a_defect_of_an_attempt_is_raised() -> None:
    scene = Scene()
    first = await scene.begin()
    await first.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await scene.done()


async def test_a_cancellation_from_elsewhere_of_an_attempt_ends_the_exchange() -> None:
    scene = Scene()
    await scene.begin()
    for task in asyncio.all_tasks():
        if task.get_name() == "hedged attempt":
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.done()


async def test_a_caller_who_leaves_ends_both_and_they_know_why() -> None:
    scene = Scene(limit=2)
    assert scene.limiter is not None
    of_exchange = scene.limiter.try_acquire()
    first, second = await scene.both()
    scene.exchange.reason, scene.exchange.gone_at = "client_gone", 1000.5
    assert scene.task is not None
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.done()
    assert [(run.over, run.exchange.reason, run.exchange.gone_at) for run in (first, second)] == [
        (True, "client_gone", 1000.5)
    ] * 2
    await turns()
    scene.limiter.release(of_exchange)
    assert (scene.limiter.in_flight, scene.exchange.attempts, scene.limiter.extra_releases) == (0, 2, 0)


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_cancellation_when_nothing_runs_any_more(turn: int) -> None:
    scene = Scene()
    first = await scene.begin()
    first.head()
    first.end()
    for _ in range(turn):
        await asyncio.sleep(0)
    assert scene.task is not None
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.done()


async def test_a_caller_who_leaves_while_no_second_attempt_is_planned() -> None:
    scene = Scene("p95")  # nothing is known of how long requests take
    first = await scene.begin()
    assert scene.timers == []
    assert scene.task is not None
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.done()
    assert first.over


async def test_one_that_fails_in_the_turn_in_which_the_other_one_wins() -> None:
    scene = Scene()
    first, second = await scene.both()
    first.end(RESET)
    await asyncio.sleep(0)  # its task is over, and the race has yet to hear of it
    assert second.head()
    await turns()
    second.end()
    await scene.done()
    assert (scene.exchange.attempt.endpoint, scene.hedge.result) == ("endpoint-2", "won")


async def test_a_cancellation_of_all_tasks_at_once_leaves_no_permit() -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    await scene.both()
    assert scene.task is not None
    scene.task.cancel()
    await asyncio.sleep(0)
    scene.task.cancel()  # while it waits for the attempts
    for task in asyncio.all_tasks():
        if task.get_name() == "hedged attempt":
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.done()
    await turns()
    assert (scene.limiter.in_flight, scene.hedge.carriers) == (0, ())


# -- whether there is a second attempt


async def test_a_permit_is_taken_and_comes_back_when_one_of_them_is_over() -> None:
    scene = Scene(limit=2)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    _, second = await scene.both()
    assert scene.limiter.in_flight == 2
    second.head()
    await turns()
    assert scene.limiter.in_flight == 1, "while the response of the winner goes on"
    second.end()
    await scene.done()


@pytest.mark.parametrize("shadow", [False, True])
async def test_without_a_permit_there_is_none(shadow: bool) -> None:
    scene = Scene(limit=1, mode="shadow" if shadow else "enforce")
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    first = await scene.begin()
    await scene.pass_time(0.5)
    assert (len(scene.runs), scene.hedge.withheld, scene.hedge.result, scene.left) == (1, "permit", "", 2.0)
    assert await first.respond()
    await scene.done()
    assert scene.limiter.in_flight == 1


async def test_a_limit_in_shadow_mode_keeps_nothing_from_being_made() -> None:
    scene = Scene(limit=1, limits=False)
    assert scene.limiter is not None
    scene.limiter.try_acquire()
    _, second = await scene.both()
    assert await second.respond()
    await scene.done()
    assert (scene.hedge.result, scene.limiter.in_flight) == ("won", 1)


@pytest.mark.parametrize("limit", [0, 2])
async def test_without_a_token_there_is_none(limit: int) -> None:
    scene = Scene(limit=limit)
    for _ in range(2):
        assert scene.means.budget.try_withdraw(2)
    first = await scene.begin()
    await scene.pass_time(0.5)
    assert (len(scene.runs), scene.hedge.withheld) == (1, "budget")
    assert scene.limiter is None or scene.limiter.in_flight == 0
    assert await first.respond()
    await scene.done()


async def test_one_that_no_endpoint_takes_costs_nothing() -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    first = await scene.begin()
    scene.refusing = GatewayError(errors.NO_HEALTHY_ENDPOINT)
    await scene.pass_time(0.5)
    assert (scene.hedge.withheld, scene.hedge.sent, scene.limiter.in_flight, scene.left) == ("endpoint", False, 0, 2.0)
    await first.fail(RESET)
    with pytest.raises(GatewayError) as caught:
        await scene.done()
    assert caught.value is RESET, "what was not sent does not stand for the request"


async def test_one_that_no_endpoint_takes_does_not_stand_for_the_first_that_has_just_failed() -> None:
    scene = Scene()
    first = await scene.begin()
    scene.refusing = GatewayError(errors.NO_HEALTHY_ENDPOINT)
    first.end(RESET)
    scene.timers[0].fire()
    with pytest.raises(GatewayError) as caught:
        await scene.done()
    assert (caught.value, scene.hedge.withheld) == (RESET, "endpoint")


async def test_one_that_is_cut_before_it_was_sent_costs_nothing() -> None:
    scene = Scene(limit=1)
    assert scene.limiter is not None
    first = await scene.begin()
    scene.timers[0].fire()
    assert first.head()
    first.end()
    await scene.done()
    assert (scene.hedge.result, scene.hedge.withheld, len(scene.runs)) == ("", "", 1)
    assert (scene.limiter.in_flight, scene.left) == (0, 2.0)


async def test_a_first_attempt_that_was_not_sent_pays_nothing_in() -> None:
    scene = Scene()
    assert scene.means.budget.try_withdraw(2)
    scene.refusing = GatewayError(errors.BREAKER_OPEN)
    scene.task = asyncio.create_task(Race(scene.exchange, scene.hedge, scene.means, scene).run())
    with pytest.raises(GatewayError):
        await scene.done()
    assert (scene.left, scene.exchange.attempts) == (1.0, 0)


@pytest.mark.parametrize("facts", [{"gone_at": 1000.1}, {"deadline": 1000.5}, {"deadline": 1000.2}])
async def test_not_for_a_caller_who_has_left_and_not_past_the_deadline(facts: dict[str, float]) -> None:
    scene = Scene()
    first = await scene.begin()
    for name, value in facts.items():
        setattr(scene.exchange, name, value)
    await scene.pass_time(0.5)
    assert (len(scene.runs), scene.hedge.after) == (1, 0.0)
    assert await first.respond()
    await scene.done()


async def test_never_behind_the_head_of_a_response() -> None:
    scene = Scene()
    first = await scene.begin()
    assert first.head()
    await scene.pass_time(0.5)
    assert (len(scene.runs), scene.hedge.after) == (1, 0.0)
    first.end()
    await scene.done()


async def test_shadow_mode_has_a_budget_of_its_own() -> None:
    scene = Scene(mode="shadow")
    for shadowed, withheld in ((True, ""), (True, ""), (False, "budget")):
        scene.hedge = Hedge()
        first = await scene.begin()
        await scene.pass_time(0.5)
        assert await scene.runs.pop().respond()
        assert first.over
        await scene.done()
        assert (scene.hedge.shadowed, scene.hedge.withheld, scene.hedge.sent) == (shadowed, withheld, False)
    assert scene.left == 2.0
    assert scene.means.imagined.left(2) == pytest.approx(2 - 2 + 3 * 0.25)


# -- beside retries


class Retrying:
    """Retries that want another attempt after these statuses."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = statuses
        self.discarding = False

    def discard(self, head: Any, stream: object, later: object) -> object | None:
        self.discarding = head.status in self.statuses
        return SimpleNamespace() if self.discarding else None


async def test_retries_decide_on_the_response_that_stands_for_both() -> None:
    scene = Scene()
    scene.exchange.retries = Retrying(503)  # type: ignore[assignment] # as much of them as is asked
    first, second = await scene.both()
    assert not await first.respond(503)
    assert not scene.exchange.retries.discarding, "they were not asked"  # type: ignore[union-attr]
    assert not second.head(503)
    second.end(RESET)
    await scene.done()
    assert (scene.hedge.won, scene.exchange.status, scene.exchange.attempts) == (False, 503, 2)
    assert scene.left == 1.0, "the retries pay the first attempt in"


# -- the measured time


async def test_after_p95_there_is_no_timer_before_enough_is_known() -> None:
    scene = Scene("p95")
    for count in range(LEAST_SAMPLES):
        assert scene.timers == []
        scene.clock.now += 2.0
        assert scene.means.latency.samples == count
        first = await scene.begin()
        scene.clock.now += 0.1
        assert await scene.runs.pop().respond()
        assert first.over
        await scene.done()
    scene.clock.now += 2.0
    first = await scene.begin()
    assert scene.timers[0].seconds == pytest.approx(0.1, rel=0.05)
    assert await first.respond(503)
    await scene.done()
    assert scene.means.latency.samples == LEAST_SAMPLES, "a failure says nothing of how long a response takes"


@pytest.mark.parametrize(("failing", "samples"), [(False, 1), (True, 0)])
async def test_an_attempt_that_was_overtaken_counts_as_long_as_it_ran(failing: bool, samples: int) -> None:
    scene = Scene("p95")
    for _ in range(LEAST_SAMPLES):
        scene.means.latency.note(0.5)
    first, second = await scene.both()
    if failing:
        await first.fail(RESET)
    scene.clock.now += 7.0
    assert await second.respond()
    await scene.done()
    assert scene.means.latency.samples == LEAST_SAMPLES + samples
    scene.clock.now += 1.0
    with_all_shares = replace(scene.means, settings=Settings("p95"))
    assert with_all_shares.after == pytest.approx(0.5, rel=0.05)


async def test_no_second_attempt_begins_while_a_cut_ends_the_first() -> None:
    scene = Scene()
    first = await scene.begin()
    assert scene.task is not None
    scene.task.cancel()
    await asyncio.sleep(0)
    assert not first.over
    await scene.pass_time(0.5)
    assert (len(scene.runs), first.over, scene.left, scene.hedge.after) == (1, True, 2.0, 0.0)
    with pytest.raises(asyncio.CancelledError):
        await scene.done()
