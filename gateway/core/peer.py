"""The other end of a caller's connection, as access rules, logs and forwarding fields see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.address import bracketed
from gateway.core.client import addresses_of_forwarded, forwarded_client
from gateway.core.message import RequestHead


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate of a caller, which an authority of the listener's has signed."""

    subject: str
    """As RFC 4514 writes it, the most specific part first: ``CN=billing,O=Example``."""
    names: tuple[str, ...]
    """Its subject alternative names: URIs, DNS names, addresses, as they stand in it."""
    fingerprint: str
    """SHA-256 of its DER form, 64 hex digits."""
    principal: str
    """The name by which the caller is known, by the rule of the listener; empty: the certificate has none such."""


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What the handshake of a caller's connection has settled."""

    version: str
    """``TLSv1.2`` or ``TLSv1.3``."""
    server_name: str
    """The name that the caller asked for (SNI); empty: none."""
    certificate: ClientCertificate | None
    misdirected: Callable[[bytes], bool]
    """Whether requests for a Host value need another connection, because other client certificates are asked for there
    (RFC 9110 7.4, 15.5.20)."""


class Peer:
    """Facts of one connection; they hold for all its requests."""

    __slots__ = ("_trusts", "address", "host", "scheme", "tls", "trusted")

    def __init__(
        self, host: str, port: int, scheme: bytes, trusts: Callable[[str], bool], tls: TlsFacts | None = None
    ) -> None:
        """``trusts``: whether an address belongs to a proxy of ours, whose X-Forwarded-* fields are believed."""
        self._trusts = trusts
        self.address = f"{bracketed(host)}:{port}"
        self.host = host.encode()
        """The address without its port, as it stands in X-Forwarded-For."""
        self.scheme = scheme
        """``http`` or ``https``."""
        self.trusted = trusts(host)
        self.tls = tls
        """None: the connection has no TLS, or is none."""

    def real_client(self, request: RequestHead) -> str:
        """The address that X-Forwarded-For, else Forwarded, of a trusted peer names; else the peer's, with its port."""
        if not self.trusted:
            return self.address
        chain = request.known.get(b"x-forwarded-for")
        if chain is None:
            forwarded = request.known.get(b"forwarded")
            if forwarded is None:
                return self.address
            chain = addresses_of_forwarded(forwarded)
        return forwarded_client(chain, self._trusts) or self.address
