"""The end of an exchange: it is over when the kernel has its response, not when we have it in a buffer."""

from __future__ import annotations

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler


def deliver(next_handler: Handler) -> Handler:
    """Wait until the client has taken what was written of the response. Sets ``blocked``. `limit` does the same.

    The client connection bounds how long that may take: it cancels the exchange (CLIENT_TIMEOUT, CLIENT_GONE).
    """

    async def handle(ex: Exchange) -> None:
        await next_handler(ex)
        down = ex.downstream
        if down.full:
            ex.blocked = await down.sent()

    return handle
