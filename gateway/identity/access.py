"""Which callers are admitted: proves the caller by its credentials, and evaluates the proxy's access rule."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import monotonic

from gateway import errors
from gateway.config.records import AuthField, Route
from gateway.core import path as paths
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.message import RequestHead
from gateway.core.peer import ClientCertificate
from gateway.core.principal import Principal
from gateway.errors import GatewayError
from gateway.identity.authenticator import Authenticator
from gateway.rules.evaluate import CertifiedHead, Head, Rule
from gateway.rules.parser import asks_certificate, asks_path, compile_rule


def identify(authenticator: Authenticator) -> Callable[[Route], Layer]:
    """The layer of each proxy. 401 ``unauthenticated`` without a valid credential, 403 ``forbidden`` for all others.

    ``"true"`` admits every caller, ``"false"`` none (403, logged in or not), ``""`` superusers alone. A superuser is a
    caller like any other for every other rule. 400 ``bad_request`` when the rule's result would depend on
    how a back end reads the path.
    """

    def layer_of(route: Route) -> Layer:
        rule = _rule(route.access_rule)
        if rule is None and not _needs_caller(route):
            return lambda next_handler: next_handler
        certified = asks_certificate(route.access_rule)
        anonymous = errors.FORBIDDEN if route.access_rule == "false" else errors.UNAUTHENTICATED

        def layer(next_handler: Handler) -> Handler:
            # Not a coroutine: it never waits.
            def handle(ex: Exchange) -> Coroutine[None, None, None]:
                began = monotonic()
                ex.principal = principal = authenticator.authenticate(
                    ex.request.known.get(b"authorization"), lambda: ex.downstream.peer.real_client(ex.request)
                )
                head: Head = ex.request
                tls = ex.downstream.peer.tls
                if tls is not None and tls.certificate is not None:
                    if principal is None:
                        ex.principal = principal = certified_principal(tls.certificate)
                    if certified:
                        head = _certified(ex.request, tls.certificate)
                admitted = rule is None or rule(principal, head)
                ex.identified = monotonic() - began
                if admitted:
                    return next_handler(ex)
                raise GatewayError(anonymous if principal is None else errors.FORBIDDEN)

            return handle

        return layer

    return layer_of


def admission(access_rule: str) -> Callable[[Exchange], bool]:
    """Whether ``access_rule``, as of `identify`, admits the caller of an exchange, who is identified already."""
    rule = _rule(access_rule)
    if rule is None:
        return lambda ex: True
    certified = asks_certificate(access_rule)

    def admits(ex: Exchange) -> bool:
        tls = ex.downstream.peer.tls
        head: Head = ex.request
        if certified and tls is not None and tls.certificate is not None:
            head = _certified(ex.request, tls.certificate)
        return rule(ex.principal, head)

    return admits


def _needs_caller(route: Route) -> bool:
    """Whether anything but the access rule has to know who the caller is."""
    in_headers = any(isinstance(part, AuthField) for header in route.headers for part in header.parts)
    limits = any(limit.key == "principal" for limit in route.rate_limits)
    return in_headers or limits or (route.mcp is not None and bool(route.mcp.rules))


def certified_principal(certificate: ClientCertificate) -> Principal | None:
    """The caller by its certificate; None where the listener's rule finds no name in it."""
    name = certificate.principal
    if not name:
        return None
    claims = {"id": name, "name": name, "kind": "certificate", "superuser": False, "subject": certificate.subject}
    return Principal(name, "certificate", claims=claims)


def _certified(head: RequestHead, certificate: ClientCertificate) -> CertifiedHead:
    return CertifiedHead(head.method, head.target, head.fields, head.known, certificate)


def _rule(text: str) -> Rule | None:
    """None admits every caller."""
    if text == "true":
        return None
    if not text:
        return _superuser
    rule = compile_rule(text)
    return _for_each_reading(rule) if asks_path(text) else rule


def _superuser(principal: Principal | None, head: Head) -> bool:
    return principal is not None and principal.superuser


@dataclass(slots=True)
class _Reading:
    """A request's head with another target."""

    method: bytes
    target: bytes
    fields: list[bytes]
    known: dict[bytes, bytes]


def _with_target(head: Head, target: bytes) -> Head:
    if isinstance(head, CertifiedHead):
        return CertifiedHead(head.method, target, head.fields, head.known, head.certificate)
    return _Reading(head.method, target, head.fields, head.known)


def _for_each_reading(rule: Rule) -> Rule:
    """``rule``, but its result must be the same for every path that a back end may read in the target."""

    def verdict(principal: Principal | None, head: Head) -> bool:
        admitted = rule(principal, head)
        path = head.target.partition(b"?")[0]
        if paths.is_plain(path):
            return admitted
        try:
            forms = paths.forms(path)
        except ValueError:
            raise GatewayError(errors.BAD_REQUEST, "The path is encoded too many times") from None
        for form in forms:
            # A decoded question mark is a part of the path, which the rule must not cut off as a query.
            if rule(principal, _with_target(head, form.replace(b"?", b"%3F"))) is not admitted:
                raise GatewayError(
                    errors.BAD_REQUEST,
                    "The access rule judges another spelling of this path otherwise; write it plainly",
                )
        return admitted

    return verdict
