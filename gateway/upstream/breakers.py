"""The breakers of all upstreams: made, kept over reloads, and forgotten when they have judged their last attempts.

A breaker of an endpoint is known by its upstream and the origin that it judges; that of an upstream as a whole by the
upstream alone, so that it stays while endpoints come and go. With a single endpoint both would judge the same attempts,
so that one is enough: that of the upstream where the settings ask for it, because more endpoints may come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final

from gateway.config import records
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.policy.breaker_store import BreakerStore, State
from gateway.policy.circuit import Circuit
from gateway.policy.stores import Stores
from gateway.upstream.upstream import Upstream

WHOLE: Final = ""
"""In the place of an origin: the breaker is that of the upstream as a whole."""

_LEAST: Final = 2
"""Endpoints whose failures open the breaker of several."""

Changed = Callable[[str, str, State, State, str], None]
"""Called with (name of the upstream, origin or `WHOLE`, old, new, cause)."""


class Breakers:
    """``changed`` is called for each change of state."""

    def __init__(self, stores: Stores, changed: Changed) -> None:
        self._stores = stores
        self._changed = changed
        self._leaving: list[Breaker] = []
        """Those that no upstream has now, and that have yet to judge attempts."""

    def of_endpoint(self, settings: records.Upstream, origin: str, known: Breaker | None) -> Breaker | None:
        """That of the endpoint at ``origin``; None: it has none. ``known``: the one that it had before."""
        rules = settings.circuit_breaker
        alone = rules.scope == "upstream" or (rules.scope == "both" and len(settings.endpoints) == 1)
        if not rules.enabled or alone:
            return None
        return known or self._made(settings, origin)

    def of_upstream(self, settings: records.Upstream, known: Breaker | None) -> Breaker | None:
        """That of the upstream as a whole, as `of_endpoint`."""
        rules = settings.circuit_breaker
        if not rules.enabled or rules.scope == "endpoint":
            return None
        return known or self._made(settings, WHOLE)

    def _made(self, settings: records.Upstream, origin: str) -> Breaker:
        rules = settings.circuit_breaker
        store = self._stores.breaker(settings.name, origin)
        numbers = rules.failure_threshold, rules.recovery_timeout, rules.half_open_requests
        breaker = Breaker(*numbers, rules=_rules(rules, settings, origin), name=settings.name, store=store)
        breaker.on_change = Circuit(breaker, partial(self._changed, settings.name, origin)).publish
        return breaker

    def retire(self, old: Iterable[Upstream], used: Iterable[Upstream]) -> None:
        """Those of ``old`` that ``used`` do not have are forgotten as soon as they have judged their last attempts."""
        kept = breakers_of(used)
        self._leaving += [breaker for breaker in breakers_of(old) if breaker not in kept]
        stores = [breaker.store for breaker in kept]
        for breaker in [breaker for breaker in self._leaving if breaker.idle]:
            self._leaving.remove(breaker)
            if breaker.store not in stores:  # one that was switched off and on again has the same store
                self._stores.forget(breaker.store)

    def move(self, upstreams: Iterable[Upstream]) -> list[BreakerStore]:
        """Those of ``upstreams`` go on in the stores that they would get now; returns the stores that they have left.
        Those that are leaving stay where they are."""
        left: list[BreakerStore] = []
        origins = {
            breaker: (upstream.settings.name, origin) for upstream in upstreams for breaker, origin in _judged(upstream)
        }
        for breaker, (name, origin) in origins.items():
            store = self._stores.breaker(name, origin)
            if store is not breaker.store:
                left.append(breaker.store)
                breaker.move(store)
        return left


def configure(upstream: Upstream) -> None:
    """Change the settings of its breakers in place."""
    rules = upstream.settings.circuit_breaker
    for breaker, origin in _judged(upstream):
        breaker.configure(
            rules.failure_threshold,
            rules.recovery_timeout,
            rules.half_open_requests,
            shadow=rules.mode == "shadow",
            rules=_rules(rules, upstream.settings, origin),
        )


def breakers_of(upstreams: Iterable[Upstream]) -> Collection[Breaker]:
    """Those of all of them."""
    return dict.fromkeys(breaker for upstream in upstreams for breaker in upstream.breakers)


def _judged(upstream: Upstream) -> Iterable[tuple[Breaker, str]]:
    """Its breakers, each with the origin that it judges, or `WHOLE`."""
    if upstream.breaker is not None:
        yield upstream.breaker, WHOLE
    for endpoint in upstream.endpoints:
        if endpoint.breaker is not None:
            yield endpoint.breaker, endpoint.origin.label


def _rules(rules: records.CircuitBreaker, upstream: records.Upstream, origin: str) -> Rules:
    """One that judges several endpoints opens by failures of two of them at least: a bad one that fails at once has
    many failures in a row while the good ones take their time. Where the settings name callers, these decide.
    """
    of_endpoints = origin == WHOLE and len(upstream.endpoints) > 1 and rules.distinct_callers <= 1
    return Rules(
        rules.failure_rate,
        rules.slow_call,
        rules.slow_rate,
        rules.window,
        rules.minimum_requests,
        _LEAST if of_endpoints else rules.distinct_callers,
        of_endpoints,
    )
