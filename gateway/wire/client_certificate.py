"""What is known of a caller by its certificate, from the form in which Python's ssl gives it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from gateway.core.peer import ClientCertificate

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514 3; other attributes keep the name that OpenSSL gives them."""
_ESCAPED: Final = frozenset(',+"\\<>;=')


def client_certificate(
    described: Mapping[str, object] | None, der: bytes | None, rule: tuple[str, ...]
) -> ClientCertificate | None:
    """``described`` and ``der``: as `ssl.SSLObject.getpeercert` returns them; None when the caller has shown none.

    ``rule``: the kinds of names that a caller may be known by, the preferred one first: ``uri``, ``dns``, ``cn``.
    """
    if not described or der is None:
        return None
    subject = _pairs(described.get("subject"))
    names = _names(described.get("subjectAltName"))
    known = {
        "uri": [value for kind, value in names if kind == "URI"],
        "dns": [value for kind, value in names if kind == "DNS"],
        "cn": [value for kind, value in subject if kind == "commonName"],
    }
    candidates = [value for kind in rule for value in known[kind] if value]
    return ClientCertificate(
        ",".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in reversed(subject)),
        tuple(value for _, value in names),
        hashlib.sha256(der).hexdigest(),
        candidates[0] if candidates else "",
    )


def _pairs(given: object) -> list[tuple[str, str]]:
    """The attributes of a name: a tuple of relative names, each of which is a tuple of pairs."""
    pairs: list[tuple[str, str]] = []
    for relative in given if isinstance(given, tuple) else ():
        pairs += _names(relative)
    return pairs


def _names(given: object) -> list[tuple[str, str]]:
    entries = given if isinstance(given, tuple) else ()
    return [(str(entry[0]), str(entry[1])) for entry in entries if isinstance(entry, tuple) and len(entry) == 2]


def _escaped(value: str) -> str:
    """RFC 4514 2.4; control characters are escaped too, so that a name is one line in a log."""
    text = "".join(
        f"\\{c}" if c in _ESCAPED else f"\\{ord(c):02X}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in value
    )
    return f"\\{text}" if text[:1] in ("#", " ") else text
