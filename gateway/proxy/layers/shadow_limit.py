"""A limit and a queue that only count: what they would have refused is noted, and not a byte of any answer changes.

The limit runs on the limiter that enforcing would use. Who would have been refused takes no permit, and who would have
had to wait holds its place for as long as it would, or until it is over: so the permits in use stay those of the
world in which the limit is enforced, and the count is what that world would have seen.
"""

from __future__ import annotations

import asyncio

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import CONCURRENCY_LIMIT, QUEUE_FULL, QUEUE_TIMEOUT
from gateway.policy.limiter import Limiter, Waiter


def shadow_limit(limiter: Limiter, queue_timeout: float = 0.0) -> Layer:
    """Admit everybody; set ``shadow`` where `limit` would refuse."""
    clock = limiter.clock

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            waiter: Waiter | None = None
            timer: asyncio.TimerHandle | None = None
            admitted = limiter.try_acquire()
            ex.concurrent = limiter.in_flight
            if not admitted:
                waiter, timer = _take_place(limiter, ex, queue_timeout)
            since = clock()
            try:
                await next_handler(ex)
            finally:
                if timer is not None:
                    timer.cancel()
                if admitted:
                    limiter.release(clock() - since)
                elif waiter is not None:
                    limiter.withdraw(waiter)

        return handle

    return layer


def _take_place(
    limiter: Limiter, ex: Exchange, queue_timeout: float
) -> tuple[Waiter | None, asyncio.TimerHandle | None]:
    if queue_timeout <= 0.0 or limiter.queue.max_waiting <= 0:
        ex.shadow = CONCURRENCY_LIMIT.code
        return None, None
    loop = asyncio.get_running_loop()
    waiter: Waiter = loop.create_future()
    if not limiter.queue.join(waiter):
        ex.shadow = QUEUE_FULL.code
        return None, None

    def give_up() -> None:
        if not waiter.done():
            limiter.queue.leave(waiter)
            waiter.set_result(False)
            ex.shadow = QUEUE_TIMEOUT.code

    return waiter, loop.call_later(queue_timeout, give_up)
