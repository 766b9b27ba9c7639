from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from gateway.config import records
from gateway.core.events import BreakerChanged
from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.policy.breaker import Breaker
from gateway.policy.group import Condition
from gateway.policy.limiter import Limiter
from gateway.policy.member import Member
from gateway.proxy.inspect.fallback_metrics import FallbackMetrics, only_fallbacks
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream


class Running:
    """A pool with three requests."""

    requests = 3


def upstream(name: str, limiter: Limiter | None = None, breaker: Breaker | None = None) -> Upstream:
    endpoint = Endpoint(Origin.of("http://a:1"), cast(Any, Running()), breaker, Condition(Member("http://a:1")))
    settings = records.Upstream(name, (records.Endpoint("http://a:1"),), queue=records.Queue(4, 1.0))
    return Upstream(settings, (endpoint,), limiter, None)


def shown(counters: CounterMap, name: str) -> list[int]:
    base = dict(counters.live(Kind.UPSTREAM))[name]
    cells = (
        families.UPSTREAM_IN_FLIGHT,
        families.UPSTREAM_LIMIT,
        families.UPSTREAM_WAITING,
        families.UPSTREAM_QUEUE_LIMIT,
        families.UPSTREAM_BREAKER_STATE,
    )
    return [counters.ints[base + cell] for cell in cells]


def test_gauges_are_those_of_the_upstream_with_and_without_protections() -> None:
    limiter, breaker = Limiter(2, 4), Breaker(1, 30.0, 1)
    limiter.try_acquire()
    counters = CounterMap()
    metrics = FallbackMetrics(counters)
    both = [upstream("bare"), upstream("upstream small", limiter, breaker)]
    metrics.retain(both)
    metrics.sample([*both, upstream("unknown")])
    assert shown(counters, "bare") == [3, 0, 0, 0, 0]
    assert shown(counters, "small") == [1, 2, 0, 4, 0]
    metrics.retain(both[:1])
    assert list(dict(counters.live(Kind.UPSTREAM))) == ["bare"]


def test_changes_of_a_breaker_are_counted_while_its_upstream_is_known() -> None:
    counters, small = CounterMap(), upstream("small")
    metrics, event = FallbackMetrics(counters), BreakerChanged("small", "open", "half-open", "recovery_timeout")
    metrics.note(small, event)
    metrics.retain([small])
    metrics.note(small, event)
    metrics.note(small, replace(event, cause="unheard of"))
    ((_, base),) = counters.live(Kind.UPSTREAM)
    at = base + families.UPSTREAM_BREAKER_MOVES
    moved = families.TRANSITIONS.index(("open", "half_open", "recovery_timeout"))
    cells = counters.ints[at : at + len(families.TRANSITIONS)].tolist()
    assert cells == [int(each == moved) for each in range(len(families.TRANSITIONS))]


def test_only_what_no_proxy_names_first_is_shown_by_itself() -> None:
    first, small = upstream("first"), upstream("small")
    assert only_fallbacks({"first": first, "small": small}, {"first": ["p"], "other": ["q"]}) == [small]
