"""The endpoints of an upstream: which there are, and which of them an operator gives no new requests.

What an operator drains stands in the database, beside the configuration: it outlives restarts and reloads, until it is
taken back. One whose upstream or endpoint is no longer configured is stale: it has no effect, but would have one again
if the endpoint came back, so it is shown and can be taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from gateway.admin import representations
from gateway.admin.actor import Actor
from gateway.admin.declared import Declared
from gateway.admin.errors import AdminError, conflict, not_found, validation
from gateway.admin.live import Live
from gateway.admin.precedence import effective
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.config import records, values
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.upstream import named
from gateway.ipc.channel import ChannelError
from gateway.ipc.merge import STANDINGS
from gateway.ipc.messages import Inspection
from gateway.store.drains import DrainedEndpoint
from gateway.store.errors import LastEndpoint
from gateway.store.repository import usable
from gateway.store.store import Store

_SHOWN_ELSEWHERE = ("url", "address", "weight")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name stands for. ``upstream``: of the record, empty when none is configured."""

    upstream: str
    endpoints: Mapping[str, records.Endpoint]
    """By origin."""
    served_by: Sequence[str]
    """The active proxies that lead to it."""
    operator: Mapping[str, DrainedEndpoint]
    """Those of `endpoints` that an operator has drained, by origin."""
    stale: Mapping[str, DrainedEndpoint]
    """What was drained under this name and is no endpoint any more, by origin."""


class EndpointAdministration:
    """``name``: of a proxy, which stands for its upstream, or of an entry of `upstreams` of the file.

    A proxy comes first where both have the name, as in explanations. All methods raise `AdminError`.
    """

    def __init__(self, store: Store, declared: Declared, live: Live, plane: Inspection) -> None:
        self._store = store
        self._declared = declared
        self._live = live
        self._plane = plane

    async def all(self, actor: Actor, name: str) -> Resource:
        """Each endpoint, who has drained it, and how it stands where a data plane responds."""
        superusers_only(actor)
        found = await self._find(name)
        if not found.upstream and not found.stale:
            self._unknown(name)
        return await self._shown(name, found)

    async def drain(self, actor: Actor, name: str, url: str, *, force: bool = False) -> Resource:
        """Give the endpoint with the origin of ``url`` no new requests. The last one only by ``force``."""
        superusers_only(actor)
        origin = _origin(url)
        found = await self._find(name)
        if not found.upstream:
            self._unknown(name)
        endpoint = found.endpoints.get(origin)
        if endpoint is None:
            raise _no_such_endpoint(name, origin, found.endpoints)
        others = [each for each, settings in found.endpoints.items() if each != origin and not settings.drain]
        try:
            # One that its settings drain gets no requests anyway, so that callers lose nothing.
            needed = None if force or endpoint.drain else others
            await self._store.drains.add(found.upstream, origin, actor.author, others=needed)
        except LastEndpoint:
            raise conflict(
                "last_endpoint",
                f"{origin} is the last endpoint of {name} that is not drained, and without one each request gets 503 "
                "no_healthy_endpoint; undrain another one first, or force it",
            ) from None
        return await self._done(name)

    async def undrain(self, actor: Actor, name: str, url: str) -> Resource:
        """Give the endpoint requests again, unless its settings drain it too; also for one that is stale."""
        superusers_only(actor)
        origin = _origin(url)
        found = await self._find(name)
        endpoint = found.endpoints.get(origin)
        noted = found.operator.get(origin) or found.stale.get(origin)
        if noted is None and not found.upstream:
            self._unknown(name)
        if noted is None and endpoint is None:
            raise _no_such_endpoint(name, origin, [*found.endpoints, *found.stale])
        if noted is None and endpoint is not None and endpoint.drain:
            details = f"no operator has drained {origin}: it has drain: true in its settings; change it there"
            raise conflict("drained_in_settings", details)
        if noted is not None:
            await self._store.drains.remove(noted.upstream, origin, actor.author)
        return await self._done(name)

    async def _done(self, name: str) -> Resource:
        applied = await self._live.apply()
        shown = await self._shown(name, await self._find(name))
        return shown | {"applied": {"generation": applied.generation, "error": applied.error}}

    async def _find(self, name: str) -> _Found:
        proxies = effective(self._declared.proxies(), usable(await self._store.proxies.list()))
        endpoints = {named(each.name): each.record().endpoints for each in self._declared.shared_upstreams()}
        endpoints |= {each.name: _own(each) for each in proxies if not each.names_upstream}
        proxy = next((each for each in proxies if each.name == name), None)
        upstream = named(name) if proxy is None else _upstream_of(proxy)
        there = {key: {values.origin(each.url): each for each in of} for key, of in endpoints.items()}
        operator: dict[str, DrainedEndpoint] = {}
        stale: dict[str, DrainedEndpoint] = {}
        for drained in await self._store.drains.list():
            if drained.upstream not in (upstream, name, named(name)):
                continue
            if drained.origin not in there.get(drained.upstream, {}):
                stale[drained.origin] = drained
            elif drained.upstream == upstream:
                operator[drained.origin] = drained
        served_by = [each.name for each in proxies if each.active and _upstream_of(each) == upstream]
        known = upstream if upstream in there else ""
        return _Found(known, there.get(upstream, {}), served_by, operator, stale)

    def _unknown(self, name: str) -> NoReturn:
        file = "" if self._declared.name else ", and without a configuration file none of its proxies and upstreams"
        raise not_found(f"there is no proxy and no upstream {name}{file}")

    async def _shown(self, name: str, found: _Found) -> Resource:
        live = await self._standings(found)
        items: list[Resource] = []
        for origin, endpoint in found.endpoints.items():
            drained_by = [representations.drained_by_settings()] if endpoint.drain else []
            if origin in found.operator:
                drained_by.append(representations.drained_by_operator(found.operator[origin]))
            items.append(
                {
                    "url": endpoint.url,
                    "weight": endpoint.weight,
                    "drain": bool(drained_by),
                    "drained_by": drained_by,
                    "stale": False,
                    "live": live.get(origin),
                }
            )
        for origin, drained in found.stale.items():
            by = [representations.drained_by_operator(drained)]
            items.append({"url": origin, "weight": None, "drain": False, "drained_by": by, "stale": True, "live": None})
        return {"upstream": found.upstream.removeprefix(records.NAMED) or name, "items": items}

    async def _standings(self, found: _Found) -> Mapping[str, Resource]:
        """How the endpoints stand, by origin: nothing for one that is alone, or while the data plane is away."""
        if not found.served_by:
            return {}
        try:
            explanation = await self._plane.explain(found.served_by[0])
        except ChannelError:
            return {}
        group = None if explanation is None else explanation.get("group")
        endpoints = () if group is None else group["endpoints"]
        live: dict[str, Resource] = {}
        running: Counter[str] = Counter()
        # Of a name that is expanded the address with the worst standing, because they are drained together.
        for each in sorted(endpoints, key=lambda each: STANDINGS.index(each["standing"])):
            shown = {key: value for key, value in each.items() if key not in _SHOWN_ELSEWHERE}
            origin = values.origin(each["url"])
            running[origin] += each["in_flight"]
            live[origin] = shown | {"in_flight": running[origin]}
        return live


def _own(proxy: Proxy) -> tuple[records.Endpoint, ...]:
    return (records.Endpoint(proxy.upstream), *(endpoint.record() for endpoint in proxy.endpoints))


def _upstream_of(proxy: Proxy) -> str:
    return named(proxy.upstream) if proxy.names_upstream else proxy.name


def _origin(url: str) -> str:
    try:
        return values.origin(url)
    except ValueError as error:
        raise validation([("url", str(error))]) from None


def _no_such_endpoint(name: str, origin: str, there: Iterable[str]) -> AdminError:
    details = f"{name} has no endpoint {origin}; it has {', '.join(there)}"
    return AdminError(422, "unknown_endpoint", "Unprocessable Content", details, [("url", details)])
