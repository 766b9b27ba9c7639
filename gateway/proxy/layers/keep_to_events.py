"""Fails an exchange whose upstream sent no events where the caller was promised some, by the head that came early."""

from __future__ import annotations

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import NO_EVENT_STREAM, GatewayError


def keep_to_events(*, enabled: bool) -> Layer:
    """Raise NO_EVENT_STREAM when the response did not fit into the stream that has begun while the request waited.

    The attempt is over by then, and was judged by the status of that response. ``enabled``: streams may begin so.
    """
    if not enabled:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            await next_handler(ex)
            if ex.opened is not None and ex.opened.unfit is not None:
                raise GatewayError(
                    NO_EVENT_STREAM,
                    f"The upstream responded with status {ex.status}, and not with a stream of events that could go on "
                    "in the response that has begun while the request waited (queue.comments)",
                )

        return handle

    return layer
