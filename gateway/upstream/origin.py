"""Where an upstream is: scheme, host, port and base path."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.core.address import Address, bracketed

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """``scheme://host:port`` with a base path that has no trailing slash.

    ``host`` is without brackets; behind an IPv6 address it may have a zone, as in ``fe80::1%eth0``. ``address``: the
    only one of the host that is meant; empty: any.
    """

    scheme: str
    host: str
    port: int
    base: bytes
    address: str = ""

    @classmethod
    def of(cls, url: str, address: str = "") -> Origin:
        """Take apart a URL, as the configuration has checked it. Port 0: it has none, and its scheme has none here."""
        parts = urlsplit(url)
        return cls(
            parts.scheme,
            _without_escape(parts.hostname or ""),
            parts.port or DEFAULT_PORTS.get(parts.scheme, 0),
            parts.path.rstrip("/").encode(),
            address,
        )

    @property
    def authority(self) -> str:
        """Value of Host: the port only when it is not the scheme's own (RFC 9110 4.2.3)."""
        address = Address(self.name, self.port)
        return bracketed(self.name) if self.port == DEFAULT_PORTS.get(self.scheme, 0) else str(address)

    @property
    def name(self) -> str:
        """The host without its zone, which has a meaning on this machine alone (RFC 6874 4)."""
        return self.host.partition("%")[0]

    @property
    def is_address(self) -> bool:
        """The host is an IP address: there is nothing to resolve."""
        try:
            ipaddress.ip_address(self.name)
        except ValueError:
            return False
        return True

    @property
    def label(self) -> str:
        """What tells it from the other endpoints of its upstream: the URL, and the address when only one is meant."""
        return f"{self.url} ({self.address})" if self.address else self.url

    @property
    def url(self) -> str:
        """Without the base path."""
        return f"{self.scheme}://{self.authority}"


def _without_escape(host: str) -> str:
    """RFC 6874 2 writes the zone of an IPv6 address behind ``%25``; the bare ``%`` of other programs is known too."""
    address, _, zone = host.partition("%")
    return f"{address}%{zone.removeprefix('25') or zone}" if zone else host
