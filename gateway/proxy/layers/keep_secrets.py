"""No secret is sent to a forward proxy that can read it."""

from __future__ import annotations

from gateway import errors
from gateway.config.records import Route
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError


def keep_secrets(route: Route, *, legible: bool) -> Layer:
    """Reject with ``upstream_denied`` what would show a secret to a forward proxy, unless the settings allow it.

    ``legible``: a forward proxy stands on the way and reads what is sent.
    """
    exposed = legible and not route.clear_text_proxy and holds_secret(route)

    def layer(next_handler: Handler) -> Handler:
        async def refuse(ex: Exchange) -> None:
            raise GatewayError(errors.UPSTREAM_DENIED, "A forward proxy on the way could read a secret of this proxy")

        return refuse if exposed else next_handler

    return layer


def holds_secret(route: Route) -> bool:
    """Whether its requests hold a secret."""
    return route.credential or any(header.secret for header in route.headers)
