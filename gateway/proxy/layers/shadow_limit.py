"""Applies a limit and a queue that only count: what they would have refused is recorded, and no response changes.

The limit runs on the limiter that enforcing would use. A request that would have been refused takes no permit. One
that would have had to wait holds its place for as long as it would, or until it is over. So the permits in use stay
those of a gateway that enforces the limit, and the count is what that gateway would have seen.
"""

from __future__ import annotations

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome
from gateway.errors import CONCURRENCY_LIMIT, QUEUE_FULL, QUEUE_PREDICTED_TIMEOUT
from gateway.policy.limiter import WHY, Limiter, Waiter
from gateway.policy.machine import REFUSED
from gateway.policy.waiting_line import Rank
from gateway.proxy.layers.deliver import deliver
from gateway.proxy.ranks import RankOf, any_rank


def shadow_limit(
    limiter: Limiter, queue_timeout: float = 0.0, rank_of: RankOf = any_rank, *, predict: bool = False
) -> Layer:
    """Admit every exchange; set ``shadow`` where and when `limit` would refuse it, unless another layer did before.

    As there, it is over when the kernel has the response.
    """
    clock = limiter.clock

    def layer(next_handler: Handler) -> Handler:
        served = deliver(next_handler)

        async def handle(ex: Exchange) -> None:
            permit = limiter.try_acquire()
            ex.concurrent = limiter.in_flight
            waiter = None
            if permit == REFUSED:
                waiter = _take_place(limiter, ex, queue_timeout, rank_of, predict=predict)
            since = clock()
            try:
                await served(ex)
            finally:
                if permit != REFUSED:
                    limiter.release(permit, Outcome.IGNORED, clock() - since)
                elif waiter is not None:
                    limiter.leave(waiter)

        return handle

    return layer


def _take_place(
    limiter: Limiter, ex: Exchange, queue_timeout: float, rank_of: RankOf, *, predict: bool
) -> Waiter | None:
    if queue_timeout <= 0.0 or limiter.max_waiting <= 0:
        ex.shadow = ex.shadow or CONCURRENCY_LIMIT.code
        return None
    rank = rank_of(ex)
    if predict and _would_be_late(limiter, ex, queue_timeout, rank):
        ex.shadow = ex.shadow or QUEUE_PREDICTED_TIMEOUT.code
        return None
    waiter = limiter.join(queue_timeout, rank)
    if waiter is None:
        ex.shadow = ex.shadow or QUEUE_FULL.code
        return None

    def note(ended: Waiter) -> None:
        if not ended.cancelled() and ended.result() in WHY:
            ex.shadow = ex.shadow or WHY[ended.result()].code

    # When the time is up, and not when the exchange ends: until then an operator sees it too.
    waiter.add_done_callback(note)
    return waiter


def _would_be_late(limiter: Limiter, ex: Exchange, queue_timeout: float, rank: Rank) -> bool:
    if limiter.full and not limiter.line.yields_to(rank):
        return False  # it is rejected because the queue is full
    left = ex.deadline - limiter.clock() if ex.deadline else queue_timeout
    return limiter.expects_timeout(min(queue_timeout, left), rank)
