from __future__ import annotations

from typing import Any, cast

from gateway.config import records
from gateway.core.events import BreakerChanged, EndpointChanged, LimitDecided, PanicChanged, UpstreamClosed
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.policy.group import Condition
from gateway.policy.member import Member
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


def test_the_breaker_of_one_of_several_endpoints_opens_no_proxy() -> None:
    scene = Scene()
    scene.metrics.note(BreakerChanged("ai", "closed", "open", "failure_rate", endpoint="http://a:1"), {})
    bases = dict(scene.counters.live())
    assert scene.counters.floats[bases["one"] + families.OPENED_AT] == 0.0


def test_what_a_replaced_upstream_has_not_counted_yet_is_counted() -> None:
    scene, ai = Scene(), upstream()
    scene.metrics.sample({"ai": ai})
    scene.metrics.replace({"ai": ai}, {"ai": ai}, scene.metrics.sharers)
    assert scene.counted(families.DIALS) == [1, 1, 0]
    scene.metrics.replace({"ai": ai}, {}, scene.metrics.sharers)
    assert scene.counted(families.DIALS) == [2, 2, 0]
