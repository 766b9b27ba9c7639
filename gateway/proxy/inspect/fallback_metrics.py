"""The metrics of upstreams that are used only as fallbacks.

The figures of other upstreams are those of their proxies. These have no proxy, so that they are shown under a name of
their own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from gateway.core.events import BreakerChanged
from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.proxy.inspect.status import endpoints_by_state, in_flight
from gateway.upstream.upstream import Upstream

_MOVES = {move: families.UPSTREAM_BREAKER_MOVES + at for at, move in enumerate(families.TRANSITIONS)}


class FallbackMetrics:
    """Brings the slabs of such upstreams in ``counters`` up to date."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """Count for ``upstreams``; the numbers of all others are forgotten."""
        wanted = {upstream.settings.shown_name for upstream in upstreams}
        for gone in set(self._counters.names(Kind.UPSTREAM)) - wanted:
            self._counters.release(gone, Kind.UPSTREAM)
        for name in wanted:
            self._counters.claim(name, Kind.UPSTREAM)

    def sample(self, upstreams: Iterable[Upstream]) -> None:
        """Of those that `retain` was called with last."""
        ints = self._counters.ints
        for upstream in upstreams:
            base = self._counters.known(upstream.settings.shown_name, Kind.UPSTREAM)
            if base is not None:
                for cell, value in _gauges(upstream):
                    ints[base + cell] = value

    def note(self, upstream: Upstream, event: BreakerChanged) -> None:
        """Count ``event``, which is one of ``upstream``."""
        base = self._counters.known(upstream.settings.shown_name, Kind.UPSTREAM)
        cell = _MOVES.get((event.old.replace("-", "_"), event.new.replace("-", "_"), event.cause))
        if base is not None and cell is not None:
            self._counters.ints[base + cell] += 1


def only_fallbacks(upstreams: Mapping[str, Upstream], others: Container[str]) -> list[Upstream]:
    """Those of ``upstreams`` that serve fallbacks alone. ``others``: the names of those that proxies name first. One
    without an endpoint serves nothing."""
    return [upstream for name, upstream in upstreams.items() if name not in others and upstream.endpoints]


def _gauges(upstream: Upstream) -> Iterator[tuple[int, int]]:
    limiter, breaker = upstream.limiter, upstream.gate
    running = sum([in_flight(endpoint) for endpoint in upstream.endpoints]) if limiter is None else limiter.held
    yield families.UPSTREAM_IN_FLIGHT, running
    yield families.UPSTREAM_LIMIT, 0 if limiter is None else limiter.max
    yield families.UPSTREAM_WAITING, 0 if limiter is None else limiter.own_waiting
    yield families.UPSTREAM_QUEUE_LIMIT, 0 if limiter is None else upstream.settings.queue.max_waiting
    yield families.UPSTREAM_BREAKER_STATE, 0 if breaker is None else breaker.state
    yield from enumerate(endpoints_by_state(upstream), families.UPSTREAM_ENDPOINTS)
