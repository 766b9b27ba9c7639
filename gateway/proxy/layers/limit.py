"""Applies the limiter: one permit for all attempts of an exchange and its whole response, or a refusal.

The response is over when the kernel has it. That is waited for here and not in `deliver`, because a layer costs 2 % of
a request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome
from gateway.errors import CONCURRENCY_LIMIT, QUEUE_FULL, QUEUE_PREDICTED_TIMEOUT, TOTAL_TIMEOUT, GatewayError
from gateway.policy.limiter import WHY, Limiter
from gateway.policy.machine import REFUSED
from gateway.proxy.layers.deliver import deliver
from gateway.proxy.queue_comments import QueueComments
from gateway.proxy.ranks import RankOf, any_rank

IGNORED: Final = Outcome.IGNORED
"""What a fixed limit learns from how an exchange ended."""
Rejection = Callable[[float], str]
"""Says for which reason a queue in shadow mode would refuse a request that has so many seconds."""


def limit(
    limiter: Limiter | None,
    queue_timeout: float = 0.0,
    shadow_queue: Rejection | None = None,
    rank_of: RankOf = any_rank,
    *,
    predict: bool = False,
    comments: QueueComments | None = None,
) -> Layer:
    """Admit an exchange when ``limiter`` has a permit for it, which then covers all that happens below, and the wait
    until the kernel has the response: as `deliver`, which is all that is left without a limiter.

    Without a free permit: CONCURRENCY_LIMIT at once, or, when both ``queue_timeout`` (seconds) and the queue's
    ``max_waiting`` are above 0, a wait that may end in QUEUE_FULL, QUEUE_TIMEOUT, or TOTAL_TIMEOUT when the deadline
    comes first; with ``predict``, QUEUE_PREDICTED_TIMEOUT at once. Sets ``queued`` and ``concurrent``, for refused
    requests too. With ``shadow_queue`` no request waits. ``rank_of``: who goes first. ``comments``: tells those who
    wait where they stand.
    """
    if limiter is None:
        return deliver
    clock = limiter.clock

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            permit = limiter.try_acquire()
            if permit == REFUSED:
                if shadow_queue is not None:
                    # it learns by being asked
                    verdict = shadow_queue(ex.deadline - clock() if ex.deadline else math.inf)
                    ex.shadow = ex.shadow or verdict
                    ex.concurrent = limiter.in_flight
                    raise GatewayError(CONCURRENCY_LIMIT, retry_after=limiter.reserve_retry_after())
                permit = await _wait_for_turn(limiter, ex, queue_timeout, rank_of, comments, predict=predict)
                ex.concurrent = limiter.in_flight
            else:
                ex.concurrent = limiter.store.taken  # of the store that it has now: it may move
            since = clock()
            try:
                await next_handler(ex)
                down = ex.downstream
                if down.full:
                    ex.blocked = await down.sent()
            except BaseException:
                if ex.attempt.asked_at:
                    # Not before the endpoint can see that it is over: the event loop closes a connection a turn later.
                    loop = asyncio.get_running_loop()
                    loop.call_later(limiter.linger, limiter.release, permit, IGNORED, clock() - since)
                else:
                    limiter.release(permit, IGNORED, clock() - since)
                raise
            limiter.release(permit, IGNORED, clock() - since)

        return handle

    return layer


async def _wait_for_turn(
    limiter: Limiter, ex: Exchange, patience: float, rank_of: RankOf, comments: QueueComments | None, *, predict: bool
) -> int:
    ex.concurrent = limiter.in_flight
    if patience <= 0.0 or limiter.max_waiting <= 0:
        raise GatewayError(CONCURRENCY_LIMIT, retry_after=limiter.reserve_retry_after())
    asked = limiter.clock()
    left = ex.deadline - asked if ex.deadline else math.inf
    rank = rank_of(ex)
    if limiter.full and not limiter.line.yields_to(rank):
        raise GatewayError(QUEUE_FULL, retry_after=limiter.reserve_retry_after())
    if predict and limiter.expects_timeout(min(patience, left), rank):
        raise GatewayError(QUEUE_PREDICTED_TIMEOUT, retry_after=limiter.reserve_retry_after())
    joined = None if comments is None or not comments.are_for(ex) else partial(comments.enter, ex)
    try:
        permit = await limiter.wait(min(patience, left), rank, joined)
    finally:
        ex.queued = limiter.clock() - asked
    if permit not in WHY:
        return permit
    ex.concurrent = limiter.in_flight
    if permit == REFUSED and left <= patience:
        raise GatewayError(TOTAL_TIMEOUT)
    raise GatewayError(WHY[permit], retry_after=limiter.reserve_retry_after())
