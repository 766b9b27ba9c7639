"""Which certificate a listener shows, by the name that the client asks for, and which client certificates it wants."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from gateway.core import host as hosts

Domain = tuple[str, str]
"""Whether a client certificate is asked for (``none``, ``optional``, ``required``), and the authorities that sign it,
as PEM text. A connection serves requests of one domain alone."""


class TlsIdentity:
    """One certificate of a listener, ready for handshakes."""

    __slots__ = ("context", "domain", "names")

    def __init__(self, context: ssl.SSLContext, names: Iterable[str], domain: Domain) -> None:
        """``names``: DNS names, also ``*.name``, and IP addresses, lower-case."""
        self.context = context
        self.names = tuple(names)
        self.domain = domain


class ServerNames:
    """The certificates of one listener. The first one serves clients without a server name, and unknown names.

    It outlives changes of the configuration, so that the connections of before notice them.
    """

    __slots__ = ("_exact", "_wildcard", "alpn", "default", "principal")

    default: TlsIdentity

    def __init__(self, identities: Iterable[TlsIdentity], alpn: tuple[bytes, ...], principal: tuple[str, ...]) -> None:
        """``identities``: at least one. ``principal``: the kinds of names that a caller may be known by, `replace`."""
        self.replace(identities, alpn, principal)

    def replace(self, identities: Iterable[TlsIdentity], alpn: tuple[bytes, ...], principal: tuple[str, ...]) -> None:
        """Use these for the handshakes from now on; the first of two certificates of one name is used."""
        every = tuple(identities)
        self.alpn = alpn
        """The protocols that the listener speaks, the preferred one first."""
        self.principal = principal
        self.default = every[0]
        self._exact: dict[bytes, TlsIdentity] = {}
        self._wildcard: dict[bytes, TlsIdentity] = {}
        for identity in every:
            for name in identity.names:
                if name.startswith("*."):
                    self._wildcard.setdefault(name[2:].encode(), identity)
                else:
                    self._exact.setdefault(name.encode(), identity)

    def find(self, name: bytes) -> TlsIdentity:
        """``name``: lower-case; a wildcard stands for one label (RFC 9525 6.3)."""
        found = self._exact.get(name)
        if found is None and self._wildcard:
            found = self._wildcard.get(name.partition(b".")[2])
        return self.default if found is None else found

    def misdirected(self, domain: Domain, host: bytes) -> bool:
        """Whether a request for ``host``, a Host value, must not be served by a connection of ``domain``."""
        return self.find(hosts.normal_host(host)).domain != domain
