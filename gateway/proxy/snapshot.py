"""A generation of the configuration, built for use: immutable, and swapped by one assignment."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway import errors
from gateway.config.document import Cors, Document, Proxy
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer, chain
from gateway.errors import GatewayError, Reason
from gateway.proxy.layers.rescue import rescue_for
from gateway.proxy.pipeline import build
from gateway.proxy.rewrite import VIA
from gateway.proxy.router import Route, Router
from gateway.upstream.upstream import Upstream

_NO_CORS = Cors()

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """The layers that other rooms give: ``observe`` by the proxy's name, ``identify`` by its settings.

    ``via``: the name of this gateway in Via, for its whole life.
    """

    observe: Callable[[str], Layer]
    identify: Callable[[Proxy], Layer]
    via: bytes = VIA


@dataclass(frozen=True, slots=True)
class Snapshot:
    generation: int
    document: Document
    router: Router
    trusted: Networks
    unrouted: Handler
    """Serves what no route matches."""
    chains: Mapping[str, tuple[Upstream, Handler]]
    """The handlers of active proxies, by name, with what each was built for."""

    @classmethod
    def of(
        cls,
        generation: int,
        document: Document,
        upstreams: dict[str, Upstream],
        slots: Slots,
        before: Snapshot | None = None,
    ) -> Snapshot:
        """``before``: a proxy whose upstream is the very same there keeps its handler."""
        known = {} if before is None else before.chains
        chains = {
            proxy.name: _chain(proxy, upstreams[proxy.name], slots, known.get(proxy.name))
            for proxy in document.proxies
            if proxy.active
        }
        return cls(
            generation,
            document,
            Router(_route(proxy, chains, slots) for proxy in document.proxies),
            tuple(ipaddress.ip_network(network) for network in document.trusted_proxies),
            _refusal("", errors.NO_ROUTE, slots),
            chains,
        )

    def trusts(self, address: str) -> bool:
        if not self.trusted:
            return False
        peer = ipaddress.ip_address(address.partition("%")[0])
        mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
        return any((mapped or peer) in network for network in self.trusted)


def _chain(
    proxy: Proxy, upstream: Upstream, slots: Slots, known: tuple[Upstream, Handler] | None
) -> tuple[Upstream, Handler]:
    if known is not None and known[0] is upstream:
        return known
    return upstream, build(proxy, upstream, slots.observe(proxy.name), slots.identify(proxy), slots.via)


def _route(proxy: Proxy, chains: Mapping[str, tuple[Upstream, Handler]], slots: Slots) -> Route:
    handle = chains[proxy.name][1] if proxy.active else _refusal(proxy.name, errors.PROXY_DISABLED, slots, proxy.cors)
    return Route(proxy.path.rstrip("/").encode(), tuple(host.encode() for host in proxy.hosts), handle)


def _refusal(name: str, reason: Reason, slots: Slots, cors: Cors = _NO_CORS) -> Handler:
    async def refuse(ex: Exchange) -> None:
        raise GatewayError(reason)

    return chain(refuse, slots.observe(name), rescue_for(cors))
