"""What happens to upstreams, in the metrics of the proxies that they serve and of their endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic

from gateway.core.events import BreakerChanged, EndpointChanged, Event, LimitDecided, UpstreamClosed
from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.proxy.inspect.endpoint_metrics import EndpointMetrics
from gateway.proxy.inspect.fallback_metrics import FallbackMetrics, only_fallbacks
from gateway.proxy.inspect.status import counts, open_since
from gateway.upstream.upstream import Upstream

Upstreams = Mapping[str, Upstream]


class UpstreamMetrics:
    """``counters``: what ``metrics`` writes to."""

    def __init__(self, metrics: Metrics, counters: CounterMap) -> None:
        self._metrics = metrics
        self._endpoints = EndpointMetrics(counters)
        self._fallbacks = FallbackMetrics(counters)
        self.sharers: Mapping[str, Sequence[str]] = {}
        """The names of the active proxies of each upstream."""

    def replace(self, before: Upstreams, after: Upstreams, sharers: Mapping[str, Sequence[str]]) -> None:
        """``after`` are served instead of ``before``, by ``sharers``. A replacement would lose what was not counted
        yet."""
        for name, upstream in before.items():
            if after.get(name) is not upstream:
                self._count_pool(upstream)
        self.sharers = sharers
        alone = only_fallbacks(after, sharers)
        self._endpoints.retain(after.values(), alone)
        self._fallbacks.retain(alone)

    def sample(self, upstreams: Upstreams) -> None:
        """Bring all counters and gauges of ``upstreams`` up to date."""
        for upstream in upstreams.values():
            self._count_pool(upstream)
        alone = only_fallbacks(upstreams, self.sharers)
        self._endpoints.sample(upstreams.values(), alone)
        self._fallbacks.sample(alone)

    def note(self, event: Event, upstreams: Upstreams) -> None:
        """Count ``event``. ``upstreams``: those that are served."""
        metrics = self._metrics
        match event:
            case BreakerChanged(upstream, old, new, cause):
                if upstream not in self.sharers and upstream in upstreams:
                    self._fallbacks.note(upstreams[upstream], event)
                for name in self._sharing(upstream):
                    metrics.breaker_moved(name, old.replace("-", "_"), new.replace("-", "_"), cause, monotonic())
                self._note_open(upstream, upstreams)
            case EndpointChanged(upstream, _, cause):
                for name in self._sharing(upstream):
                    metrics.endpoint_changed(name, cause)
                self._note_open(upstream, upstreams)
            case LimitDecided(upstream, _, _, cause):
                for name in self._sharing(upstream):
                    metrics.limit_decided(name, cause)
            case UpstreamClosed(upstream, seconds):
                for name in self._sharing(upstream):
                    metrics.upstream_closed(name, seconds)

    def _note_open(self, name: str, upstreams: Upstreams) -> None:
        """Of several breakers, another one may decide on requests now."""
        upstream = upstreams.get(name)
        if upstream is not None and len(upstream.breakers) > 1:
            since = open_since(upstream)
            for proxy in self._sharing(name):
                self._metrics.note_open(proxy, since, monotonic())

    def _sharing(self, upstream: str) -> Sequence[str]:
        return self.sharers.get(upstream, ())

    def _count_pool(self, upstream: Upstream) -> None:
        counted = counts(upstream)
        for name in self._sharing(upstream.settings.name):
            self._metrics.add(counted, name)
