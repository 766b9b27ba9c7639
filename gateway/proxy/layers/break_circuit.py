"""Applies the circuit breaker: refuses what it does not admit, and reports how each admitted attempt ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container
from typing import Final

from gateway.core.client import address_text
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome
from gateway.core.statuses import statuses
from gateway.errors import BREAKER_OPEN, TOTAL_TIMEOUT, GatewayError, Source
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.machine import REFUSED
from gateway.proxy.admission import client_of
from gateway.proxy.grpc import outcome_of

# Constants, because Python 3.11 runs a function of its enum module for each `Outcome.X`: 0.3 us.
SUCCESS: Final = Outcome.SUCCESS
FAILURE: Final = Outcome.FAILURE
IGNORED: Final = Outcome.IGNORED
_SEVERITY: Final = ("", State.CLOSED.word, State.HALF_OPEN.word, State.OPEN.word)


def outcome_of_error(ex: Exchange, error: GatewayError) -> Outcome:
    """What a failed attempt says about its upstream.

    A stale pooled connection (``retryable``) says nothing: the retry decides. Neither do the client's faults and our
    own refusals; the total timeout is ours, but the upstream may have caused it.
    """
    if error.retryable:
        return IGNORED
    if error.reason is TOTAL_TIMEOUT:
        return outcome_of_total_timeout(ex)
    return FAILURE if error.reason.source is Source.UPSTREAM else IGNORED


def outcome_of_total_timeout(ex: Exchange) -> Outcome:
    """FAILURE when the upstream had the whole request, or none was to be uploaded, and had not begun to respond.

    Not when our own queue, or attempts before this one, took the larger part of the time.
    """
    asked = ex.attempt.sent_at > 0.0 or ex.request.length == 0
    late = ex.queued + ex.retried > (ex.deadline - ex.start_at) / 2
    return FAILURE if asked and not late and not ex.committed else IGNORED


FAILURES: Final = statuses(["500-599"])


def judged(
    ex: Exchange, error: BaseException | None = None, failures: Container[int] = FAILURES
) -> tuple[Outcome, str]:
    """What an attempt that is over says about its endpoint, and the word for why. ``error``: what ended it, if any did.

    A status of ``failures`` is a FAILURE, any other a SUCCESS; a response of gRPC is judged by its own status, because
    that of HTTP is always 200.
    """
    if error is None:
        if ex.grpc_status > 0:
            return outcome_of(ex.grpc_status), f"grpc-status {ex.grpc_status}"
        return (FAILURE if ex.status in failures else SUCCESS), ""
    if isinstance(error, GatewayError):
        return outcome_of_error(ex, error), error.reason.code
    if isinstance(error, asyncio.CancelledError):
        timed_out = ex.reason == TOTAL_TIMEOUT.code
        return (outcome_of_total_timeout(ex) if timed_out else IGNORED), ex.reason
    return IGNORED, ""


def first_byte_after(ex: Exchange, now: float) -> float:
    """Seconds from the end of the request to the first byte of its response, or to ``now`` as long as there is none.

    0.0: the upstream responded before it had the whole request, or the request never went out whole, so that the
    caller may be the slow one.
    """
    attempt = ex.attempt
    return max(0.0, (attempt.first_byte_at or now) - attempt.sent_at) if attempt.sent_at else 0.0


def caller_of(ex: Exchange) -> bytes:
    """Who makes the request: the principal, else the address of the client, of IPv6 its /64 network."""
    if ex.principal is not None:
        return f"{ex.principal.kind} {ex.principal.id}".encode()
    return client_of(address_text(ex.downstream.peer.real_client(ex.request))).encode()


def break_circuit(
    breaker: Breaker | None,
    failures: Collection[int] = FAILURES,
    of: bytes = b"",
    ignored: Collection[int] = (),
    *,
    whole: bool = False,
) -> Layer:
    """Run an attempt when ``breaker`` admits it, else BREAKER_OPEN; judge it when it is over.

    It is over at the last byte: a probe keeps its place while its response streams, and a response that breaks off in
    the middle is a FAILURE. ``failures``: the statuses that are failures. ``of``: what makes the attempts, for
    explanations; empty: the callers of a proxy. ``ignored``: statuses that say nothing about the endpoint. ``whole``:
    the breaker judges all endpoints together.
    Sets ``breaker``; in shadow mode ``shadow`` instead of a refusal; ``breaker_of_upstream`` where that is the one
    which rejects.
    """
    if breaker is None:
        return lambda next_handler: next_handler

    said = frozenset(failures).union(ignored)  # statuses that are no success

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            permit = breaker.try_acquire()
            ex.breaker = breaker.asked
            if permit == REFUSED:
                if not breaker.shadow:
                    ex.breaker_of_upstream = whole
                    raise _rejection(breaker)
                if not ex.shadow:
                    ex.shadow, ex.breaker_of_upstream = BREAKER_OPEN.code, whole
            outcome = IGNORED
            reason = ""
            try:
                await next_handler(ex)
                if ex.status not in said and ex.grpc_status <= 0:  # as `judged`, without a call
                    outcome = SUCCESS
                else:
                    outcome, reason = judged(ex, None, failures)
                    if ex.status in ignored:
                        outcome = IGNORED
            except BaseException as error:
                outcome, reason = judged(ex, error)
                raise
            finally:
                seconds, caller = 0.0, b""
                if breaker.counts:
                    seconds = first_byte_after(ex, breaker.clock())
                    if breaker.wants_caller(outcome, seconds):
                        caller = ex.attempt.endpoint.encode() if breaker.rules.of_endpoints else caller_of(ex)
                ident = b"%b %b" % (ex.request_id, of) if of else ex.request_id
                breaker.release(permit, outcome, seconds, reason, ex.status, ident, caller)

        return handle

    return layer


def keep_state(*, enabled: bool) -> Layer:
    """Between the breaker of an upstream and those of its endpoints: the worse of the states in which they were asked
    is in ``breaker`` of the exchange."""
    if not enabled:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            asked = ex.breaker
            try:
                await next_handler(ex)
            finally:
                ex.breaker = max(asked, ex.breaker, key=_SEVERITY.index)

        return handle

    return layer


def _rejection(breaker: Breaker) -> GatewayError:
    return GatewayError(BREAKER_OPEN, retry_after=breaker.retry_after(), headers=(("X-Circuit-Breaker", "open"),))
