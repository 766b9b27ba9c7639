"""No request is sent without a header that the configuration requires."""

from __future__ import annotations

from collections.abc import Iterable

from gateway import errors
from gateway.config.records import Header, Missing
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError


def require_templates(headers: Iterable[Header]) -> Layer:
    """Reject with ``template_missing`` while a variable or secret that the headers name is not set."""
    missing = any(isinstance(part, Missing) for header in headers for part in header.parts)

    def layer(next_handler: Handler) -> Handler:
        async def refuse(ex: Exchange) -> None:
            raise GatewayError(errors.TEMPLATE_MISSING)

        return refuse if missing else next_handler

    return layer
