"""The rate limits of all proxies and upstreams: their buckets outlive reloads.

Buckets are known again by the proxy or upstream, the name, the key and the unit of their limit, and by its `max_keys`,
which is the size of their table. Shared ones are known without a proxy. Numbers are not part of that, so new ones apply
to the buckets that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.config import records
from gateway.core.clock import Clock, monotonic
from gateway.policy.rate import Buckets, Numbers, RateLimit, RateLimits
from gateway.policy.rate_store import slots_for
from gateway.policy.stores import Stores
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.token_places import TokenPlaces

_Identity = tuple[str, int]


class Rates:
    """Owns the buckets. `of` and `of_upstream` make what a route or an upstream needs, and change nothing that is live;
    `adopt` forgets the rest.
    """

    def __init__(self, stores: Stores, clock: Clock = monotonic) -> None:
        self._stores = stores
        self._clock = clock
        self._buckets: dict[_Identity, Buckets] = {}
        self._places: dict[str, tuple[Sequence[records.RateLimit], TokenPlaces]] = {}
        """By the name of their upstream, with its limits."""

    def of(self, route: records.Route) -> RateRule | None:
        """The rule of ``route``; None: it has no rate limits. Raises OSError when there is no room for its buckets."""
        return self._rule(route.name, route.rate_limits, route.rate_weight)

    def of_upstream(self, upstream: records.Upstream) -> RateRule | None:
        """As `of`, of the attempts that go to ``upstream``. All its routes wait for its tokens in one line."""
        limits = upstream.rate_limits
        rule = self._rule(upstream.name, limits, of=upstream.shown_name, owes=True)
        if rule is not None:
            known = self._places.get(upstream.name)
            if known is None or known[0] != limits:
                # Those who wait in the line before stay there; their tokens are theirs in the buckets.
                known = self._places[upstream.name] = limits, TokenPlaces(rule.machine, rule.keys_of_all)
            rule.places = known[1]
        return rule

    def adopt(self, routes: Iterable[records.Route], upstreams: Iterable[records.Upstream] = ()) -> None:
        """The numbers of ``routes`` and ``upstreams`` hold from now on, and buckets that no active route and none of
        ``upstreams`` has are forgotten."""
        owners = [(route.name, route.rate_limits, False) for route in routes if route.active]
        owners += [(upstream.name, upstream.rate_limits, True) for upstream in upstreams]
        used = {_identity(name, limit): (limit, owes) for name, limits, owes in owners for limit in limits}
        named = {name for name, limits, owes in owners if owes and limits}
        self._places = {name: places for name, places in self._places.items() if name in named}
        for identity in self._buckets.keys() - used.keys():
            self._stores.forget(self._buckets.pop(identity).forget())
        for identity, buckets in self._buckets.items():
            limit, owes = used[identity]
            numbers = Numbers(limit.rate, limit.per, limit.tokens, late=_late(limit), owes=owes)
            buckets.adapt(numbers, self._clock())

    def move(self) -> None:
        """Everything goes on in the stores that it would get now."""
        for (name, slots), buckets in self._buckets.items():
            store = self._stores.rates(name, slots)
            if store is not buckets.store:
                before = buckets.store
                buckets.move(store)
                self._stores.forget(before)

    def _rule(
        self,
        owner: str,
        settings: Sequence[records.RateLimit],
        weight: int = 1,
        of: str = "",
        *,
        owes: bool = False,
    ) -> RateRule | None:
        if not settings:
            return None
        limits = [
            RateLimit(
                limit.shown_name,
                limit.rate,
                limit.per,
                limit.tokens,
                self._of(_identity(owner, limit)),
                shadow=limit.mode == "shadow",
                late=_late(limit),
                owes=owes,
            )
            for limit in settings
        ]
        return RateRule(settings, RateLimits(limits, weight, self._clock), self._stores.seed, of)

    def _of(self, identity: _Identity) -> Buckets:
        found = self._buckets.get(identity)
        if found is None:
            found = self._buckets[identity] = Buckets(identity[0], self._stores.rates(*identity))
        return found


def _identity(name: str, limit: records.RateLimit) -> _Identity:
    """A name without equal, and the slots of the table. ``name``: of the proxy, which has no space in it, or of the
    record of an upstream, which has one."""
    owner = "shared by all" if limit.shared else name
    slots = slots_for(1 if limit.key == "all" else limit.max_keys)
    unit = "" if limit.unit == "requests" else f" {limit.unit}"
    return f"{owner} {limit.shown_name} {limit.key}{unit}", slots


def _late(limit: records.RateLimit) -> bool:
    """Whether its tokens are known only when a response has ended."""
    return limit.unit == "tokens"
