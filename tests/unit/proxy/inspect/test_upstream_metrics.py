from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from gateway.config import records
from gateway.core.events import BreakerChanged, EndpointChanged, Event, LimitDecided, PanicChanged, UpstreamClosed
from gateway.core.outcome import Outcome
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.policy.balance import RoundRobin
from gateway.policy.breaker import Breaker
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import UNHEALTHY, Member
from gateway.proxy.inspect.upstream_metrics import UpstreamMetrics
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream


class Dialling:
    """A pool with one more dial at each look."""

    def take_counts(self) -> tuple[int, int]:
        return 1, 0


def upstream() -> Upstream:
    endpoint = Endpoint(Origin.of("http://a:1"), cast(Any, Dialling()), None, Condition(Member("http://a:1")))
    return Upstream(records.Upstream("ai", (records.Endpoint("http://a:1"),)), (endpoint,), None, None)


class Scene:
    """Of three proxies the first two have the upstream."""

    def __init__(self) -> None:
        self.counters = CounterMap()
        metrics = Metrics(self.counters)
        metrics.retain(["one", "two", "other"])
        self.metrics = UpstreamMetrics(metrics, self.counters)
        self.metrics.replace({}, {}, {"ai": ["one", "two"]})

    def counted(self, cell: int) -> list[int]:
        bases = dict(self.counters.live())
        return [self.counters.ints[bases[name] + cell] for name in ("one", "two", "other")]


def test_an_event_counts_for_each_proxy_of_the_upstream() -> None:
    scene = Scene()
    for event in (
        BreakerChanged("ai", "closed", "open", "failure_rate"),
        EndpointChanged("ai", "http://a:1", "down", ""),
        LimitDecided("ai", 3, 4, "probe"),
        UpstreamClosed("ai", 0.0001),
        PanicChanged("ai", panics=True),
        EndpointChanged("unknown", "http://a:1", "down", ""),
    ):
        scene.metrics.note(event, {})
    transitions = families.BREAKER_MOVES + families.TRANSITIONS.index(("closed", "open", "failure_rate"))
    decisions = families.ADAPTIVE_DECISIONS + families.DECISION_CAUSES.index("probe")
    for cell in (transitions, families.ENDPOINT_CHANGES, decisions, families.CLIENT_GONE.at):
        assert scene.counted(cell) == [1, 1, 0]


def failed(breaker: Breaker) -> BreakerChanged:
    breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    return BreakerChanged("ai", "closed", "open", "failure_threshold")


def test_a_proxy_is_open_while_the_breaker_that_decides_is() -> None:
    scene = Scene()
    breakers = [Breaker(1), Breaker(1)]
    conditions = [Condition(Member(f"http://{name}:1")) for name in "ab"]
    endpoints = tuple(
        Endpoint(Origin.of(condition.member.name), cast(Any, Dialling()), breaker, condition)
        for condition, breaker in zip(conditions, breakers, strict=True)
    )
    served = Upstream(records.Upstream("ai", ()), endpoints, None, Group(conditions, RoundRobin(), Rules()))
    opened = [base + families.OPENED_AT for name, base in scene.counters.live() if name in ("one", "two")]

    def since(event: Event) -> list[bool]:
        scene.metrics.note(event, {"ai": served})
        return [scene.counters.floats[cell] > 0.0 for cell in opened]

    assert since(failed(breakers[0])) == [False, False], "the other endpoint lets requests through"
    conditions[1].member.set(UNHEALTHY, on=True)
    assert since(EndpointChanged("ai", "http://b:1", "down", "")) == [True, True], "and is down now"
    conditions[1].member.set(UNHEALTHY, on=False)
    assert since(EndpointChanged("ai", "http://b:1", "up", "")) == [False, False]
    served = replace(served, breaker=Breaker(1))
    assert served.breaker is not None
    assert since(failed(served.breaker)) == [True, True], "that of the upstream rejects for all endpoints"
    served.breaker.reset()
    assert since(BreakerChanged("ai", "open", "closed", "reset")) == [False, False]


def test_what_a_replaced_upstream_has_not_counted_yet_is_counted() -> None:
    scene, ai = Scene(), upstream()
    scene.metrics.sample({"ai": ai})
    scene.metrics.replace({"ai": ai}, {"ai": ai}, scene.metrics.sharers)
    assert scene.counted(families.DIALS) == [1, 1, 0]
    scene.metrics.replace({"ai": ai}, {}, scene.metrics.sharers)
    assert scene.counted(families.DIALS) == [2, 2, 0]
