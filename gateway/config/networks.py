"""Which addresses the gateway connects to for an upstream, however they are spelled.

Otherwise anyone who may store a proxy could read what only this machine can reach: the credentials that a cloud serves
at a link-local address, and the gateway's own listeners. Checked when a proxy is saved, and again at each dial on the
addresses that are really dialled, because a name may resolve to something else by then (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.config.records import Document, UpstreamNetworks
from gateway.core.memo import Memo

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DENIED = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254")
"""Link-local addresses, where clouds serve credentials (169.254.169.254), and the IPv6 one of EC2."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 2.1
_6TO4 = ipaddress.IPv6Network("2002::/16")  # RFC 3056 2
_BUILT_IN = UpstreamNetworks()
_UNSPECIFIED = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_KNOWN = 1024
_FIX = "choose another address, or allow it in upstream_networks"


def destination(address: str) -> Ip:
    """Where packets to ``address`` go: IPv4 out of its IPv6 forms, and this machine for 0.0.0.0 and ``::``.

    A zone is dropped. Raises ValueError for what is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(ip.packed[12:])
        elif ip in _6TO4:
            ip = ipaddress.IPv4Address(ip.packed[2:6])
    return _UNSPECIFIED[ip.version] if ip.is_unspecified else ip


class Destinations:
    """The addresses that `UpstreamNetworks` and the listeners of this gateway allow. Equal when made of equal parts."""

    __slots__ = ("_allow", "_deny", "_key", "_known", "_own", "_own_everywhere")

    def __init__(self, networks: UpstreamNetworks = _BUILT_IN, own: Iterable[tuple[str, int]] = ()) -> None:
        """``own``: host and port of each listener. Of names, only localhost is known here."""
        listeners = frozenset(own)
        self._key = (networks, listeners)
        self._known: Memo[tuple[str, int], str] = Memo(_MAX_KNOWN)
        self._deny: tuple[_Network, ...] = tuple(map(ipaddress.ip_network, (*DENIED, *networks.deny)))
        self._allow: tuple[_Network, ...] = tuple(map(ipaddress.ip_network, networks.allow))
        self._own: set[tuple[Ip, int]] = set()
        self._own_everywhere: set[tuple[int, int]] = set()
        """(version, port) of listeners on every address of this machine."""
        for host, port in listeners:
            for text in _loopback(host) or (host,):
                try:
                    ip = ipaddress.ip_address(text)
                except ValueError:
                    continue
                if ip.is_unspecified:
                    self._own_everywhere.add((ip.version, port))
                else:
                    self._own.add((destination(text), port))

    @classmethod
    def of(cls, document: Document, listening: Iterable[tuple[str, int]] = ()) -> Destinations:
        """``listening``: where it really listens, when that is known."""
        own = [*(listener.address for listener in document.listen), *document.own_listeners]
        return cls(document.upstream_networks, [*((address.host, address.port) for address in own), *listening])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destinations) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def denial(self, address: str, port: int) -> str:
        """Why the gateway does not connect to this IP address and port; empty when it may."""
        known = self._known.get((address, port))
        if known is not None:
            return known
        ip = destination(address)
        verdict = self._verdict(ip, port)
        if (ip.version, port) not in self._own_everywhere:  # which addresses this machine has may change
            self._known.put((address, port), verdict)
        return verdict

    def _verdict(self, ip: Ip, port: int) -> str:
        if (ip, port) in self._own or ((ip.version, port) in self._own_everywhere and _is_here(ip)):
            return "is a listener of this gateway; name the service itself"
        if any(ip in network for network in self._allow):
            return ""
        for network in self._deny:
            if ip in network:
                return f"is in {network}, which is denied to upstreams; {_FIX}"
        return ""

    def denial_of_url(self, url: str) -> str:
        """`denial` of the host in an upstream's URL. Names other than localhost are resolved only at the dial."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        for text in _loopback(host) or (host,):
            try:
                denied = self.denial(text, port)
            except ValueError:
                continue
            if denied:
                return denied
        return ""


def _loopback(host: str) -> tuple[str, ...]:
    """The addresses that a name of this machine stands for (RFC 6761 6.3)."""
    name = host.lower().rstrip(".")
    return ("127.0.0.1", "::1") if name == "localhost" or name.endswith(".localhost") else ()


def _is_here(ip: Ip) -> bool:
    """Whether it is an address of this machine: the kernel binds no socket to any other."""
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True
