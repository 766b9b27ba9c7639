"""Applies the retry: a second attempt where the first one met a stale connection."""

from __future__ import annotations

from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError
from gateway.policy.retry import STALE, may_retry


def retry(clock: Clock = monotonic) -> Layer:
    """Make one more attempt where `may_retry` allows it, never a third. Adds to ``failures``; the handler below counts
    ``attempts``.
    """

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            try:
                await next_handler(ex)
            except GatewayError as error:
                if not _may_retry(ex, error, clock()):
                    raise
                ex.failures = (*ex.failures, STALE)
            else:
                return
            await next_handler(ex)

        return handle

    return layer


def _may_retry(ex: Exchange, error: GatewayError, now: float) -> bool:
    return may_retry(
        ex.request.method,
        ex.deadline,
        now,
        retryable=error.retryable,
        unprocessed=error.unprocessed,
        committed=ex.committed,
        replayable=_replayable(ex),
    )


def _replayable(ex: Exchange) -> bool:
    """The body is there to be sent, or nothing of it was taken from the caller yet."""
    return has_body(ex) if ex.retries is None else ex.retries.replayable


def has_body(ex: Exchange) -> bool:
    """The request has no body, or one that was kept whole, or of which nothing was taken yet."""
    return ex.request.length == 0 or ex.body is not None or not (ex.bytes_in or ex.downstream.body_complete)
