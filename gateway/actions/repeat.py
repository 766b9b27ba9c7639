"""Applies what an action says about time and retries: the layer of a call that stands above limiter and breaker.

A proxy's retries hold the permit in their pauses, which are short. Those of an action may wait for minutes, because its
upstream says so in Retry-After, so that each of its attempts is a new pass of all protections, and a call that waits
holds nothing. A refusal of our own ends it: more of the same would only be refused again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.attempt import NO_ATTEMPT
from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.message import ResponseHead
from gateway.errors import TOTAL_TIMEOUT, GatewayError
from gateway.policy.retry import TIMEOUT, failure_of
from gateway.proxy.layers.deadline import Expiry, current_task
from gateway.wire.memory import MemoryStream
from gateway.wire.retry_after_field import retry_after_of

Sleep = Callable[[float], Coroutine[None, None, None]]


class Patience(Protocol):
    """When a call is made again."""

    def pause(self, attempts: int, cause: str, asked: float | None, spent: float) -> float | None:
        """Seconds until the next attempt; None: there is none.

        ``attempts``: those that have failed. ``cause``: a status, or a word of `gateway.policy.retry.FAILURES`.
        ``asked``: seconds that the upstream wants. ``spent``: seconds since the call began.
        """
        ...


@dataclass(slots=True, eq=False)
class Running:
    """One call. ``answer`` makes the caller's end, again for each attempt. ``seconds``: for all of it."""

    answer: Callable[[], MemoryStream]
    patience: Patience | None
    """None: one attempt is all, because the request may not be sent twice, or need not."""
    seconds: float
    error: GatewayError | None = None
    """Why there is no response."""


def repeat(
    running: Mapping[Exchange, Running],
    *,
    clock: Clock = monotonic,
    epoch: Clock = time.time,
    sleep: Sleep = asyncio.sleep,
) -> Layer:
    """Serve the calls of ``running``. Sets ``failures``, and ``deadline``."""

    def layer(next_handler: Handler) -> Handler:
        async def attempts(ex: Exchange, call: Running) -> None:
            queued, number = 0.0, 0
            while True:
                number += 1
                ex.downstream = answer = call.answer()
                cause, failed = "", None
                try:
                    await next_handler(ex)
                    cause = str(ex.status)
                except GatewayError as error:
                    failed = error
                    cause = TIMEOUT if error.reason is TOTAL_TIMEOUT else failure_of(error)
                queued += ex.queued
                ex.queued = queued
                pause = _pause(call, ex, number, cause, answer.head, clock(), epoch())
                if pause is None:
                    if failed is not None:
                        raise failed
                    return
                ex.failures = (*ex.failures, cause)
                _forget(ex)
                await sleep(pause)
                ex.retried = clock() - ex.start_at - queued
                ex.queued = 0.0

        async def handle(ex: Exchange) -> None:
            call = running[ex]
            loop = asyncio.get_running_loop()
            expiry = Expiry(ex, current_task(loop))
            ex.deadline = clock() + call.seconds
            timer = loop.call_later(call.seconds, expiry.fire)
            try:
                await attempts(ex, call)
            except GatewayError as error:
                call.error = error
                raise
            except asyncio.CancelledError:
                if expiry.settle():
                    call.error = GatewayError(TOTAL_TIMEOUT, f"The call took longer than its {call.seconds:g} s")
                    raise call.error from None
                raise
            finally:
                timer.cancel()
                expiry.settle()

        return handle

    return layer


def _pause(
    call: Running, ex: Exchange, number: int, cause: str, head: ResponseHead | None, now: float, epoch: float
) -> float | None:
    if call.patience is None or not cause:
        return None
    asked = None if head is None else retry_after_of(head.fields, epoch)
    pause = call.patience.pause(number, cause, asked, now - ex.start_at)
    return None if pause is None or now + pause >= ex.deadline else pause


def _forget(ex: Exchange) -> None:
    """Make the exchange one that has no response yet: nothing of the last one went to anyone."""
    ex.attempt = NO_ATTEMPT
    ex.committed = ex.streamed = False
    ex.status, ex.reason, ex.commit_at = 0, "", 0.0
    ex.breaker, ex.concurrent, ex.tried = "", 0, ()
