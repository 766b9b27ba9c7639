"""Applies the limiter: one permit for all attempts of an exchange and its whole response, or a rejection."""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import CONCURRENCY_LIMIT, QUEUE_FULL, QUEUE_TIMEOUT, TOTAL_TIMEOUT, GatewayError
from gateway.policy.limiter import Limiter

Rejection = Callable[[], str]
"""Says for which reason a queue in shadow mode would refuse."""


def limit(limiter: Limiter | None, queue_timeout: float = 0.0, shadow_queue: Rejection | None = None) -> Layer:
    """Admit an exchange when ``limiter`` has a permit for it, which then covers all that happens below.

    Without a free permit: CONCURRENCY_LIMIT at once, or, when both ``queue_timeout`` (seconds) and the queue's
    ``max_waiting`` are above 0, a wait that may end in QUEUE_FULL, QUEUE_TIMEOUT, or TOTAL_TIMEOUT when the deadline
    comes first. Sets ``queued`` and ``concurrent``, for those who are refused too. With ``shadow_queue`` nobody waits.
    """
    if limiter is None:
        return lambda next_handler: next_handler
    clock = limiter.clock

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            if not limiter.try_acquire():
                if shadow_queue is not None:
                    ex.shadow = shadow_queue()
                    ex.concurrent = limiter.in_flight
                    raise GatewayError(CONCURRENCY_LIMIT, retry_after=limiter.reserve_retry_after())
                await _wait_for_turn(limiter, ex, queue_timeout)
            since = clock()
            ex.concurrent = limiter.in_flight
            try:
                await next_handler(ex)
            finally:
                limiter.release(clock() - since)

        return handle

    return layer


async def _wait_for_turn(limiter: Limiter, ex: Exchange, patience: float) -> None:
    ex.concurrent = limiter.in_flight
    if patience <= 0.0 or limiter.queue.max_waiting <= 0:
        raise GatewayError(CONCURRENCY_LIMIT, retry_after=limiter.reserve_retry_after())
    if limiter.queue.full:
        raise GatewayError(QUEUE_FULL, retry_after=limiter.reserve_retry_after())
    asked = limiter.clock()
    left = ex.deadline - asked if ex.deadline else math.inf
    try:
        admitted = await limiter.wait(min(patience, left))
    finally:
        ex.queued = limiter.clock() - asked
    if admitted:
        return
    ex.concurrent = limiter.in_flight
    if left <= patience:
        raise GatewayError(TOTAL_TIMEOUT)
    raise GatewayError(QUEUE_TIMEOUT, retry_after=limiter.reserve_retry_after())
