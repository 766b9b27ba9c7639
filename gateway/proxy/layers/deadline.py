"""One absolute deadline for all that an exchange does, its wait in the queue included.

The algorithm is that of `asyncio.timeout` (cancel the task, then take exactly that cancellation back), at a fifth of
its cost. A cancellation from outside, such as the client's leaving, always wins: it is never turned into a timeout, and
an alarm that comes after it does not disturb the cleaning up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import SWITCHED, Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import TOTAL_TIMEOUT, GatewayError

# A handler always runs in a task.
_TaskOf = Callable[[asyncio.AbstractEventLoop], asyncio.Task[object]]
current_task: _TaskOf = asyncio.current_task  # type: ignore[assignment]


class Expiry:
    """The alarm of one exchange: cancels its task, and knows that it did.

    It sets the reason in ``exchange.reason``, where the layers below read why they are being cancelled; all other code
    that interrupts an exchange does the same, and the first reason stays.
    """

    __slots__ = ("cancelling", "exchange", "fired", "task")

    def __init__(self, exchange: Exchange, task: asyncio.Task[object]) -> None:
        self.exchange = exchange
        self.task = task
        self.cancelling = task.cancelling()
        self.fired = False

    def fire(self) -> None:
        if self.task.cancelling() > self.cancelling or self.exchange.status == SWITCHED:
            return
        self.fired = True
        self.exchange.reason = TOTAL_TIMEOUT.code
        self.task.cancel()

    def settle(self) -> bool:
        """Take our cancellation back, once; True when there was one and none from outside besides."""
        if not self.fired:
            return False
        self.fired = False
        if self.task.uncancel() <= self.cancelling:
            return True
        self.exchange.reason = ""
        return False


def deadline(total: float, clock: Clock = monotonic) -> Layer:
    """End what takes longer than ``total`` seconds (0: never) with TOTAL_TIMEOUT. Sets ``deadline``.

    A tunnel is not ended: its time begins where the deadline's ends, at the 101.
    """
    if total <= 0.0:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            loop = asyncio.get_running_loop()
            expiry = Expiry(ex, current_task(loop))
            at = clock() + total
            ex.deadline = min(at, ex.deadline) if ex.deadline else at
            timer = loop.call_later(total, expiry.fire)
            try:
                await next_handler(ex)
            except asyncio.CancelledError:
                if expiry.settle():
                    raise GatewayError(TOTAL_TIMEOUT) from None
                raise
            finally:
                timer.cancel()
                expiry.settle()

        return handle

    return layer
