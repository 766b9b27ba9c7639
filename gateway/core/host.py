"""The name in a Host field (RFC 9110 7.2), in the one form in which names are compared."""

from __future__ import annotations

import ipaddress


def split_port(host: bytes) -> tuple[bytes, bytes]:
    """``host`` as it stands in Host: the name, brackets and all, and the digits of its port, which may be none."""
    name, colon, port = host.rpartition(b":")
    if colon and not port.strip(b"0123456789"):
        return name, port
    return host, b""


def normal_host(host: bytes) -> bytes:
    """Lower-case, without port, brackets and the dot at the end; IPv6 in its canonical form (RFC 5952)."""
    name = split_port(host)[0].lower().rstrip(b".")
    if name[:1] != b"[":
        return name
    name = name.strip(b"[]")
    try:
        return str(ipaddress.IPv6Address(name.decode("latin-1"))).encode()
    except ValueError:
        return name
