"""A generation of the configuration, built for use: immutable, and swapped by one assignment."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from gateway import errors
from gateway.config.document import Document, Proxy
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer, chain
from gateway.errors import GatewayError, Reason
from gateway.proxy.pipeline import build
from gateway.proxy.rescue import rescue
from gateway.proxy.router import Route, Router
from gateway.upstream.upstream import Upstream

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """The layers that other rooms give: ``observe`` by the proxy's name, ``identify`` by its settings."""

    observe: Callable[[str], Layer]
    identify: Callable[[Proxy], Layer]


@dataclass(frozen=True, slots=True)
class Snapshot:
    generation: int
    document: Document
    router: Router
    trusted: Networks
    unrouted: Handler
    """Serves what no route matches."""

    @classmethod
    def of(cls, generation: int, document: Document, upstreams: dict[str, Upstream], slots: Slots) -> Snapshot:
        return cls(
            generation,
            document,
            Router(_route(proxy, upstreams, slots) for proxy in document.proxies),
            tuple(ipaddress.ip_network(network) for network in document.trusted_proxies),
            _refusal("", errors.NO_ROUTE, slots),
        )

    def trusts(self, address: str) -> bool:
        if not self.trusted:
            return False
        peer = ipaddress.ip_address(address.partition("%")[0])
        mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
        return any((mapped or peer) in network for network in self.trusted)


def _route(proxy: Proxy, upstreams: dict[str, Upstream], slots: Slots) -> Route:
    if proxy.active:
        handle = build(proxy, upstreams[proxy.name], slots.observe(proxy.name), slots.identify(proxy))
    else:
        handle = _refusal(proxy.name, errors.PROXY_DISABLED, slots)
    return Route(proxy.path.rstrip("/").encode(), tuple(host.encode() for host in proxy.hosts), handle)


def _refusal(name: str, reason: Reason, slots: Slots) -> Handler:
    async def refuse(ex: Exchange) -> None:
        raise GatewayError(reason)

    return chain(refuse, slots.observe(name), rescue)
