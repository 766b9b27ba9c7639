"""Computes what a change would touch before it is made. Follows `gateway.upstream.registry`, which keeps the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from gateway.admin.precedence import routes
from gateway.config.schema.proxy import Proxy
from gateway.ipc.messages import ProxyState
from gateway.upstream.origin import Origin


class RouteChange(TypedDict):
    proxy: str
    host: str
    path: str
    change: str
    """added, removed or changed"""


class UpstreamChange(TypedDict):
    """What happens to the parts of a proxy that survive a reload: kept, made, replaced, resized, reset or dropped."""

    proxy: str
    breaker: str
    limiter: str
    pool: str
    streams: int
    """Live exchanges of this proxy. They finish under the old settings."""


class Impact(TypedDict):
    routes: list[RouteChange]
    upstreams: list[UpstreamChange]
    streams: int
    """Live exchanges of all proxies that the change touches."""


def impact(before: Sequence[Proxy], after: Sequence[Proxy], state: Mapping[str, ProxyState]) -> Impact:
    """The difference between two lists of served proxies."""
    old, new = ({proxy.name: proxy for proxy in proxies} for proxies in (before, after))
    pairs = ((name, (old.get(name), new.get(name))) for name in sorted(old.keys() | new.keys()))
    # Nearly all are the same object on both sides, so only the others are compared key by key.
    touched = {name: pair for name, pair in pairs if pair[0] is not pair[1] and pair[0] != pair[1]}
    upstreams = [_upstream(name, was, is_, state) for name, (was, is_) in touched.items()]
    return {
        "routes": _routes([old[n] for n in touched if n in old], [new[n] for n in touched if n in new]),
        "upstreams": upstreams,
        "streams": sum(upstream["streams"] for upstream in upstreams),
    }


def _routes(before: Sequence[Proxy], after: Sequence[Proxy]) -> list[RouteChange]:
    """``before`` and ``after``: proxies that the change touches."""
    old = {route: proxy for proxy in before for route in routes(proxy)}
    new = {route: proxy for proxy in after for route in routes(proxy)}
    found: list[RouteChange] = []
    for host, path in sorted(old.keys() | new.keys()):
        was, is_ = old.get((host, path)), new.get((host, path))
        owner = was if is_ is None else is_
        assert owner is not None
        change = "removed" if is_ is None else "added" if was is None else "changed"
        found.append({"proxy": owner.name, "host": host, "path": path, "change": change})
    return found


def _upstream(name: str, old: Proxy | None, new: Proxy | None, state: Mapping[str, ProxyState]) -> UpstreamChange:
    was = old if old is not None and old.active else None
    is_ = new if new is not None and new.active else None
    live = state.get(name)
    return {
        "proxy": name,
        "breaker": _breaker(was, is_),
        "limiter": _limiter(was, is_),
        "pool": _pool(was, is_),
        "streams": 0 if live is None else live["streams"],
    }


def _breaker(old: Proxy | None, new: Proxy | None) -> str:
    had = old is not None and old.circuit_breaker.enabled
    has = new is not None and new.circuit_breaker.enabled
    if not had or not has:
        return "dropped" if had else "made" if has else "none"
    assert old is not None
    assert new is not None
    before, after = old.circuit_breaker.scope, new.circuit_breaker.scope
    # That of an upstream as a whole stays, whatever its endpoints are.
    return "kept" if before == after and (after != "endpoint" or _origin(old) == _origin(new)) else "reset"


def _limiter(old: Proxy | None, new: Proxy | None) -> str:
    before = (old.max_concurrent, old.limiter.adaptive) if old is not None else _UNLIMITED
    after = (new.max_concurrent, new.limiter.adaptive) if new is not None else _UNLIMITED
    if _UNLIMITED in (before, after):
        return "none" if before == after else "made" if before == _UNLIMITED else "dropped"
    return "kept" if before == after else "resized"


_UNLIMITED = (0, None)


def _pool(old: Proxy | None, new: Proxy | None) -> str:
    if old is None or new is None:
        return "made" if new is not None else "dropped" if old is not None else "none"
    same = _origin(old) == _origin(new) and old.timeout_config == new.timeout_config
    return "kept" if same else "replaced"


def _origin(proxy: Proxy) -> str:
    return proxy.upstream if proxy.names_upstream else Origin.of(proxy.upstream).url
