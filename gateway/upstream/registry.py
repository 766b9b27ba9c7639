"""The state that outlives a reload: pools, limiters and breakers, by the name of their upstream.

A pool's identity is the origin, and the timeouts, TLS and protocols that its connections were made with; breakers have
theirs in `breakers.py`; a limiter's, and a retry budget's, is the name alone. A limiter or breaker whose numbers change
is changed in place, so that permits in use stay counted and a circuit stays open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial

from gateway.config import records
from gateway.config.networks import Destinations
from gateway.core.events import BreakerChanged, LimitDecided, Sink, UpstreamClosed
from gateway.core.tasks import Tasks
from gateway.policy.adaptive import Adaptive
from gateway.policy.breaker_store import BreakerStore, State
from gateway.policy.budget import RetryBudget
from gateway.policy.codel import Codel
from gateway.policy.group import Condition
from gateway.policy.latency import Latency
from gateway.policy.learned import Decision
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter
from gateway.policy.member import Member
from gateway.policy.store import PermitStore
from gateway.policy.stores import MemoryStores, Stores
from gateway.upstream.balancing import group_of
from gateway.upstream.breakers import Breakers, configure
from gateway.upstream.connector import HardenedConnector
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.guard import Guard
from gateway.upstream.health_checks import HealthChecks
from gateway.upstream.origin import Origin
from gateway.upstream.pool import IdleBudget, Keeping, Pool
from gateway.upstream.reports import Reports
from gateway.upstream.sessions import SessionPool
from gateway.upstream.shortage import Shortages
from gateway.upstream.tls import TlsContexts
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool
from gateway.wire.connect import Http2, Memories
from gateway.wire.h1.head import HeadParser


def _places(settings: records.Upstream) -> int:
    """Places in which a request may wait: none where a queue only counts, in front of a limit that is enforced."""
    queue = settings.queue
    counts = queue.mode == "shadow" and settings.limiter.mode != "shadow"
    return 0 if counts or not queue.timeout else queue.max_waiting


def _bounds(settings: records.Upstream) -> Bounds:
    """Of a limit that adapts."""
    adaptive = settings.limiter.adaptive
    assert adaptive is not None
    return Bounds(adaptive.initial, adaptive.min, adaptive.max)


def _of_the_pool(settings: records.Upstream) -> object:
    """What its connections were made with."""
    return settings.timeouts, settings.tls, settings.http2


class Registry:
    """Owns the parts of all upstreams. `prepare` builds aside, `adopt` applies."""

    def __init__(self, buffers: BufferPool, parser: HeadParser, sink: Sink, stores: Stores | None = None) -> None:
        """``stores``: of limiters and breakers; None: in the memory of this process."""
        self.upstreams: dict[str, Upstream] = {}
        self.stores: Stores = MemoryStores() if stores is None else stores
        self._buffers = buffers
        self._parser = parser
        self._sink = sink
        self._budget = IdleBudget()
        self._shortages = Shortages()
        self.guard = Guard()
        self._tls = TlsContexts()
        self._memories = Memories()
        self._limiters: dict[str, Limiter] = {}
        """Also those that no upstream has now: exchanges that run under an old limit still hold its permits."""
        self._prepared: list[Upstream] = []
        """Those that `prepare` has built last."""
        self._breakers = Breakers(self.stores, self._changed)
        self._retiring = Tasks()
        self._checks: dict[str, HealthChecks] = {}
        """The active checks that run, by upstream."""

    def prepare(self, upstreams: Iterable[records.Upstream]) -> Iterator[tuple[str, Upstream]]:
        """The parts of ``upstreams`` with their names, one after the other: thousands of them take a second. What is
        unchanged is borrowed, and nothing that is live is touched.

        Raises OSError for a certificate that cannot be used.
        """
        self._prepared = []
        return ((settings.name, self._prepare(settings)) for settings in upstreams)

    def adopt(self, prepared: dict[str, Upstream]) -> None:
        """Apply what `prepare` built; what no upstream borrows any more is closed when its exchanges end."""
        for upstream in prepared.values():
            self._configure(upstream)
        self._forget_limiters(prepared)
        self._tls.keep(upstream.settings.tls for upstream in prepared.values())
        kept = {id(endpoint.pool) for endpoint in _endpoints(prepared.values())}
        old, self.upstreams, self._prepared = self.upstreams, prepared, []
        adapting = {id(upstream.adaptive) for upstream in prepared.values()}
        for name, upstream in old.items():
            if upstream.adaptive is not None and id(upstream.adaptive) not in adapting:
                upstream.adaptive.retire()
            if upstream.reports is not None and prepared.get(name) is not upstream:
                upstream.reports.close()
        self._check(old)
        for endpoint in _endpoints(old.values()):
            if id(endpoint.pool) not in kept:
                self._retiring.start(endpoint.pool.aclose(), "retire pool")
        self._breakers.retire(old.values(), self.upstreams.values())

    def _check(self, old: dict[str, Upstream]) -> None:
        """Run the active checks of what is served from now on, instead of those of ``old``."""
        for name, upstream in old.items():
            if self.upstreams.get(name) is not upstream and name in self._checks:
                self._retiring.start(self._checks.pop(name).aclose(), "end checks")
        for name, upstream in self.upstreams.items():
            health = upstream.settings.health
            if upstream.group is not None and health.enabled and name not in self._checks:
                checks = HealthChecks(upstream.group, upstream.endpoints, health, upstream.reports)
                self._checks.setdefault(name, checks).start()

    def abandon(self) -> None:
        """Give up what was prepared since the last `adopt`: a configuration that is rejected leaves nothing behind."""
        given_up, self._prepared = self._prepared, []
        self._forget_limiters(self.upstreams)
        self._breakers.retire(given_up, self.upstreams.values())

    def _forget_limiters(self, upstreams: Collection[str]) -> None:
        """Those that none of ``upstreams`` has, and whose permits are all back."""
        for name in [name for name, limiter in self._limiters.items() if name not in upstreams and limiter.idle]:
            self.stores.forget(self._limiters.pop(name).store)

    def restrict(self, destinations: Destinations) -> None:
        """Connect to these alone from now on. Earlier connections are used for no further request."""
        if destinations == self.guard.destinations:
            return
        self.guard.destinations = destinations
        for endpoint in _endpoints(self.upstreams.values()):
            endpoint.pool.renew()

    def move(self) -> None:
        """Everything goes on in the stores that it would get now. Breakers that are leaving stay where they are."""
        stores, left = self.stores, list[PermitStore | BreakerStore]()
        for name, limiter in self._limiters.items():
            permits = stores.permits(name)
            if permits is not limiter.store:
                left.append(limiter.store)
                limiter.move(permits)
                limiter.linger = stores.linger
                self._watch_census(name)
        upstreams = [*self.upstreams.values(), *self._prepared]
        for adaptive, name in {each.adaptive: each.settings.name for each in upstreams}.items():
            if adaptive is not None:
                adaptive.move(stores.learned(name))
        for pool, settings in {one.pool: each.settings for each in upstreams for one in each.endpoints}.items():
            pool.count_in(stores.census(settings.name) if settings.limited else None)
        left += self._breakers.move(upstreams)
        for store in left:
            stores.forget(store)

    async def aclose(self) -> None:
        """Close every pool; returns when the last connection in use has come back."""
        self.adopt({})
        await self._retiring.finish()

    def _prepare(self, settings: records.Upstream) -> Upstream:
        old = self.upstreams.get(settings.name)
        if old is not None and old.settings == settings:
            return old
        limiter = self._limiter(settings, old) if settings.limited else None
        adaptive = None if limiter is None else self._adaptive(settings, old, limiter)
        origins = [Origin.of(each.url, each.address) for each in settings.endpoints]
        endpoints = tuple([self._endpoint(settings, origin, old) for origin in origins])
        group = group_of(settings, endpoints, self._sink)
        reports = Reports(group, limiter, settings.capacity) if group and settings.capacity.enabled else None
        budget = RetryBudget(self.stores.processes) if old is None else old.retry_budget
        latency = Latency() if old is None else old.latency
        breaker = self._breakers.of_upstream(settings, None if old is None else old.breaker)
        parts = budget, latency, adaptive, reports, breaker
        upstream = Upstream(settings, endpoints, limiter, group, self._buffers, *parts)
        self._prepared.append(upstream)
        return upstream

    def _endpoint(self, settings: records.Upstream, origin: Origin, old: Upstream | None) -> Endpoint:
        pool, known_breaker, condition = None, None, None
        known = None if old is None else next((one for one in old.endpoints if one.origin.label == origin.label), None)
        if old is not None and known is not None:
            known_breaker, condition = known.breaker, known.condition
            before = old.settings
            # Where processes share a limit, they count their connections.
            counted = before.limited == settings.limited or self.stores.census(settings.name) is None
            same = _of_the_pool(before) == _of_the_pool(settings) and counted
            pool = known.pool if same else None
        breaker = self._breakers.of_endpoint(settings, origin.label, known_breaker)
        return Endpoint(
            origin, pool or self._pool(settings, origin), breaker, condition or Condition(Member(origin.label))
        )

    def _configure(self, upstream: Upstream) -> None:
        settings = upstream.settings
        if upstream.limiter is not None:
            limiter, places = upstream.limiter, _places(settings)
            limit = settings.max_concurrent or limiter.wanted  # one that adapts stays where it is
            if (limiter.wanted, limiter.max_waiting) != (limit, places):
                limiter.resize(limit, places)
            limiter.configure(Codel(settings.queue.codel.target, settings.queue.codel.interval))
        if upstream.adaptive is not None:
            upstream.adaptive.configure(_bounds(settings))
        if upstream.group is not None:
            before = self.upstreams.get(settings.name)
            if before is not upstream:
                configured = [(each.weight, each.drain) for each in settings.endpoints]
                group, there = (None, ()) if before is None else (before.group, before.endpoints)
                known = [endpoint.condition for endpoint in there]
                upstream.group.take_over(group, configured, checks=settings.health.enabled, known=known)
        if upstream.reports is not None:
            upstream.reports.apply()
        elif upstream.limiter is not None:
            upstream.limiter.bound(0)
        configure(upstream)

    def _limiter(self, settings: records.Upstream, old: Upstream | None) -> Limiter:
        if old is not None and old.limiter is not None:
            return old.limiter
        limiter = self._limiters.get(settings.name)
        if limiter is None:
            store = self.stores.permits(settings.name)
            adaptive = settings.limiter.adaptive
            limit = settings.max_concurrent if adaptive is None else store.limit or adaptive.initial
            limiter = Limiter(limit, _places(settings), store=store, linger=self.stores.linger)
            self._limiters[settings.name] = limiter
            self._watch_census(settings.name)
        return limiter

    def _adaptive(self, settings: records.Upstream, old: Upstream | None, limiter: Limiter) -> Adaptive | None:
        if settings.limiter.adaptive is None:
            return None
        if old is not None and old.adaptive is not None and old.limiter is limiter:
            return old.adaptive
        adaptive = Adaptive(limiter, _bounds(settings), self.stores.learned(settings.name))
        adaptive.on_decision = partial(self._decided, settings.name)
        return adaptive

    def _decided(self, name: str, decision: Decision) -> None:
        upstream = self.upstreams.get(name)
        shadow = upstream is not None and upstream.settings.limiter.mode == "shadow"
        self._sink(LimitDecided(name, decision.old, decision.new, decision.cause, shadow))

    def _watch_census(self, name: str) -> None:
        census = self.stores.census(name)
        if census is not None:
            census.on_crowded(partial(self._shrink, name))

    def _shrink(self, name: str) -> None:
        for endpoint in self.upstreams[name].endpoints if name in self.upstreams else ():
            endpoint.pool.shrink()

    def _pool(self, settings: records.Upstream, origin: Origin) -> Pool:
        name, timeouts = settings.name, settings.timeouts
        http2: Http2 = "never" if settings.http2 == "auto" and origin.scheme == "http" else settings.http2
        connector = HardenedConnector(
            origin,
            timeouts,
            self._buffers,
            self._parser,
            self._tls.of(settings.tls, http2),
            self._shortages,
            self.guard,
            http2,
            self._memories,
        )
        keeping = Keeping(
            timeouts.idle,
            timeouts.body_idle,
            self._budget,
            timeouts.max_age,
            census=self.stores.census(name) if settings.limited else None,
            on_abandoned=lambda seconds: self._sink(UpstreamClosed(name, seconds)),
        )
        return (Pool if http2 == "never" else SessionPool)(connector, keeping)

    def _changed(self, name: str, endpoint: str, old: State, new: State, cause: str) -> None:
        upstream = self.upstreams.get(name)
        shadow = upstream is not None and upstream.settings.circuit_breaker.mode == "shadow"
        if upstream is None or len(upstream.endpoints) == 1:
            endpoint = ""
        self._sink(BreakerChanged(name, old.word, new.word, cause, shadow, endpoint))


def _endpoints(upstreams: Iterable[Upstream]) -> Iterator[Endpoint]:
    """Those of all of them."""
    return (endpoint for upstream in upstreams for endpoint in upstream.endpoints)
