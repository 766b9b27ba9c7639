"""The metrics of each endpoint: how it stands, and what its attempts say of it.

Endpoints of a group have some. A single one without checks has the figures of its proxy, and none of its own: otherwise
a gateway with thousands of proxies would show each figure twice. That of an upstream that is used only as a fallback
has some too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.policy.group import Group
from gateway.proxy.inspect.status import in_flight, standing
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.upstream import Upstream


class EndpointMetrics:
    """Brings the slabs of endpoints in ``counters`` up to date."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters

    def retain(self, upstreams: Iterable[Upstream], alone: Collection[Upstream] = ()) -> None:
        """Count for the endpoints of ``upstreams``; the numbers of all others are forgotten.

        ``alone``: those of ``upstreams`` that have no proxy whose figures theirs could be.
        Where all slabs are taken, or the name is too long for one, an endpoint has no metrics.
        """
        wanted = {name: endpoint for name, _, endpoint in _named(upstreams, alone)}
        known = set(self._counters.names(Kind.ENDPOINT))
        for gone in known.difference(wanted):
            self._counters.release(gone, Kind.ENDPOINT)
        for name, endpoint in wanted.items():
            if name not in known:  # what it counted while it was not shown belongs to no series
                endpoint.member.take_counts()
                endpoint.condition.reported.take_counts()
            self._counters.claim(name, Kind.ENDPOINT)

    def sample(self, upstreams: Iterable[Upstream], alone: Collection[Upstream] = ()) -> None:
        """Of those that `retain` was called with last."""
        for name, group, endpoint in _named(upstreams, alone):
            base = self._counters.known(name, Kind.ENDPOINT)
            if base is not None:
                self._update(base, group, endpoint)

    def _update(self, base: int, group: Group | None, endpoint: Endpoint) -> None:
        ints, member = self._counters.ints, endpoint.member
        capacity = None if group is None else group.capacity
        ints[base + families.ENDPOINT_UP] = standing(member) == "usable"
        ints[base + families.ENDPOINT_IN_FLIGHT] = in_flight(endpoint)
        ints[base + families.ENDPOINT_CAPACITY] = 0 if capacity is None else capacity.now(member)
        *outcomes, ejections = member.take_counts()
        for cell, amount in enumerate(outcomes, base + families.ENDPOINT_REQUESTS):
            ints[cell] += amount
        ints[base + families.ENDPOINT_EJECTIONS] += ejections
        for cell, amount in enumerate(endpoint.condition.reported.take_counts(), base + families.ENDPOINT_REPORTS):
            ints[cell] += amount


def _named(upstreams: Iterable[Upstream], alone: Collection[Upstream]) -> Iterator[tuple[str, Group | None, Endpoint]]:
    """The endpoints, each with the name of its slab and its group."""
    for upstream in upstreams:
        if upstream.group is not None or upstream in alone:
            for endpoint in upstream.endpoints:
                yield f"{upstream.settings.shown_name} {endpoint.member.name}", upstream.group, endpoint
