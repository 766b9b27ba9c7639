from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from unit.scene import Clock, exchange

from gateway.config.records import Retries
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import Sink
from gateway.errors import BREAKER_OPEN, NO_HEALTHY_ENDPOINT, RATE_LIMIT, UPSTREAM_RESET, GatewayError, Reason
from gateway.policy.budget import RetryBudget
from gateway.policy.limiter import Limiter
from gateway.proxy.layers.retry_within_budget import retry_within_budget
from gateway.proxy.retries import never
from gateway.wire.buffers import BufferPool

SETTINGS = Retries(3, ("reset", "503"))


class Attempts:
    """A handler that does what it was given, one an attempt: an error is raised, a status is that of a response."""

    def __init__(self, *ends: BaseException | int) -> None:
        self.ends = list(ends)
        self.at: list[float] = []
        self.clock = Clock()
        self.slept: list[float] = []
        self.phases: list[bool] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += seconds

    async def __call__(self, ex: Exchange) -> None:
        ex.attempts += 1
        ex.attempt.asked_at = self.clock()
        self.at.append(self.clock())
        assert ex.retries is not None
        self.phases.append(ex.retries.waiting)
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        ex.status = end
        head = ResponseHead(end, b"", 1, [], {}, 0, keep_alive=True)
        if ex.retries.discard(head, cast(Any, None)) is None:
            ex.committed = True

    async def serve(self, ex: Exchange, settings: Retries = SETTINGS, budget: RetryBudget | None = None) -> None:
        layer = retry_within_budget(
            settings, budget or RetryBudget(), BufferPool(), clock=self.clock, jitter=lambda: 0.5, sleep=self.sleep
        )
        await layer(self)(ex)


@pytest.mark.parametrize("settings", [Retries(), Retries(3), Retries(1, ("503",))])
async def test_without_retries_there_is_no_layer(settings: Retries) -> None:
    attempts = Attempts()
    assert retry_within_budget(settings, RetryBudget(), BufferPool())(attempts) is attempts


async def test_one_attempt_is_enough_when_it_goes_well() -> None:
    ex, attempts = exchange(), Attempts(200)
    await attempts.serve(ex)
    assert (ex.status, ex.attempts, ex.failures, attempts.slept) == (200, 1, (), [])


async def test_errors_and_responses_are_followed_by_another_attempt_after_a_pause() -> None:
    ex, attempts = exchange(), Attempts(GatewayError(UPSTREAM_RESET), 503, 200)
    await attempts.serve(ex)
    assert (ex.status, ex.attempts, ex.failures) == (200, 3, ("reset", "503"))
    assert attempts.slept == pytest.approx([0.0125, 0.0375])
    assert attempts.phases == [False] * 3


async def test_without_a_pause_the_event_loop_has_a_turn() -> None:
    ex, attempts = exchange(), Attempts(503, 200)
    await attempts.serve(ex, replace(SETTINGS, backoff=replace(SETTINGS.backoff, base=0.0)))
    assert (ex.attempts, attempts.slept) == (2, [0.0])


async def test_the_endpoint_sees_the_end_of_an_attempt_before_the_next_one() -> None:
    ex, attempts = exchange(), Attempts(503, 200)
    limiter = Limiter(1)
    limiter.linger = 0.02
    settings = replace(SETTINGS, backoff=replace(SETTINGS.backoff, base=0.0))
    layer = retry_within_budget(
        settings, RetryBudget(), BufferPool(), limiter, clock=attempts.clock, sleep=attempts.sleep
    )
    await layer(attempts)(ex)
    assert attempts.slept == [0.02]


async def test_the_last_response_is_for_the_caller() -> None:
    ex, attempts = exchange(), Attempts(503, 503, 503)
    await attempts.serve(ex)
    assert (ex.status, ex.committed, ex.attempts) == (503, True, 3)
    assert ex.retries is not None
    assert ex.retries.withheld == "attempts"


async def test_the_last_error_is_raised_without_those_before() -> None:
    last = GatewayError(UPSTREAM_RESET)
    ex, attempts = exchange(), Attempts(GatewayError(UPSTREAM_RESET), GatewayError(UPSTREAM_RESET), last)
    with pytest.raises(GatewayError) as caught:
        await attempts.serve(ex)
    assert caught.value is last
    assert last.__context__ is None


@pytest.mark.parametrize("error", [GatewayError(BREAKER_OPEN), ValueError("a defect")])
async def test_other_errors_pass(error: Exception) -> None:
    ex, attempts = exchange(), Attempts(error)
    with pytest.raises(type(error)) as caught:
        await attempts.serve(ex)
    assert (caught.value, ex.attempts) == (error, 1)


async def test_a_budget_that_is_used_up() -> None:
    budget = RetryBudget()
    settings = replace(SETTINGS, burst=1, budget=0.1)
    for failures in (("503",), ()):
        ex, attempts = exchange(), Attempts(503, 503, 503)
        await attempts.serve(ex, settings, budget)
        assert (ex.status, ex.failures) == (503, failures)
        assert ex.retries is not None
        assert ex.retries.withheld == "budget"


async def test_who_is_cancelled_in_the_pause_makes_no_attempt() -> None:
    ex, attempts = exchange(), Attempts(503)
    slow = replace(SETTINGS, backoff=replace(SETTINGS.backoff, base=60.0, max=60.0))
    layer = retry_within_budget(slow, RetryBudget(), BufferPool(), jitter=lambda: 1.0)
    running = asyncio.ensure_future(layer(attempts)(ex))
    for _ in range(3):
        await asyncio.sleep(0)
    assert ex.retries is not None
    assert ex.retries.waiting
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (ex.attempts, ex.retries.waiting) == (1, False)


async def test_bodies_are_kept_in_the_budget_of_the_buffers_until_the_end() -> None:
    buffers = BufferPool()

    async def fails(ex: Exchange) -> None:
        assert ex.retries is not None
        assert ex.retries.keep(b"abc")
        assert buffers.kept == 3
        raise GatewayError(BREAKER_OPEN)

    with pytest.raises(GatewayError):
        await retry_within_budget(SETTINGS, RetryBudget(), buffers)(fails)(exchange(b"PUT", 3))
    assert buffers.kept == 0


class Responding(Attempts):
    """Attempts whose responses are kept, with ``body`` where it comes, and are given to the caller later."""

    body_out, blocked, body_complete = 2, 0.0, True

    def __init__(self, *ends: BaseException | int, body: bytes | None = b"no") -> None:
        super().__init__(*ends)
        self.body = body
        self.given: list[bytes] = []
        self.buffers = BufferPool()
        self.kept: list[int] = []
        self.errors: list[GatewayError] = []

    def later(self, ex: Exchange, head: ResponseHead) -> Sink:
        ex.committed = True
        return cast(Any, self)

    def whole(self, body: memoryview) -> None:
        self.given.append(bytes(body))

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)

    async def __call__(self, ex: Exchange) -> None:
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        ex.attempts += 1
        ex.status = end
        assert ex.retries is not None
        head = ResponseHead(end, b"", 1, [], {}, len(self.body or b"no"), keep_alive=True)
        sink = ex.retries.discard(head, cast(Any, self), self.later)
        self.kept.append(self.buffers.kept)
        if sink is None:
            ex.committed = True
        elif self.body is not None:
            sink.whole(memoryview(self.body))

    async def served(self, *, falls_back: bool = False) -> Exchange:
        ex = exchange()
        ex.downstream = cast(Any, self)
        layer = retry_within_budget(
            SETTINGS,
            RetryBudget(),
            self.buffers,
            None,
            (lambda _, error: error.reason is RATE_LIMIT) if falls_back else never,
            clock=self.clock,
            jitter=lambda: 0.5,
            sleep=self.sleep,
        )
        await layer(self)(ex)
        return ex


REJECTIONS = [(BREAKER_OPEN, "breaker"), (NO_HEALTHY_ENDPOINT, "health"), (RATE_LIMIT, "rate_limit")]


@pytest.mark.parametrize(("reason", "word"), REJECTIONS)
async def test_a_retry_that_is_rejected_leaves_the_response_before_it(reason: Reason, word: str) -> None:
    attempts = Responding(503, GatewayError(reason))
    ex = await attempts.served()
    assert (ex.status, ex.attempts, ex.failures, attempts.given, attempts.buffers.kept) == (503, 1, (), [b"no"], 0)
    assert ex.retries is not None
    assert ex.retries.withheld == word


@pytest.mark.parametrize(("reason", "word"), REJECTIONS)
async def test_or_the_failure_before_it(reason: Reason, word: str) -> None:
    failure = GatewayError(UPSTREAM_RESET)
    with pytest.raises(GatewayError) as caught:
        await Responding(failure, GatewayError(reason)).served()
    assert caught.value is failure


@pytest.mark.parametrize(("body", "falls_back"), [(None, False), (b"no", True)])
async def test_a_rejection_stands_without_a_whole_response_and_for_a_fallback(
    body: bytes | None, falls_back: bool
) -> None:
    attempts = Responding(503, GatewayError(RATE_LIMIT), body=body)
    with pytest.raises(GatewayError) as caught:
        await attempts.served(falls_back=falls_back)
    assert (caught.value.reason, attempts.given, attempts.buffers.kept) == (RATE_LIMIT, [], 0)


async def test_of_several_responses_the_last_one_is_kept() -> None:
    attempts = Responding(503, 503, 503)
    ex = await attempts.served()
    assert (ex.status, ex.committed, attempts.kept, attempts.buffers.kept) == (503, True, [0, 0, 2], 0)
    attempts = Responding(503, 503, GatewayError(BREAKER_OPEN))
    ex = await attempts.served()
    assert (ex.failures, attempts.given, attempts.buffers.kept) == (("503",), [b"no"], 0)


async def test_what_an_attempt_keeps_that_ends_otherwise_is_let_go() -> None:
    class Defect(Responding):
        async def __call__(self, ex: Exchange) -> None:
            await super().__call__(ex)
            raise ValueError("a defect")

    attempts = Defect(503)
    with pytest.raises(ValueError, match="a defect"):
        await attempts.served()
    assert attempts.buffers.kept == 0
