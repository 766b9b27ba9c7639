"""TLS with endpoints: the contexts, shared by all upstreams with equal settings, and what the log says of failures."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import NamedTuple

import aiohttp

from gateway.config import tls_context
from gateway.config.records import ClientCertificate, UpstreamTls
from gateway.core.clock import Clock, monotonic
from gateway.core.once_a_second import OnceASecond
from gateway.wire.connect import ALPN, Http2

_log = logging.getLogger(__name__)

_Wanted = tuple[str, ClientCertificate | None, Http2]
"""All that a context is made of: the authorities, the certificate that is shown, and the protocols."""

_ALERTS_ABOUT_OURS = (
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
)
"""Ends of alerts by which a peer says that it wants another certificate of us, or one at all."""

_NO_TLS = ("HTTP_REQUEST", "NOT_OFFERED", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER")
"""OpenSSL's words for bytes that are no record of TLS, and ours for a server that says that it has none."""


class EndpointTls(NamedTuple):
    """What a connector needs for TLS."""

    endpoint: ssl.SSLContext
    forward_proxy: ssl.SSLContext
    """For a forward proxy that is itself spoken to over TLS: it is verified with the authorities of the system, and is
    never shown a certificate that is meant for the endpoint."""
    server_name: str = ""
    """In the place of the endpoint's host; "": none."""
    http_1_1: ssl.SSLContext | None = None
    """For an endpoint that turned out to require HTTP/1.1; None: no other protocol is offered than by ``endpoint``."""

    def of_endpoint(self, *, only_http_1_1: bool) -> ssl.SSLContext:
        return self.endpoint if self.http_1_1 is None or not only_http_1_1 else self.http_1_1


class TlsContexts:
    """Of all upstreams of a data plane. To make one takes milliseconds: the system has more than a hundred authorities.

    `of` makes what is missing; `keep` forgets what is used no more.
    """

    def __init__(self) -> None:
        self._known: dict[_Wanted, ssl.SSLContext] = {}

    def of(self, settings: UpstreamTls, http2: Http2 = "never") -> EndpointTls:
        """Raises OSError for a certificate that cannot be used."""
        return EndpointTls(
            self._context(settings.ca, settings.certificate, http2),
            self._context("", None, "never"),
            settings.server_name,
            self._context(settings.ca, settings.certificate, "never") if http2 == "auto" else None,
        )

    def keep(self, used: Iterable[UpstreamTls]) -> None:
        wanted = {("", None), *((settings.ca, settings.certificate) for settings in used)}
        self._known = {key: context for key, context in self._known.items() if key[:2] in wanted}

    def _context(self, ca: str, certificate: ClientCertificate | None, http2: Http2) -> ssl.SSLContext:
        known = self._known.get((ca, certificate, http2))
        if known is None:
            chain, key = ("", "") if certificate is None else (certificate.chain, certificate.key)
            try:
                known = tls_context.client_context(ca=ca, chain=chain, key=key, alpn=ALPN[http2])
            except (ssl.SSLError, ValueError) as error:
                raise OSError(f"tls of an upstream: a certificate in it cannot be used: {error}") from None
            self._known[ca, certificate, http2] = known
        return known


class TlsFailures:
    """Why TLS with one endpoint failed, in the process log: one line a second at most."""

    __slots__ = ("_endpoint", "_forward_proxy", "_throttle")

    def __init__(self, endpoint: str, forward_proxy: str = "", clock: Clock = monotonic) -> None:
        """``endpoint``: its origin; ``forward_proxy``: the origin of the one on the way to it."""
        self._endpoint = endpoint
        self._forward_proxy = forward_proxy
        self._throttle = OnceASecond(clock)

    def with_endpoint(self, error: Exception) -> None:
        if (more := self._throttle.due()) is not None:
            what, remedy = _described(error)
            _log.error("no TLS with %s: %s; %s%s", self._endpoint, what, remedy, more)

    def with_back_end(self, error: Exception) -> None:
        """Of a connector, which verifies the host that its connection names."""
        if (more := self._throttle.due()) is not None:
            what, _ = _described(error)
            remedy = (
                "make sure that it speaks TLS, that tls.ca names its authority, and the url a host of its certificate"
            )
            _log.error("no TLS with %s: %s; %s%s", self._endpoint, what, remedy, more)

    def with_forward_proxy(self, error: Exception) -> None:
        """It is verified with the authorities of the system."""
        if (more := self._throttle.due()) is not None:
            what, _ = _described(_cause(error))
            _log.error(
                "no TLS with the forward proxy %s, on the way to %s: %s; it is verified with the authorities of the "
                "system alone, and SSL_CERT_FILE of the environment names others%s",
                self._forward_proxy,
                self._endpoint,
                what,
                more,
            )


def _described(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do about an endpoint with it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is rejected: {error.verify_message.rstrip('.')}",
            "name its authority in tls.ca, or the name that it holds in tls.server_name",
        )
    if not isinstance(error, ssl.SSLError):
        return "it ended the connection during the handshake", "make sure that the port speaks TLS"
    reason = error.reason or type(error).__name__
    words = reason.lower().replace("_", " ")
    if reason.endswith(_ALERTS_ABOUT_OURS):
        return f"it says {words}", "name a certificate that it accepts in tls.client_cert and tls.client_key"
    if reason in _NO_TLS:
        return f"it does not speak TLS ({words})", "make sure that the port is right, or write http://"
    return f"the two sides do not agree ({words})", "compare their TLS versions, and see if it needs tls.client_cert"


def _cause(error: Exception) -> Exception:
    """What aiohttp has wrapped."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
