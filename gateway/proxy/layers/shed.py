"""Applies load shedding: refuses its share of the new requests before anything is spent on them."""

from __future__ import annotations

from collections.abc import Coroutine

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import OVERLOADED, GatewayError
from gateway.policy.overload import Overload


def shed(overload: Overload | None) -> Layer:
    """Refuse with OVERLOADED what ``overload`` says, or set ``shadow`` in its shadow mode. None: there is no layer."""
    if overload is None:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        # Not a coroutine: nearly always this look is all.
        def handle(ex: Exchange) -> Coroutine[None, None, None]:
            if overload.share and overload.refuses():
                if not overload.shadow:
                    return refuse(ex)
                ex.shadow = OVERLOADED.code
            return next_handler(ex)

        async def refuse(ex: Exchange) -> None:
            raise GatewayError(OVERLOADED, retry_after=overload.retry_after())

        return handle

    return layer
