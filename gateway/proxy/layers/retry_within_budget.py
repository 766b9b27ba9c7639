"""Applies the retries that a proxy has: another attempt after a failure that is listed, as often as its budget allows.

The permit of the exchange is held all the while, also in the pause before an attempt. Given back, the exchange would
have to queue again, behind all who came later, and could be refused after it had been admitted; and the pauses are
short (`docs/concepts.md` has the numbers).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine

from gateway.config import records
from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError
from gateway.policy.backoff import Random
from gateway.policy.budget import RetryBudget
from gateway.policy.limiter import Limiter
from gateway.proxy.retries import ExchangeRetries, FallsBack, Means, never
from gateway.wire.buffers import BufferPool

Sleep = Callable[[float], Coroutine[None, None, None]]


def retry_within_budget(
    settings: records.Retries,
    budget: RetryBudget,
    buffers: BufferPool,
    limiter: Limiter | None = None,
    falls_back: FallsBack = never,
    *,
    clock: Clock = monotonic,
    epoch: Clock = time.time,
    jitter: Random = random.random,
    sleep: Sleep = asyncio.sleep,
) -> Layer:
    """Make as many attempts as ``settings`` and ``budget`` allow. Sets ``retries`` and ``failures``.

    ``buffers``: in whose budget bodies are kept. ``limiter``: that of the upstream. The endpoint must see the end of an
    attempt that was cut before the next one reaches it, or it would have one request more than it may. ``falls_back``:
    says what the fallback of the route takes over from. An attempt whose response is not for the caller ends without an
    error and without a commit, so that the layers below judge it by its status. A retry that these reject before
    anything is sent counts as none: the caller gets what the attempt before it has brought.
    """
    if not settings.active:
        return lambda next_handler: next_handler
    means = Means(settings, budget, buffers, clock, epoch, jitter, falls_back)

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            ex.retries = retries = ExchangeRetries(ex, means)
            try:
                while True:
                    try:
                        await next_handler(ex)
                    except GatewayError as error:
                        if not (retries.failed(error) or retries.rejected(error)):
                            raise
                    if not retries.due_at:
                        return
                    # At least a turn of the event loop, which then closes the connection of the attempt.
                    await sleep(max(retries.begin_wait(), 0.0 if limiter is None else limiter.linger))
                    retries.end_wait()
            finally:
                retries.close()

        return handle

    return layer
