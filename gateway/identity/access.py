"""Access rules. What exists so far needs no principal: public, nobody, and superusers, of whom there are none yet."""

from __future__ import annotations

from gateway import errors
from gateway.config.document import Proxy
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError

_DENIED = {"": errors.UNAUTHENTICATED, "false": errors.FORBIDDEN}


def identify(proxy: Proxy) -> Layer:
    """Admit by ``proxy.access_rule``: "true" everybody, "false" nobody (403), "" superusers only (401)."""
    if proxy.access_rule == "true":
        return lambda next_handler: next_handler
    # A rule that is not known admits nobody.
    reason = _DENIED.get(proxy.access_rule, errors.FORBIDDEN)

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            raise GatewayError(reason)

        return handle

    return layer
