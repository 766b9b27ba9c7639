"""Who the client is when a request came through reverse proxies of ours.

Each proxy appends the address that it was called from, so the list is read from its end, and only as long as what it
says comes from a proxy that is trusted: the first address that is not one is the client. What stands before it was
written by the client, who can write anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^";\s]*))', re.IGNORECASE)
"""RFC 7239 4: one parameter of an element."""


def forwarded_client(chain: bytes, trusts: Callable[[str], bool]) -> str:
    """The client's address by ``chain``, the value of X-Forwarded-For that a trusted peer sent.

    "" when it ends with something else: then nothing is known but the peer. ``trusts`` says of an address whether a
    proxy of ours has it. When all are trusted the first one is the client.
    """
    client = ""
    for hop in reversed(chain.decode("latin-1").split(",")):
        address = address_text(hop)
        if not address:
            return client
        client = address
        if not trusts(address):
            return client
    return client


def address_text(text: str) -> str:
    """The address in ``text``, which may have brackets, a port, or a zone; IPv4 inside of IPv6 is IPv4. "": none."""
    text = text.strip()
    if text[:1] == "[":
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def addresses_of_forwarded(value: bytes) -> bytes:
    """The addresses of a Forwarded field (RFC 7239) in the form of X-Forwarded-For."""
    hops = []
    for element in value.decode("latin-1").split(","):
        found = _FOR.search(element)
        hops.append((found[1] or found[2] or "") if found is not None else "")
    return ",".join(hops).encode("latin-1")
