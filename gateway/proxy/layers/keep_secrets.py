"""No secret is sent to a forward proxy that can read it."""

from __future__ import annotations

from gateway import errors
from gateway.config.document import Proxy
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError


def keep_secrets(proxy: Proxy, *, legible: bool) -> Layer:
    """Refuse with ``upstream_denied`` what would show a secret to a forward proxy, unless the proxy's settings say so.

    ``legible``: a forward proxy stands on the way and reads what is sent.
    """
    exposed = legible and not proxy.clear_text_proxy and any(header.secret for header in proxy.headers)

    def layer(next_handler: Handler) -> Handler:
        async def refuse(ex: Exchange) -> None:
            raise GatewayError(errors.UPSTREAM_DENIED, "A forward proxy on the way could read a secret of this proxy")

        return refuse if exposed else next_handler

    return layer
