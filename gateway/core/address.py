"""Where to listen, and how that is written: an IPv6 address stands in brackets (RFC 3986 3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``host`` is a name or an IP address without brackets. As text: ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    def url(self, scheme: str = "http") -> str:
        """The origin, as in ``http://[::1]:8080``."""
        return f"{scheme}://{self}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """Where to listen on this machine alone. ``path`` is absolute. As text: ``unix:path``."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def bracketed(host: str) -> str:
    """``host`` as it stands in a URL or before a port."""
    return f"[{host}]" if ":" in host else host
