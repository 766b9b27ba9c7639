"""Applies what an action says about time and retries: the layer of a call that stands above limiter and breaker.

A proxy's retries hold the permit in their pauses, which are short. Those of an action may wait for minutes, because its
upstream says so in Retry-After, so that each of its attempts is a new pass of all protections, and a call that waits
holds nothing. A refusal of our own ends it: more of the same would only be refused again. But a rate limit of the
connection says when it has a token, and a call waits for that as for a third party that responds with 429.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.actions.tokens import UNAUTHORIZED, CallToken
from gateway.core.attempt import NO_ATTEMPT
from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.message import RequestHead, ResponseHead
from gateway.errors import RATE_LIMIT, TOKEN_UNAVAILABLE, TOTAL_TIMEOUT, GatewayError
from gateway.policy.retry import TIMEOUT, failure_of
from gateway.proxy.layers.deadline import Expiry, current_task
from gateway.wire.memory import MemoryStream
from gateway.wire.retry_after_field import retry_after_of

Sleep = Callable[[float], Coroutine[None, None, None]]
Renew = Callable[[GatewayError | None], tuple[RequestHead, MemoryStream]]
"""Makes the request of another attempt, and the caller's end of it. It gets the error of the attempt before."""
Work = Callable[[Any], Awaitable[object]]
"""Uses a `gateway.connectors.connector.Connector`; returns the result."""


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
    """One call. ``stream``: the caller's end of the attempt that runs. ``seconds``: for all of it. ``body``: what each
    attempt sends."""

    stream: MemoryStream
    patience: Patience | None
    """None: one attempt is all, because the request may not be sent twice, or need not."""
    seconds: float
    body: bytes = field(default=b"", repr=False)
    error: GatewayError | None = None
    """Why there is no response."""
    work: Work | None = None
    """What a connector does, for each attempt; None: it is a request of HTTP."""
    token: CallToken | None = None
    """What puts an access token into each attempt; None: the call needs none."""
    renew: Renew | None = None
    """Makes the request of each further attempt; None: that is the same."""


def repeat(
    running: Mapping[Exchange, Running],
    *,
    clock: Clock = monotonic,
    epoch: Clock = time.time,
    sleep: Sleep = asyncio.sleep,
) -> Layer:
    """Serve the calls of ``running``. Sets ``failures``, and ``deadline``."""

    def layer(next_handler: Handler) -> Handler:
        attempts = _Attempts(next_handler, clock, epoch, sleep)

        async def handle(ex: Exchange) -> None:
            call = running[ex]
            loop = asyncio.get_running_loop()
            expiry = Expiry(ex, current_task(loop))
            ex.deadline = clock() + call.seconds
            timer = loop.call_later(call.seconds, expiry.fire)
            try:
                await attempts.make(ex, call)
            except GatewayError as error:
                call.error = error
                raise
            except asyncio.CancelledError:
                if expiry.settle():
                    call.error = _too_late(ex, call)
                    raise call.error from None
                raise
            finally:
                timer.cancel()
                expiry.settle()

        return handle

    return layer


@dataclass(frozen=True, slots=True)
class _Attempts:
    """Makes the attempts of calls, and the pauses between them."""

    next_handler: Handler
    clock: Clock
    epoch: Clock
    sleep: Sleep

    async def make(self, ex: Exchange, call: Running) -> None:
        """Until one is good, or is the last one. Raises `GatewayError` when that has no response."""
        patience, token = call.patience, call.token
        if patience is None and token is None:
            await self.next_handler(ex)
            return
        queued, number, renewed = 0.0, 0, False
        while True:
            number += 1
            failed = None
            if token is not None:
                ex.request = await token.head(ex.request)
            try:
                await self.next_handler(ex)
            except GatewayError as error:
                failed = error
            queued += ex.queued
            ex.queued = queued
            if call.stream.given:
                if failed is not None:
                    raise failed
                return
            cause = str(ex.status) if failed is None else _cause_of(failed)
            pause: float | None = None
            if token is not None and not renewed and failed is None and ex.status == UNAUTHORIZED:
                renewed = await token.refused()
                if renewed:
                    pause, number = 0.0, number - 1  # with a live token it would not have failed
            if pause is None and patience is not None and cause:
                pause = self._pause(ex, patience, number, cause, self._asked(call.stream.head, failed))
            if pause is None:
                if failed is not None:
                    raise failed
                return
            ex.failures = (*ex.failures, cause)
            following = _following(ex, call, failed)
            _forget(ex)
            await self.sleep(pause)
            ex.retried = self.clock() - ex.start_at - queued
            ex.queued = 0.0
            ex.downstream = call.stream = following

    def _asked(self, head: ResponseHead | None, failed: GatewayError | None) -> tuple[float | None, float]:
        """Seconds that are asked for before the next attempt, and seconds below which that would be in vain."""
        if failed is not None and failed.reason is RATE_LIMIT:
            until_token = float(failed.retry_after)
            return until_token, until_token
        return (None if head is None else retry_after_of(head.fields, self.epoch())), 0.0

    def _pause(
        self, ex: Exchange, patience: Patience, number: int, cause: str, asked: tuple[float | None, float]
    ) -> float | None:
        """Seconds; None: no other attempt. ``asked``: as `_asked`."""
        now, (seconds, least) = self.clock(), asked
        pause = patience.pause(number, cause, seconds, now - ex.start_at)
        return None if pause is None or pause < least or now + pause >= ex.deadline else pause


def _following(ex: Exchange, call: Running, failed: GatewayError | None) -> MemoryStream:
    """The caller's end of the next attempt, whose request ``ex`` has from now on."""
    if call.renew is None:
        return call.stream.again(call.body, call.stream.enough)
    ex.request, stream = call.renew(failed)
    return stream


def _cause_of(error: GatewayError) -> str:
    if error.reason is RATE_LIMIT:
        return str(RATE_LIMIT.status)
    return TIMEOUT if error.reason is TOTAL_TIMEOUT else failure_of(error)


def _too_late(ex: Exchange, call: Running) -> GatewayError:
    """Why the call has not ended in its time."""
    if call.token is not None and call.token.waits:
        return GatewayError(TOKEN_UNAVAILABLE, f"No access token came within the {call.seconds:g} s of the call")
    return GatewayError(TOTAL_TIMEOUT, f"The call took longer than its {call.seconds:g} s")


def _forget(ex: Exchange) -> None:
    """Make the exchange one that has no response yet: nothing of the last one went to anyone."""
    ex.attempt = NO_ATTEMPT
    ex.committed = ex.streamed = False
    ex.status, ex.reason, ex.commit_at = 0, "", 0.0
    ex.breaker, ex.breaker_of_upstream, ex.concurrent, ex.tried, ex.quota = "", False, 0, (), None
