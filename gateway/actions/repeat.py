"""Applies what an action says about time and retries: the layer of a call that stands above limiter and breaker.

A proxy's retries hold the permit in their pauses, which are short. Those of an action may wait for minutes, because its
upstream says so in Retry-After, so that each of its attempts is a new pass of all protections, and a call that waits
holds nothing. A refusal of our own ends it: more of the same would only be refused again. But a rate limit of the
connection says when it has a token, and a call waits for that in a line, once for each attempt.
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
from gateway.core.quota import Place
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

    def wait(self, attempts: int, spent: float) -> float:
        """Seconds that an attempt waits at most for a token of the rate limits of its connection; 0.0: not at all.
        ``attempts``, ``spent``: as above."""
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
    queued: float = 0.0
    """Seconds in queues, of the attempts that are over."""


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
        number, renewed = 0, False
        while True:
            number += 1
            failed = await self._attempt(ex, call, number)
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
                pause = self._pause(ex, patience, number, cause, call.stream.head)
            if pause is None:
                if failed is not None:
                    raise failed
                return
            following = _following(ex, call, failed)
            ex.failures = (*ex.failures, cause)
            _forget(ex)
            await self.sleep(pause)
            self._go_on(ex, call, following)

    async def _attempt(self, ex: Exchange, call: Running, number: int) -> GatewayError | None:
        """Make one; returns why it has no response. One for which a rate limit of the connection has no token is not
        made, and waits for its token, where the patience of the call allows that."""
        place: Place | None = None
        while True:
            before = call.queued
            try:
                if call.token is not None:
                    ex.request = await call.token.head(ex.request)
                failed = await self._below(ex)
            finally:
                if place is not None:
                    place.leave()
                call.queued += ex.queued
                ex.queued = call.queued
                ex.retried -= before
            if failed is None or failed.reason is not RATE_LIMIT:
                return failed
            place = ex.place
            if place is None or not await self._reaches(place, ex, call, number):
                return failed
            following = _following(ex, call, failed)
            _forget(ex)
            self._go_on(ex, call, following)

    async def _below(self, ex: Exchange) -> GatewayError | None:
        """Let the layers below make it; returns why it has no response."""
        try:
            await self.next_handler(ex)
        except GatewayError as error:
            return error
        return None

    async def _reaches(self, place: Place, ex: Exchange, call: Running, number: int) -> bool:
        """Whether the token of ``place`` is there in time."""
        began = self.clock()
        most = 0.0 if call.patience is None else call.patience.wait(number - 1, began - ex.start_at)
        if not most:
            return False
        try:
            return await place.reach(min(began + most, ex.deadline))
        finally:
            call.queued += self.clock() - began
            ex.queued = call.queued

    def _go_on(self, ex: Exchange, call: Running, following: MemoryStream) -> None:
        """Before the next attempt, whose end of the caller is ``following``. All time until now is that of others, so
        that a breaker does not blame this attempt for it; when it is over, queues are no longer part of that."""
        ex.retried, ex.queued = self.clock() - ex.start_at, 0.0
        ex.downstream = call.stream = following

    def _pause(
        self, ex: Exchange, patience: Patience, number: int, cause: str, head: ResponseHead | None
    ) -> float | None:
        """Seconds; None: no other attempt."""
        asked = None if head is None else retry_after_of(head.fields, self.epoch())
        now = self.clock()
        pause = patience.pause(number, cause, asked, now - ex.start_at)
        return None if pause is None or now + pause >= ex.deadline else pause


def _following(ex: Exchange, call: Running, failed: GatewayError | None) -> MemoryStream:
    """The caller's end of the next attempt, whose request ``ex`` has from now on."""
    if call.renew is None:
        return call.stream.again(call.body, call.stream.enough)
    ex.request, stream = call.renew(failed)
    return stream


def _cause_of(error: GatewayError) -> str:
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
