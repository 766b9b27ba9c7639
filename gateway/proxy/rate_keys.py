"""What has a bucket of its own in a rate limit, of each request, as a number of 64 bits.

A key is hashed with a seed that no one outside knows, so that no caller can choose keys that collide, and nothing that
is secret, such as an API key in a header, is kept or shown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from gateway.core import forwarded
from gateway.core.exchange import Exchange
from gateway.core.quota import KINDS
from gateway.rules.evaluate import header

_IPV6_NETWORK: Final = 8
"""Bytes of an IPv6 address that name the network of one caller, who may use all addresses in it (RFC 6177)."""

KeyOf = Callable[[Exchange], bytes]


def kind_of(key: str) -> int:
    """The index in `KINDS` of the ``key`` of a limit."""
    return KINDS.index(key.partition(":")[0])


def key_of(key: str) -> KeyOf:
    """What reads the ``key`` of a limit from an exchange."""
    kind, _, name = key.partition(":")
    if kind == "header":
        return _header(name)
    return {"all": lambda ex: b"", "client": client, "principal": principal}[kind]


def hashed(seed: bytes, key: bytes) -> int:
    """A cell of 8 bytes that is not 0."""
    return int.from_bytes(blake2b(key, digest_size=8, key=seed).digest(), "little", signed=True) or 1


def client(ex: Exchange) -> bytes:
    """The address of the caller, as in the access log and without its port; of IPv6 the first 64 bits."""
    return b"a" + network(ex.downstream.peer.real_client(ex.request))


def network(address: str) -> bytes:
    """``address`` has a port (then IPv6 stands in brackets), or is one that `gateway.core.client` has read."""
    if address[:1] == "[":
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        return address.partition(":")[0].encode()
    if ":" not in address:
        return address.encode()
    parsed = ipaddress.IPv6Address(address)
    mapped = parsed.ipv4_mapped
    return parsed.packed[:_IPV6_NETWORK] if mapped is None else str(mapped).encode()


def principal(ex: Exchange) -> bytes:
    """The caller that is authenticated, else its address."""
    known = ex.principal
    return client(ex) if known is None else f"p{known.kind} {known.id}".encode()


def _header(name: str) -> KeyOf:
    read = header(forwarded.folded(name.encode()))

    def key(ex: Exchange) -> bytes:
        value = read(None, ex.request)
        return b"" if value is None else b"h" + str(value).encode()

    return key
