"""Forward proxies that the environment names: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in both cases.

This machine is never reached through one: a forward proxy elsewhere would look for the service on itself. NO_PROXY
takes names, addresses and networks:

    example.org     the name and all names below it; a dot at the beginning means the same
    example.org:81  that port of them alone
    10.0.0.0/8      addresses of the network, also when they are written as IPv4 within IPv6
    *               everything

A network says nothing about a name: the forward proxy resolves names, not this module.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from gateway.config.networks import destination
from gateway.core.address import Address
from gateway.upstream.origin import DEFAULT_PORTS, Origin


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """A forward proxy on the way to an endpoint. ``variable`` is the one that names it."""

    url: str
    """Without credentials."""
    variable: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    """User and password."""


def forward_proxy(endpoint: Origin, env: Mapping[str, str] | None = None) -> ForwardProxy | None:
    """The one that stands between the gateway and ``endpoint``; ``env`` None: the environment of this process.

    Raises OSError for a variable that cannot be used.
    """
    env = os.environ if env is None else env
    found = _variable(env, f"{endpoint.scheme}_proxy")
    if found is None or _is_here(endpoint) or _is_exempt(endpoint, env):
        return None
    variable, text = found
    if variable == "HTTP_PROXY" and "REQUEST_METHOD" in env:
        return None  # of a CGI script, it comes from the header field Proxy of the caller
    return _parsed(variable, text)


def settings(env: Mapping[str, str] | None = None) -> list[str]:
    """The variables that are set, each as ``name=value`` without credentials, for the log."""
    env = os.environ if env is None else env
    found = [
        f"{found[0]}={_parsed(*found).url}"
        for name in ("http_proxy", "https_proxy")
        if (found := _variable(env, name)) is not None
    ]
    exempt = _variable(env, "no_proxy")
    return found if exempt is None or not found else [*found, f"{exempt[0]}={exempt[1]}"]


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """(name, value); the lower-case name wins, and an empty value disables the other one."""
    for spelling in (name, name.upper()):
        if spelling in env:
            value = env[spelling].strip()
            return (spelling, value) if value else None
    return None


def _parsed(variable: str, text: str) -> ForwardProxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
        if not host or parts.scheme not in DEFAULT_PORTS:
            raise ValueError
    except ValueError:
        raise OSError(f"{variable} names no forward proxy that can be used; write http://HOST:PORT") from None
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    address = Address(host, port or DEFAULT_PORTS[parts.scheme])
    return ForwardProxy(address.url(parts.scheme), variable, credentials)


def _is_here(endpoint: Origin) -> bool:
    name = endpoint.host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return endpoint.is_address and destination(endpoint.host).is_loopback


def _is_exempt(endpoint: Origin, env: Mapping[str, str]) -> bool:
    found = _variable(env, "no_proxy")
    return found is not None and any(_covers(entry.strip(), endpoint) for entry in found[1].split(","))


def _covers(entry: str, endpoint: Origin) -> bool:
    if entry == "*":
        return True
    if not entry:
        return False
    address = destination(endpoint.host) if endpoint.is_address else None
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        return address is not None and (address in network or ipaddress.ip_address(endpoint.name) in network)
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit():
        return int(port) == endpoint.port and _covers(host, endpoint)
    if address is not None:
        return False
    suffix = entry.lower().strip(".")
    name = endpoint.host.lower().rstrip(".")
    return bool(suffix) and (name == suffix or name.endswith(f".{suffix}"))
