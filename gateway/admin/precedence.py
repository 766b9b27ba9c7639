"""Selects the served proxies when both the file and the database declare some: the file has precedence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.config.schema.mcp import Mcp
from gateway.config.schema.proxy import Proxy

Settings = Mapping[str, object]


def routes(proxy: Proxy | Mcp) -> set[tuple[str, str]]:
    """The (host, path) pairs that a proxy or a front door serves; host "" for every host."""
    return {(host, proxy.path) for host in proxy.hosts or ("",)}


def shadowed(declared: Sequence[Proxy], stored: Iterable[Proxy], doors: Sequence[Mcp] = ()) -> set[str]:
    """Names of proxies of the database that are not served: names of the file, and proxies with one of its routes.

    ``doors``: the front doors of the file, which have routes too.
    """
    taken = set().union(*map(routes, declared), *map(routes, doors))
    return {proxy.name for proxy in declared} | {proxy.name for proxy in stored if routes(proxy) & taken}


def effective(declared: Sequence[Proxy], stored: Sequence[Proxy]) -> list[Proxy]:
    """The served proxies: those of the file, then those of the database that it does not shadow."""
    hidden = shadowed(declared, stored)
    return [*declared, *(proxy for proxy in stored if proxy.name not in hidden)]
