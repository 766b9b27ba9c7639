"""Proxies with a URL of their own, as a file has them: a route, and an upstream that bears its name."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from gateway.config.records import Document, Endpoint, Route, Upstream

_OF_THE_UPSTREAM = {field.name for field in fields(Upstream)} - {"name", "endpoints", "rate_limits"}


@dataclass(frozen=True)
class Proxied:
    """Both records of one proxy. Several may have the same upstream."""

    route: Route
    upstream: Upstream

    def having(self, **changes: Any) -> Proxied:
        """The same with ``changes``: fields of either record; ``name`` is that of both, ``upstream`` the only URL,
        ``upstream_rates`` the rate limits of the upstream."""
        name = changes.pop("name", self.route.name)
        endpoints = changes.pop("endpoints", self.upstream.endpoints)
        if (url := changes.pop("upstream", "")) != "":
            endpoints = (Endpoint(url),)
        of_upstream = {key: changes.pop(key) for key in _OF_THE_UPSTREAM & changes.keys()}
        if "upstream_rates" in changes:
            of_upstream["rate_limits"] = changes.pop("upstream_rates")
        return Proxied(
            replace(self.route, name=name, upstream=name, **changes),
            replace(self.upstream, name=name, endpoints=endpoints, **of_upstream),
        )


def proxy(name: str, path: str, url: str, **changes: Any) -> Proxied:
    """``changes`` as of `Proxied.having`."""
    return Proxied(Route(name, path, name), Upstream(name, (Endpoint(url),))).having(**changes)


def serving(document: Document, *proxies: Proxied) -> Document:
    """``document`` with these proxies alone."""
    return replace(
        document,
        routes=tuple(proxied.route for proxied in proxies),
        upstreams=tuple({proxied.upstream.name: proxied.upstream for proxied in proxies}.values()),
    )


def proxies_of(document: Document) -> tuple[Proxied, ...]:
    """Those of a ``document`` that `serving` made."""
    upstreams = {upstream.name: upstream for upstream in document.upstreams}
    return tuple(Proxied(route, upstreams[route.upstream]) for route in document.routes)
