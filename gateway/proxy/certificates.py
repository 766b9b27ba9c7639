"""From the settings of a listener to the TLS contexts of its handshakes, kept as long as their settings are."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from gateway.config import records, tls_context
from gateway.core.address import Address
from gateway.wire.server_names import ServerNames, TlsIdentity

_HTTP_1_1 = (b"http/1.1",)
_HTTP_2 = (b"h2", b"http/1.1")

_Wanted = tuple[records.Certificate, str, tuple[bytes, ...]]
"""All that a context is made of: the certificate, the lowest version, and the protocols."""


PreparedCertificates = dict[records.Listener, list[TlsIdentity]]
"""What `Certificates.prepare` builds."""


class Certificates:
    """Of all listeners of a data plane. `prepare` builds aside, `adopt` applies.

    A certificate that does not change keeps its context, and so its clients resume their sessions.
    """

    def __init__(self) -> None:
        self._identities: dict[_Wanted, TlsIdentity] = {}
        self._names: dict[Address, ServerNames] = {}

    def prepare(self, listeners: Iterable[records.Listener]) -> PreparedCertificates:
        """The contexts of those listeners that have TLS. Raises OSError for a certificate that cannot be used."""
        return {
            listener: [
                self._identity(certificate, listener.tls, _protocols(listener))
                for certificate in listener.tls.certificates
            ]
            for listener in listeners
            if listener.tls is not None
        }

    def adopt(self, prepared: PreparedCertificates) -> None:
        """Use what `prepare` built for the handshakes from now on."""
        self._identities = {}
        kept: dict[Address, ServerNames] = {}
        for listener, identities in prepared.items():
            tls = listener.tls
            assert tls is not None
            protocols = _protocols(listener)
            for certificate, identity in zip(tls.certificates, identities, strict=True):
                self._identities[certificate, tls.min_version, protocols] = identity
            names = self._names.get(listener.address)
            if names is None:
                names = ServerNames(identities, protocols, tls.principal)
            else:
                names.replace(identities, protocols, tls.principal)
            kept[listener.address] = names
        self._names = kept

    def of(self, address: Address) -> ServerNames:
        """What the listener on ``address`` shows. Raises KeyError for one without TLS."""
        return self._names[address]

    def _identity(
        self, certificate: records.Certificate, tls: records.Tls, protocols: tuple[bytes, ...]
    ) -> TlsIdentity:
        known = self._identities.get((certificate, tls.min_version, protocols))
        if known is not None:
            return known
        try:
            context = tls_context.server_context(
                certificate.chain,
                certificate.key,
                min_version=tls.min_version,
                client_auth=certificate.client_auth,
                client_ca=certificate.client_ca,
                alpn=protocols,
            )
        except (ssl.SSLError, ValueError) as error:
            name = certificate.names[0] if certificate.names else "without a name"
            raise OSError(f"listen.tls: the certificate {name} cannot be used: {error}") from None
        return TlsIdentity(context, certificate.names, (certificate.client_auth, certificate.client_ca))


def _protocols(listener: records.Listener) -> tuple[bytes, ...]:
    """Those of ALPN, the preferred one first."""
    return _HTTP_2 if listener.http2 else _HTTP_1_1
