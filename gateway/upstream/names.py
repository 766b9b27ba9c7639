"""The names of endpoints that are to be expanded: each address that such a name has is an endpoint.

A name is resolved again when its answer is no longer valid, and at the latest after the interval of its endpoint. While
it cannot be resolved the last addresses stay. Without any the endpoint is the name, as without expansion.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from gateway.config import records
from gateway.upstream.dns import Answer, Resolver
from gateway.upstream.forward_proxy import forward_proxy
from gateway.upstream.origin import Origin

_log = logging.getLogger(__name__)

PATIENCE: Final = 2.0
"""Seconds that a configuration waits for the first addresses of its names."""
_LONGEST: Final = 10.0
"""Seconds that a resolver may take; a later answer is not awaited."""
MOST: Final = 64
"""Addresses of a name that are used: each is an endpoint, with connections and checks of its own."""

SHORTEST: Final = 1.0
"""Seconds from one resolution to the next, however short an answer is valid."""

Resolve = Callable[[str], Awaitable[Answer]]
"""The addresses of a name. Raises OSError."""


def pause(interval: float, ttl: int | None) -> float:
    """Seconds to the next resolution of a name whose answer is valid for ``ttl``."""
    return interval if ttl is None else min(interval, max(ttl, SHORTEST))


class Names:
    """Calls ``on_change`` when a name that is followed has other addresses. What it raises is logged."""

    def __init__(self, on_change: Callable[[], None], resolve: Resolve | None = None) -> None:
        """``resolve``: None: by the name servers of the system."""
        self._own = Resolver()
        self._resolve = self._own if resolve is None else resolve
        self._on_change = on_change
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._ttls: dict[str, int | None] = {}
        """Of the last answers."""
        self.failures = 0
        """Resolutions that failed."""
        self._failing: set[str] = set()
        """Names whose last resolution failed."""
        self._followed: dict[str, float] = {}
        """Those of the configuration that is served, with their intervals."""
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._held = False
        self._due = False

    def expanded(self, upstream: records.Upstream) -> records.Upstream:
        """``upstream`` with an endpoint for each address of a name that is to be expanded."""
        if not any(endpoint.expand_dns for endpoint in upstream.endpoints):
            return upstream
        endpoints: list[records.Endpoint] = []
        for endpoint in upstream.endpoints:
            addresses = self._addresses.get(Origin.of(endpoint.url).host, ()) if _expands(endpoint) else ()
            endpoints += [replace(endpoint, address=address) for address in addresses] or [endpoint]
        return replace(upstream, endpoints=tuple(endpoints))

    def hold(self) -> None:
        """Report no change before `release`: a configuration is being prepared."""
        self._held = True

    def release(self) -> None:
        """The configuration is given up, or served."""
        self._held = False
        if self._due:
            self._due = False
            self._changed()

    async def learn(self, upstreams: Iterable[records.Upstream]) -> None:
        """Resolve the names of ``upstreams`` that are not followed yet or have no addresses, as long as `PATIENCE`."""
        known = self._addresses.keys() & self._followed.keys()
        unknown = [host for host in _names(upstreams) if host not in known]
        if unknown:
            asked = [asyncio.ensure_future(self._ask(host)) for host in unknown]
            _, late = await asyncio.wait(asked, timeout=PATIENCE)
            for each in late:
                each.cancel()

    def follow(self, upstreams: Iterable[records.Upstream]) -> None:
        """From now on resolve the names of ``upstreams`` again and again, and no others; with all of `release`."""
        before, self._followed = self._followed, _names(upstreams)
        for host, interval in before.items():
            if self._followed.get(host) != interval:
                self._watches.pop(host).cancel()
        for host in before.keys() - self._followed.keys():
            self._addresses.pop(host, None)
            self._ttls.pop(host, None)
            self._failing.discard(host)
        for host, interval in self._followed.items():
            if host not in self._watches:
                watch = asyncio.get_running_loop().create_task(self._watch(host, interval), name=f"resolve {host}")
                self._watches[host] = watch
        self.release()

    async def aclose(self) -> None:
        for watch in self._watches.values():
            watch.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)
        await self._own.aclose()

    async def _watch(self, host: str, interval: float) -> None:
        while True:
            await asyncio.sleep(pause(interval, self._ttls.get(host)))
            if await self._ask(host):
                self._changed()

    async def _ask(self, host: str) -> bool:
        """Resolve ``host``; whether it has other addresses than before."""
        try:
            async with asyncio.timeout(_LONGEST):
                answer = await self._resolve(host)
            # In one order always, because resolvers turn them round from query to query.
            found = tuple(sorted(set(answer.addresses)))
            if not found:
                raise OSError("it has no address")
        except (OSError, TimeoutError) as error:
            self._ttls[host] = None
            self.failures += 1
            if host not in self._failing:
                self._failing.add(host)
                kept = len(self._addresses.get(host, ()))
                why = str(error) or f"no answer within {_LONGEST:g} s"
                _log.warning("the name %s cannot be resolved: %s; its last %d addresses stay", host, why, kept)
            return False
        if host in self._failing:
            self._failing.remove(host)
            _log.info("the name %s can be resolved again", host)
        self._ttls[host] = answer.ttl
        before = self._addresses.get(host)
        if len(found) > MOST and before != found[:MOST]:
            _log.warning("the name %s has %d addresses, of which the first %d are used", host, len(found), MOST)
        self._addresses[host] = found[:MOST]
        if before is not None and before != found[:MOST]:
            _log.info("the name %s has other addresses: %s", host, ", ".join(found[:MOST]))
        return before != found[:MOST]

    def _changed(self) -> None:
        if self._held:
            self._due = True
            return
        try:
            self._on_change()
        except Exception:
            _log.exception("endpoints with new addresses could not be applied; those before stay")


def _expands(endpoint: records.Endpoint) -> bool:
    """A forward proxy on the way resolves the name itself."""
    return endpoint.expand_dns and forward_proxy(Origin.of(endpoint.url)) is None


def _names(upstreams: Iterable[records.Upstream]) -> dict[str, float]:
    """The names that are to be expanded, each with the shortest interval that is asked for."""
    found: dict[str, float] = {}
    for endpoint in _endpoints(upstreams):
        host = Origin.of(endpoint.url).host
        found[host] = min(endpoint.dns_interval, found.get(host, endpoint.dns_interval))
    return found


def _endpoints(upstreams: Iterable[records.Upstream]) -> Iterator[records.Endpoint]:
    return (each for upstream in upstreams for each in upstream.endpoints if each.expand_dns and _expands(each))
