from __future__ import annotations

import asyncio
import math
import random
from contextlib import suppress

import pytest
from unit.machines import ended, full_limiter, give_back, limiter_of, turns, waiters
from unit.scene import Clock, exchange

from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import (
    CONCURRENCY_LIMIT,
    QUEUE_FULL,
    QUEUE_PREDICTED_TIMEOUT,
    QUEUE_TIMEOUT,
    TOTAL_TIMEOUT,
    UPSTREAM_RESET,
    GatewayError,
    Reason,
)
from gateway.policy.codel import Codel
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.policy.waiting_line import ANY, LOW, Rank
from gateway.proxy.layers.limit import limit

LONG = 60.0
"""Seconds that no test lives to see the end of."""


async def serve(ex: Exchange) -> None:
    ex.status = 200


def refusal_of(limiter: Limiter, queue_timeout: float, deadline: float = 0.0) -> tuple[Handler, Exchange]:
    ex = exchange()
    ex.deadline = deadline
    return limit(limiter, queue_timeout)(serve), ex


async def refused(handle: Handler, ex: Exchange) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await handle(ex)
    assert ex.status == 0, "the handler was not reached"
    return caught.value


class TestLayer:
    @pytest.mark.covers("T014")
    async def test_no_limiter_no_permit(self) -> None:
        ex = exchange()
        await limit(None, LONG)(serve)(ex)
        assert (ex.status, ex.concurrent) == (200, 0)

    async def test_the_permit_covers_what_happens_below(self) -> None:
        limiter = limiter_of(2)
        limiter.try_acquire()
        seen: list[int] = []

        async def below(ex: Exchange) -> None:
            seen.append(limiter.in_flight)

        ex = exchange()
        await limit(limiter)(below)(ex)
        assert seen == [2]
        assert (ex.concurrent, ex.queued, limiter.in_flight) == (2, 0.0, 1)

    @pytest.mark.parametrize("error", [GatewayError(TOTAL_TIMEOUT), ValueError(), asyncio.CancelledError()])
    async def test_every_way_out_gives_the_permit_back_once(self, error: BaseException) -> None:
        limiter = limiter_of(1)

        async def below(ex: Exchange) -> None:
            raise error

        with pytest.raises(type(error)):
            await limit(limiter)(below)(exchange())
        assert (limiter.in_flight, limiter.extra_releases) == (0, 0)

    async def test_it_measures_how_long_permits_are_held(self) -> None:
        clock = Clock()
        limiter = limiter_of(1, clock=clock)

        async def below(ex: Exchange) -> None:
            clock.now += 7.0

        await limit(limiter)(below)(exchange())
        limiter.try_acquire()
        assert limiter.peek_retry_after() == 7

    @pytest.mark.covers("T053")
    @pytest.mark.parametrize(("room", "queue_timeout"), [(0, 0.0), (10, 0.0), (0, LONG)])
    async def test_reject_mode(self, room: int, queue_timeout: float) -> None:
        limiter = full_limiter(5, room=room)
        give_back(limiter, 30.0)
        limiter.try_acquire()
        handle, ex = refusal_of(limiter, queue_timeout)
        error = await refused(handle, ex)
        assert (error.reason, error.retry_after) == (CONCURRENCY_LIMIT, 6)
        assert (ex.queued, ex.concurrent, limiter.in_flight) == (0.0, 5, 5)

    async def test_without_a_time_for_the_queue_nobody_waits(self) -> None:
        ex = exchange()
        assert (await refused(limit(full_limiter(room=10))(serve), ex)).reason is CONCURRENCY_LIMIT

    async def test_where_a_queue_only_counts_everybody_is_refused_and_what_it_says_is_noted(self) -> None:
        limiter = full_limiter(5, room=10)
        give_back(limiter, 30.0)
        limiter.try_acquire()
        verdicts = iter(["", "queue_full"])
        handle = limit(limiter, LONG, lambda left: next(verdicts))(serve)
        for verdict, seconds in (("", 6), ("queue_full", 12)):
            ex = exchange()
            error = await refused(handle, ex)
            assert (error.reason, error.retry_after) == (CONCURRENCY_LIMIT, seconds)
            assert (ex.shadow, ex.concurrent, ex.queued, limiter.waiting) == (verdict, 5, 0.0, 0)

    @pytest.mark.parametrize("verdict", ["", "queue_full"])
    async def test_what_a_queue_that_only_counts_says_replaces_no_earlier_note(self, verdict: str) -> None:
        ex = exchange()
        ex.shadow = "overloaded"
        asked: list[str] = []
        handle = limit(full_limiter(room=10), LONG, lambda left: asked.append(verdict) or verdict)(serve)
        assert (await refused(handle, ex)).reason is CONCURRENCY_LIMIT
        assert (ex.shadow, asked) == ("overloaded", [verdict])

    async def test_where_a_queue_only_counts_it_is_asked_what_the_deadline_leaves(self) -> None:
        limiter, asked = full_limiter(), list[float]()
        handle = limit(limiter, LONG, lambda left: asked.append(left) or "")(serve)
        for deadline in (0.0, limiter.clock() + 7.0):
            ex = exchange()
            ex.deadline = deadline
            await refused(handle, ex)
        assert asked == [math.inf, 7.0]

    @pytest.mark.parametrize(
        ("patience", "left", "reason"),
        [(5.0, 0.0, QUEUE_PREDICTED_TIMEOUT), (LONG, 5.0, QUEUE_PREDICTED_TIMEOUT), (LONG, -1.0, TOTAL_TIMEOUT)],
    )
    async def test_who_would_wait_in_vain_is_rejected_at_once(
        self, patience: float, left: float, reason: Reason
    ) -> None:
        limiter = full_limiter()
        give_back(limiter, 8.0)
        limiter.try_acquire()
        ex = exchange()
        ex.deadline = limiter.clock() + left if left else 0.0
        error = await refused(limit(limiter, patience, predict=True)(serve), ex)
        assert (error.reason, error.retry_after) == (reason, 8 if reason is QUEUE_PREDICTED_TIMEOUT else 0)
        assert (ex.queued, ex.concurrent, limiter.waiting) == (0.0, 1, 0)

    async def test_a_full_queue_says_so_whatever_is_predicted_and_a_higher_one_finds_a_place(self) -> None:
        limiter = full_limiter(room=2)
        give_back(limiter, 8.0)
        limiter.try_acquire()
        ranks = iter([Rank(LOW), Rank(LOW), ANY, ANY])
        handle = limit(limiter, LONG, None, lambda ex: next(ranks), predict=True)(serve)
        first, second, third = [asyncio.ensure_future(refused(handle, exchange())) for _ in range(3)]
        await turns()
        error = await second
        assert (error.reason, error.retry_after > 0) == (QUEUE_FULL, True)
        assert (await refused(handle, exchange())).reason is QUEUE_FULL
        assert limiter.waiting == 2
        for task in (first, third):
            task.cancel()
        await asyncio.gather(first, third, return_exceptions=True)

    async def test_who_is_dropped_because_the_newest_goes_first_waited_too_long(self) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)
        limiter.configure(Codel(0.1, 0.5))
        ex = exchange()
        ex.deadline = clock.now + 50.0
        old = asyncio.ensure_future(refused(limit(limiter, LONG)(serve), ex))
        await turns()
        clock.now += 9.0
        new = [asyncio.ensure_future(limit(limiter, LONG)(serve)(exchange())) for _ in range(2)]
        await turns()
        limiter.line.lanes[1].switch.observe(9.0, clock.now - 1.0)
        give_back(limiter)
        error = await old
        assert (error.reason, error.retry_after > 0, ex.queued) == (QUEUE_TIMEOUT, True, 9.0)
        await asyncio.gather(*new)
        assert limiter.idle

    async def test_a_full_queue(self) -> None:
        limiter = full_limiter(room=1)
        waiting = await waiters(limiter, 1)
        handle, ex = refusal_of(limiter, LONG)
        error = await refused(handle, ex)
        assert (error.reason, error.retry_after, ex.queued) == (QUEUE_FULL, 2, 0.0)
        await ended(*waiting)

    async def test_a_wait_that_ends_well(self) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)
        ex = exchange()
        task = asyncio.ensure_future(limit(limiter, LONG)(serve)(ex))
        await turns()
        assert limiter.waiting == 1
        clock.now += 2.5
        give_back(limiter)
        await task
        assert (ex.status, ex.queued, ex.concurrent, limiter.in_flight) == (200, 2.5, 1, 0)

    async def test_the_time_in_the_queue_is_not_time_held(self) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)

        async def below(ex: Exchange) -> None:
            clock.now += 3.0

        task = asyncio.ensure_future(limit(limiter, LONG)(below)(exchange()))
        await turns()
        clock.now += 40.0
        give_back(limiter)
        await task
        limiter.try_acquire()
        assert limiter.peek_retry_after() == 3

    @pytest.mark.parametrize(
        ("queue_timeout", "left", "reason"),
        [
            (0.2, 0.0, QUEUE_TIMEOUT),
            (0.2, LONG, QUEUE_TIMEOUT),
            (LONG, 0.2, TOTAL_TIMEOUT),
            (0.25, 0.25, TOTAL_TIMEOUT),
        ],
    )
    async def test_whichever_ends_first_ends_the_wait(self, queue_timeout: float, left: float, reason: Reason) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)
        handle, ex = refusal_of(limiter, queue_timeout, clock.now + left if left else 0.0)
        task = asyncio.ensure_future(refused(handle, ex))
        await turns()
        clock.now += 0.25
        error = await task
        assert error.reason is reason
        assert error.retry_after == (1 if reason is QUEUE_TIMEOUT else 0)
        assert (ex.queued, ex.concurrent, limiter.in_flight, limiter.waiting) == (0.25, 1, 1, 0)

    async def test_a_deadline_gone_by_is_not_waited_for(self) -> None:
        limiter = full_limiter()
        handle, ex = refusal_of(limiter, LONG, limiter.clock() - 1.0)
        assert (await refused(handle, ex)).reason is TOTAL_TIMEOUT

    async def test_one_who_leaves_the_queue_is_told_how_long_it_stood_there(self) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)
        ex = exchange()
        task = asyncio.ensure_future(limit(limiter, LONG)(serve)(ex))
        await turns()
        clock.now += 4.0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (ex.queued, ex.status, limiter.in_flight, limiter.waiting) == (4.0, 0, 1, 0)

    async def test_all_requests_count_as_arrivals_once(self) -> None:
        limiter = limiter_of(1, room=1)
        await limit(limiter, LONG)(serve)(exchange())
        limiter.try_acquire()
        waiting = asyncio.ensure_future(limit(limiter, LONG)(serve)(exchange()))
        await turns()
        await refused(limit(limiter, LONG)(serve), exchange())
        assert limiter.store.arrived == 4
        give_back(limiter)
        await waiting
        assert limiter.store.arrived == 4

    @pytest.mark.covers("T019", "T056")
    async def test_a_storm_of_clients_that_come_and_go_leaks_nothing(self) -> None:
        dice = random.Random(7)
        limiter = limiter_of(5, room=50)
        inside = peak = 0

        async def serve(ex: Exchange) -> None:
            nonlocal inside, peak
            inside += 1
            peak = max(peak, inside)
            try:
                await turns(dice.randrange(4))
            finally:
                inside -= 1

        handle = limit(limiter, LONG)(serve)
        tasks: list[asyncio.Task[None]] = []
        for _ in range(2000):
            tasks.append(asyncio.ensure_future(handle(exchange())))
            if dice.random() < 0.3:
                dice.choice(tasks[-20:]).cancel()
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert peak == 5
        assert (limiter.in_flight, limiter.waiting, limiter.extra_releases, inside) == (0, 0, 0, 0)

    @pytest.mark.parametrize(
        ("linger", "asked", "fails", "in_flight"),
        [
            (LONG, True, True, 1),  # an endpoint may see the end of the connection only after the next request
            (LONG, False, True, 0),
            (LONG, True, False, 0),
            (0.0, True, True, 1),  # the event loop closes the connection in its next turn
            (0.0, False, True, 0),
        ],
    )
    async def test_a_permit_lingers_where_a_connection_was_cut(
        self, linger: float, asked: bool, fails: bool, in_flight: int
    ) -> None:
        limiter = Limiter(1, clock=Clock(), linger=linger)

        async def below(ex: Exchange) -> None:
            ex.attempt = Attempt("127.0.0.1:1")
            ex.attempt.asked_at = 1.0 if asked else 0.0
            if fails:
                raise asyncio.CancelledError

        with suppress(asyncio.CancelledError):
            await limit(limiter)(below)(exchange())
        assert limiter.in_flight == in_flight

    @pytest.mark.parametrize("linger", [0.0, 1e-9])
    async def test_what_lingers_is_released(self, linger: float) -> None:
        limiter = Limiter(1, 1, clock=Clock(), linger=linger)

        async def below(ex: Exchange) -> None:
            ex.attempt = Attempt("127.0.0.1:1")
            ex.attempt.asked_at = 1.0
            raise GatewayError(UPSTREAM_RESET)

        with pytest.raises(GatewayError):
            await limit(limiter)(below)(exchange())
        assert limiter.in_flight == 1
        assert await limiter.acquire(LONG) != REFUSED
        assert limiter.in_flight == 1
