"""A generation of the configuration, built for use: immutable, and swapped by one assignment."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from gateway import errors
from gateway.config import records
from gateway.config.records import Cors, Document
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, chain
from gateway.errors import GatewayError, Reason
from gateway.observe.line_writer import LineWriter
from gateway.proxy.certificates import PreparedCertificates
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.layers.rescue import rescue_for
from gateway.proxy.listeners import PreparedSockets
from gateway.proxy.pipeline import OuterLayers, call_chain, route_chain, surface_chain
from gateway.proxy.router import Route, Router
from gateway.upstream.upstream import Upstream

_NO_CORS = Cors()

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """An active proxy: its settings, the upstreams that its handler was built for, that handler, its rate limits."""

    settings: records.Route
    upstream: Upstream
    handle: Handler
    rates: RateRule | None = None
    second: Upstream | None = None
    """That of its fallback, when it has one."""
    upstream_rates: RateRule | None = None
    """The rate limits of ``upstream``."""

    @property
    def rules(self) -> tuple[RateRule, ...]:
        """Its rate limits, and those of ``upstream``."""
        return tuple([rule for rule in (self.rates, self.upstream_rates) if rule is not None])


@dataclass(frozen=True, slots=True)
class Snapshot:
    generation: int
    document: Document
    router: Router
    trusted: Networks
    unrouted: Handler
    """Serves what no route matches."""
    served: Mapping[str, Served]
    """The active proxies by name, and what serves the gateway's own calls."""

    @staticmethod
    def serving(
        document: Document, upstreams: Mapping[str, Upstream], outer: OuterLayers, before: Snapshot | None = None
    ) -> Iterator[tuple[str, Served]]:
        """The active proxies by name, and what serves the gateway's own calls, one after the other: thousands of them
        take a second.

        ``before``: a proxy whose settings and upstreams are the same there keeps its handler, unless load shedding was
        switched on or off.
        """
        sheds = document.limits.sheds
        if not sheds:
            outer = replace(outer, overload=None)
        known = {} if before is None or before.document.limits.sheds != sheds else before.served
        return (
            (route.name, _served(route, upstreams, outer, known.get(route.name)))
            for route in document.everything()
            if route.active
        )

    @classmethod
    def of(cls, generation: int, document: Document, served: Mapping[str, Served], outer: OuterLayers) -> Snapshot:
        """``served``: what `serving` gave for ``document``."""
        return cls(
            generation,
            document,
            Router(_route(route, served, outer) for route in document.routes),
            tuple(ipaddress.ip_network(network) for network in document.trusted_proxies),
            _refusal("", errors.NO_ROUTE, outer),
            served,
        )

    def trusts(self, address: str) -> bool:
        if not self.trusted:
            return False
        peer = ipaddress.ip_address(address.partition("%")[0])
        mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
        return any((mapped or peer) in network for network in self.trusted)


def _served(
    route: records.Route, upstreams: Mapping[str, Upstream], outer: OuterLayers, known: Served | None
) -> Served:
    upstream, *rest = [upstreams[name] for name in route.upstreams()]
    second = rest[0] if rest else None
    if known is not None and known.upstream is upstream and known.second is second and known.settings == route:
        return known
    limits = outer.upstream_rates(upstream.settings)
    if route.own:
        return Served(route, upstream, call_chain(route, upstream, outer), upstream_rates=limits)
    rates = outer.rates(route)
    if route.mcp is not None:
        return Served(route, upstream, surface_chain(route, upstream, outer, rates), rates)
    return Served(route, upstream, route_chain(route, upstream, outer, rates, second), rates, second, limits)


def _route(route: records.Route, served: Mapping[str, Served], outer: OuterLayers) -> Route:
    handle = (
        served[route.name].handle if route.active else _refusal(route.name, errors.PROXY_DISABLED, outer, route.cors)
    )
    return Route(route.path.rstrip("/").encode(), tuple(host.encode() for host in route.hosts), handle)


def _refusal(name: str, reason: Reason, outer: OuterLayers, cors: Cors = _NO_CORS) -> Handler:
    async def refuse(ex: Exchange) -> None:
        raise GatewayError(reason)

    return chain(refuse, outer.observe(name), rescue_for(cors))


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """What the gateway has built and opened for a configuration that it does not serve yet."""

    document: Document
    upstreams: dict[str, Upstream]
    snapshot: Snapshot
    certificates: PreparedCertificates
    writer: LineWriter | None
    sockets: PreparedSockets
