"""Who is let in: proves the caller by its credentials, and asks the proxy's access rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

from gateway import errors
from gateway.config.document import AuthField, Proxy
from gateway.config.rule import Head, Rule, compile_rule
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.principal import Principal
from gateway.errors import GatewayError
from gateway.identity.authenticator import Authenticator


def identify(authenticator: Authenticator) -> Callable[[Proxy], Layer]:
    """The layer of each proxy. 401 ``unauthenticated`` for who proved nothing, 403 ``forbidden`` for all others.

    ``"true"`` admits everybody, ``"false"`` nobody (403, logged in or not), ``""`` superusers alone. A superuser is a
    caller like any other for every other rule.
    """

    def layer_of(proxy: Proxy) -> Layer:
        rule = _rule(proxy.access_rule)
        if rule is None and not any(isinstance(part, AuthField) for header in proxy.headers for part in header.parts):
            return lambda next_handler: next_handler
        anonymous = errors.FORBIDDEN if proxy.access_rule == "false" else errors.UNAUTHENTICATED

        def layer(next_handler: Handler) -> Handler:
            # Not a coroutine: it never waits.
            def handle(ex: Exchange) -> Awaitable[None]:
                began = monotonic()
                known = ex.request.known
                ex.principal = principal = authenticator.authenticate(
                    known.get(b"authorization"), ex.downstream.client, known.get(b"x-forwarded-for")
                )
                admitted = rule is None or rule(principal, ex.request)
                ex.identified = monotonic() - began
                if admitted:
                    return next_handler(ex)
                raise GatewayError(anonymous if principal is None else errors.FORBIDDEN)

            return handle

        return layer

    return layer_of


def _rule(text: str) -> Rule | None:
    """None admits everybody."""
    if text == "true":
        return None
    return compile_rule(text) if text else _superuser


def _superuser(principal: Principal | None, head: Head) -> bool:
    return principal is not None and principal.superuser
