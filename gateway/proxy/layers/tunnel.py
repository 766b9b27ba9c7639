"""An exchange whose endpoint has switched protocols goes on as a tunnel, until that is over."""

from __future__ import annotations

from time import monotonic

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer


def tunnel(idle: float, *, enabled: bool) -> Layer:
    """Wait for the end of the tunnel that the attempt has begun. Sets ``bytes_out``, ``blocked`` and ``last_byte_at``.

    ``idle``: seconds without a byte in either direction after which it ends with TUNNEL_IDLE_TIMEOUT; 0: no bound.
    Whatever ends the exchange ends the tunnel.
    """
    if not enabled:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            await next_handler(ex)
            down = ex.downstream
            made = down.tunnel
            if made is None:
                return
            try:
                await made.over(idle)
            finally:
                made.cut(ex.gone_at)
                ex.bytes_out = down.body_out
                ex.blocked = down.blocked
                ex.attempt.last_byte_at = monotonic()

        return handle

    return layer
