"""The metrics of each endpoint: how it stands, and what its attempts say of it.

Endpoints of a group have some. A single one without checks has the figures of its proxy, and none of its own: otherwise
a gateway with thousands of proxies would show each figure twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.policy.member import Member
from gateway.proxy.inspect.status import standing
from gateway.upstream.upstream import Upstream


class EndpointMetrics:
    """Brings the slabs of endpoints in ``counters`` up to date."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """Count for the endpoints of ``upstreams``; the numbers of all others are forgotten.

        Where all slabs are taken, or the name is too long for one, an endpoint has no metrics.
        """
        wanted = dict(_named(upstreams))
        for gone in set(self._counters.names(Kind.ENDPOINT)) - wanted.keys():
            self._counters.release(gone, Kind.ENDPOINT)
        for name in wanted:
            self._counters.claim(name, Kind.ENDPOINT)

    def sample(self, upstreams: Iterable[Upstream]) -> None:
        """Of those that `retain` was called with last."""
        ints = self._counters.ints
        for name, member in _named(upstreams):
            base = self._counters.known(name, Kind.ENDPOINT)
            if base is None:
                continue
            ints[base + families.ENDPOINT_UP] = standing(member) == "usable"
            ints[base + families.ENDPOINT_IN_FLIGHT] = member.in_flight
            *outcomes, ejections = member.take_counts()
            for cell, amount in enumerate(outcomes, base + families.ENDPOINT_REQUESTS):
                ints[cell] += amount
            ints[base + families.ENDPOINT_EJECTIONS] += ejections


def _named(upstreams: Iterable[Upstream]) -> Iterator[tuple[str, Member]]:
    """The endpoints, each with the name of its slab."""
    for upstream in upstreams:
        if upstream.group is not None:
            for endpoint in upstream.endpoints:
                yield f"{upstream.settings.name} {endpoint.member.name}", endpoint.member
