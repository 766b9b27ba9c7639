"""A second attempt for a request that met a connection which the upstream was just closing.

RFC 9112, 9.3.1: a client, and so an intermediary, may repeat a request by itself when the connection was closed before
any answer came, but only one with an idempotent method. No attempt is ever made for another reason: a failure that the
upstream meant is the caller's to judge.
"""

from __future__ import annotations

from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110, 9.2.2."""


def may_retry(ex: Exchange, error: GatewayError, now: float) -> bool:
    """Whether the same request may be sent once more.

    Replayable is a request without a body, or with one that was taken whole: what is relayed is not kept.
    """
    return (
        error.retryable
        and not ex.committed
        and ex.request.method in IDEMPOTENT
        and (ex.request.length == 0 or ex.body is not None)
        and not 0.0 < ex.deadline <= now
    )


def retry(clock: Clock = monotonic) -> Layer:
    """Make one more attempt where `may_retry` allows it, never a third. Who makes them counts ``attempts``."""

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            try:
                await next_handler(ex)
            except GatewayError as error:
                if not may_retry(ex, error, clock()):
                    raise
            else:
                return
            await next_handler(ex)

        return handle

    return layer
