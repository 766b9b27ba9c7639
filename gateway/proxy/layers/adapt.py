"""Tells an adaptive limit of each attempt: when its request was sent, when its response began, and how it ended."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome
from gateway.errors import TOTAL_TIMEOUT, GatewayError, Source
from gateway.policy.adaptive import LOOK_SECONDS, Adaptive
from gateway.proxy.layers.break_circuit import outcome_of_total_timeout

FAILURE: Final = Outcome.FAILURE
_OVERLOADED: Final = (429, 503)
"""Statuses by which an upstream refuses what is too much for it (RFC 6585 4, RFC 9110 15.6.4)."""
_OVERLOADED_GRPC: Final = (8, 14)
"""RESOURCE_EXHAUSTED and UNAVAILABLE say the same in gRPC."""
_GATEWAY_TIMEOUT: Final = 504
_KNOWN_EVENTS: Final = 8
"""Events of a stream after which its own gaps are known."""
_PAUSES: Final = 3
"""Times its longest gap that a stream is silent when it waits again: it had to make way for others of a batch, say."""
_LEAST_PAUSE: Final = 1.0
"""Seconds, or else the network alone would seem to be such a wait."""


class AttemptAtWork:
    """An attempt of ``exchange``, as a `gateway.policy.adaptive.Work`; made before there is an `Attempt`."""

    __slots__ = ("_before", "_by_event", "_exchange", "permits")

    def __init__(self, exchange: Exchange, *, by_event: bool) -> None:
        self._exchange = exchange
        self._before = exchange.attempt
        self._by_event = by_event
        self.permits = exchange.concurrent

    @property
    def _attempt(self) -> Attempt | None:
        attempt = self._exchange.attempt
        return None if attempt is self._before else attempt

    @property
    def sent_at(self) -> float:
        """When the whole request was sent: how fast the caller uploads it is not the upstream's doing."""
        attempt = self._attempt
        return 0.0 if attempt is None else attempt.sent_at

    @property
    def begun_at(self) -> float:
        """The first byte, or the first data of a response whose events are watched and are what counts."""
        ex, attempt = self._exchange, self._attempt
        if attempt is None:
            return 0.0
        if self._by_event and ex.events is not None:
            return ex.events.first_at
        return attempt.first_byte_at or ex.commit_at  # the first of them is known at the end alone

    def stalls(self, now: float) -> bool:
        """No data came for much longer than ever before in this stream, and the caller takes what comes."""
        ex = self._exchange
        events = ex.events
        if not self._by_event or events is None or events.count < _KNOWN_EVENTS or ex.downstream.full:
            return False
        return now - events.since > max(_LEAST_PAUSE, _PAUSES * events.longest_gap)

    @property
    def served(self) -> bool:
        """An error may come without any work."""
        return self._exchange.status < 400

    @property
    def refused(self) -> bool:
        """The upstream says that it was too much."""
        ex = self._exchange
        return ex.status in _OVERLOADED or ex.grpc_status in _OVERLOADED_GRPC


def adapt(adaptive: Adaptive | None, *, by_event: bool = False) -> Layer:
    """Tell ``adaptive`` of each attempt. None: the layer is not there.

    A timeout of the upstream, 429 and 503 are drops. What else fails, and a caller who leaves, teaches nothing.
    """
    if adaptive is None:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            work = AttemptAtWork(ex, by_event=by_event)
            if adaptive.begin(work):
                asyncio.get_running_loop().call_later(LOOK_SECONDS, _look, adaptive)
            try:
                await next_handler(ex)
            except GatewayError as error:
                adaptive.end(work, dropped=_is_drop(error), ignored=True)
                raise
            except BaseException:
                dropped = ex.reason == TOTAL_TIMEOUT.code and outcome_of_total_timeout(ex) is FAILURE
                adaptive.end(work, dropped=dropped, ignored=True)
                raise
            adaptive.end(work, dropped=work.refused)

        return handle

    return layer


def _is_drop(error: GatewayError) -> bool:
    """The total timeout is none of these: it comes as a cancellation."""
    return error.reason.status == _GATEWAY_TIMEOUT and error.reason.source is Source.UPSTREAM


def _look(adaptive: Adaptive) -> None:
    """Again and again, as long as a request is at the upstream."""
    if adaptive.look():
        asyncio.get_running_loop().call_later(LOOK_SECONDS, _look, adaptive)
