"""The state that outlives a reload: pools, limiters and breakers, kept by name for as long as their identity stays.

A pool's identity is the endpoint and the timeouts that its connections were made with; a breaker's is the endpoint
that it judges; a limiter's is the name alone. A limiter or breaker whose numbers change is changed in place, so that
permits in use stay counted and a circuit stays open.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from functools import partial

from gateway.config.document import CircuitBreaker, Proxy, Timeouts
from gateway.config.networks import Destinations
from gateway.core.events import BreakerChanged, Sink, UpstreamClosed
from gateway.core.tasks import Tasks
from gateway.policy.breaker import Breaker, State
from gateway.policy.circuit import Circuit
from gateway.policy.limiter import Limiter
from gateway.policy.queue import WaitQueue
from gateway.upstream.connector import HardenedConnector, tls_context
from gateway.upstream.guard import Guard
from gateway.upstream.origin import Origin
from gateway.upstream.pool import IdleBudget, Pool
from gateway.upstream.shortage import Shortages
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser

_log = logging.getLogger("gateway")


def _pool_identity(proxy: Proxy) -> tuple[str, Timeouts]:
    return Origin.of(proxy.upstream).url, proxy.timeouts


def _places(proxy: Proxy) -> int:
    """Places in which a request may wait: none where a queue only counts, in front of a limit that is enforced."""
    queue = proxy.queue
    counts = queue.mode == "shadow" and proxy.limiter.mode != "shadow"
    return 0 if counts or not queue.timeout else queue.max_waiting


def _tell_of_forward_proxy(upstream: Upstream) -> None:
    """What applies should be seen at start: nobody reads the environment when requests go astray."""
    connector, settings = upstream.pool.connector, upstream.settings
    proxy = connector.proxy
    if proxy is None:
        return
    way = f"proxy {settings.name}: {upstream.endpoint.url} is reached through {proxy.url}, as {proxy.variable} says"
    if connector.absolute_form and any(header.secret for header in settings.headers):
        if settings.clear_text_proxy:
            _log.warning("%s, which can read the secrets in its headers", way)
        else:
            _log.error(
                "%s, which could read the secrets in its headers: its requests are refused (502 upstream_denied); use "
                "an https:// upstream, name the host in no_proxy, or set clear_text_proxy: true",
                way,
            )
    else:
        _log.info("%s", way)


class Registry:
    """Owns the parts of all upstreams. `prepare` builds aside, `adopt` puts in force."""

    def __init__(self, buffers: BufferPool, parser: HeadParser, sink: Sink) -> None:
        self.upstreams: dict[str, Upstream] = {}
        self._buffers = buffers
        self._parser = parser
        self._sink = sink
        self._budget = IdleBudget()
        self._shortages = Shortages()
        self.guard = Guard()
        self._tls: ssl.SSLContext | None = None
        self._limiters: dict[str, Limiter] = {}
        """Also those that no proxy has now: exchanges that run under an old limit still hold its permits."""
        self._retiring = Tasks()

    def prepare(self, proxies: Iterable[Proxy]) -> dict[str, Upstream]:
        """The upstreams for ``proxies``, borrowing what is unchanged; nothing in force is touched."""
        return {proxy.name: self._prepare(proxy) for proxy in proxies if proxy.active}

    def adopt(self, prepared: dict[str, Upstream]) -> None:
        """Put what `prepare` built in force; what nobody borrows any more is closed when its exchanges end."""
        for upstream in prepared.values():
            self._configure(upstream)
        for name in [name for name, limiter in self._limiters.items() if name not in prepared and limiter.idle]:
            del self._limiters[name]
        kept = {id(upstream.pool) for upstream in prepared.values()}
        old, self.upstreams = self.upstreams, prepared
        known = {id(upstream.pool): upstream.settings for upstream in old.values()}
        for upstream in prepared.values():
            if known.get(id(upstream.pool)) != upstream.settings:
                _tell_of_forward_proxy(upstream)
        for upstream in old.values():
            if id(upstream.pool) not in kept:
                self._retire(upstream.pool)

    def restrict(self, destinations: Destinations) -> None:
        """Connect to these alone from now on. Connections of before are used for no further request."""
        if destinations == self.guard.destinations:
            return
        self.guard.destinations = destinations
        for upstream in self.upstreams.values():
            upstream.pool.renew()

    async def aclose(self) -> None:
        """Close every pool; returns when the last connection in use has come back."""
        self.adopt({})
        await self._retiring.finish()

    def _prepare(self, proxy: Proxy) -> Upstream:
        old = self.upstreams.get(proxy.name)
        if old is not None and old.settings == proxy:
            return old
        endpoint = Origin.of(proxy.upstream)
        pool, limiter, breaker = None, None, None
        if old is not None:
            limiter = old.limiter
            if old.endpoint.url == endpoint.url:
                breaker = old.breaker
            if _pool_identity(old.settings) == _pool_identity(proxy):
                pool = old.pool
        return Upstream(
            proxy,
            endpoint,
            pool or self._pool(proxy.name, endpoint, proxy.timeouts),
            (limiter or self._limiter(proxy)) if proxy.max_concurrent else None,
            (breaker or self._breaker(proxy.name, proxy.circuit_breaker)) if proxy.circuit_breaker.enabled else None,
        )

    def _configure(self, upstream: Upstream) -> None:
        settings = upstream.settings
        if upstream.limiter is not None:
            upstream.limiter.queue.max_waiting = _places(settings)
            if upstream.limiter.max != settings.max_concurrent:
                upstream.limiter.resize(settings.max_concurrent)
        if upstream.breaker is not None:
            breaker = settings.circuit_breaker
            upstream.breaker.configure(
                breaker.failure_threshold,
                breaker.recovery_timeout,
                breaker.half_open_requests,
                shadow=breaker.mode == "shadow",
            )

    def _limiter(self, proxy: Proxy) -> Limiter:
        limiter = self._limiters.get(proxy.name) or Limiter(proxy.max_concurrent, WaitQueue(_places(proxy)))
        self._limiters[proxy.name] = limiter
        return limiter

    def _pool(self, name: str, endpoint: Origin, timeouts: Timeouts) -> Pool:
        if self._tls is None:
            self._tls = tls_context()
        connector = HardenedConnector(
            endpoint, timeouts, self._buffers, self._parser, self._tls, self._shortages, self.guard
        )
        return Pool(
            connector,
            timeouts.idle,
            timeouts.body_idle,
            self._budget,
            max_age=timeouts.max_age,
            on_abandoned=lambda seconds: self._sink(UpstreamClosed(name, seconds)),
        )

    def _breaker(self, name: str, settings: CircuitBreaker) -> Breaker:
        breaker = Breaker(settings.failure_threshold, settings.recovery_timeout, settings.half_open_requests, name=name)
        breaker.on_change = Circuit(breaker, partial(self._changed, name)).publish
        return breaker

    def _changed(self, name: str, old: State, new: State, cause: str) -> None:
        upstream = self.upstreams.get(name)
        shadow = upstream is not None and upstream.breaker is not None and upstream.breaker.shadow
        self._sink(BreakerChanged(name, old.word, new.word, cause, shadow))

    def _retire(self, pool: Pool) -> None:
        self._retiring.start(pool.aclose(), "retire pool")
