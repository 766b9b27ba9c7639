from __future__ import annotations

from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from unit.groups import EJECTION, FAILURE, IGNORED, SUCCESS
from unit.scene import Clock

from gateway.config import records
from gateway.control.metrics.exposition import Exposition
from gateway.observe.counters import CounterMap
from gateway.policy.balance import RoundRobin
from gateway.policy.capacity import ReportRules
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import DRAINED, Member
from gateway.proxy.inspect.endpoint_metrics import EndpointMetrics
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream

URLS = ("http://a:1/base", "http://b:1")


class NoPool:
    requests = 0


def upstream(*urls: str, conditions: dict[str, Condition] | None = None, rules: Rules | None = None) -> Upstream:
    known = {} if conditions is None else conditions
    origins = [Origin.of(url) for url in urls]
    endpoints = tuple(
        Endpoint(origin, cast(Any, NoPool()), None, known.setdefault(origin.url, Condition(Member(origin.url))))
        for origin in origins
    )
    found = [each.condition for each in endpoints]
    group = Group(found, RoundRobin(), rules or Rules(EJECTION), Clock(50.0)) if len(urls) > 1 else None
    return Upstream(records.Upstream("upstream ai", tuple(map(records.Endpoint, urls))), endpoints, None, group)


def _key(name: str, labels: dict[str, str]) -> tuple[str, ...]:
    words = [labels[key] for key in ("outcome", "kind") if key in labels]
    return (name.removeprefix("gateway_endpoint_"), labels["upstream"], labels["endpoint"], *words)


class Scene:
    def __init__(self) -> None:
        self.counters = CounterMap()
        self.metrics = EndpointMetrics(self.counters)

    def shown(self) -> dict[tuple[str, ...], float]:
        text = "".join(Exposition(self.counters).render(open_metrics=False))
        return {
            _key(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "endpoint" in sample.labels
        }


def test_what_happened_at_each_is_shown_and_counted_once() -> None:
    scene, ai = Scene(), upstream(*URLS)
    scene.metrics.retain([ai])
    group = ai.group
    assert group is not None
    a, b = (each.member for each in ai.endpoints)
    for outcome in (SUCCESS, SUCCESS, IGNORED, FAILURE, FAILURE, FAILURE):
        group.end(a, group.begin(a), outcome)
    group.end(a, group.begin(a), IGNORED, made=False)
    group.begin(b)
    for _ in range(2):  # the second time there is nothing to add
        scene.metrics.sample([ai])
        found = scene.shown()
        assert found["up", "ai", "http://a:1"] == 0
        assert found["up", "ai", "http://b:1"] == 1
        assert found["in_flight", "ai", "http://b:1"] == 1
        assert found["ejections_total", "ai", "http://a:1"] == 1
        assert found["requests_total", "ai", "http://a:1", "success"] == 2
        assert found["requests_total", "ai", "http://a:1", "failure"] == 3
        assert found["requests_total", "ai", "http://a:1", "ignored"] == 1
        assert found["requests_total", "ai", "http://b:1", "success"] == 0
    b.set(DRAINED, on=True)
    scene.metrics.sample([ai])
    assert scene.shown()["up", "ai", "http://b:1"] == 0


def test_series_end_with_their_endpoint_and_the_others_go_on() -> None:
    scene, conditions = Scene(), dict[str, Condition]()
    before = upstream(*URLS, conditions=conditions)
    scene.metrics.retain([before])
    group, kept = before.group, before.endpoints[0].member
    assert group is not None
    group.end(kept, group.begin(kept), SUCCESS)
    scene.metrics.sample([before])
    after = upstream(URLS[0], "http://c:1", conditions=conditions)
    scene.metrics.retain([after])
    scene.metrics.sample([after])
    found = scene.shown()
    assert {labels[2] for labels in found if labels[0] == "up"} == {"http://a:1", "http://c:1"}
    assert found["requests_total", "ai", "http://a:1", "success"] == 1
    scene.metrics.retain([upstream(URLS[0], conditions=conditions)])
    assert not scene.shown(), "a single endpoint has the figures of its proxy"


def test_an_endpoint_without_room_has_no_metrics() -> None:
    scene, ai = Scene(), upstream("http://" + "h" * 3000 + ":1", URLS[1])
    scene.metrics.retain([ai])
    scene.metrics.sample([ai])
    assert {labels[2] for labels in scene.shown() if labels[0] == "up"} == {"http://b:1"}


def test_what_an_endpoint_reports_is_shown() -> None:
    scene, ai = Scene(), upstream(*URLS, rules=Rules(reporting=ReportRules(10.0)))
    scene.metrics.retain([ai])
    assert ai.group is not None
    assert ai.group.capacity is not None
    for text in (b"3/8", b"3/9", b"0/0"):
        ai.group.capacity.note(ai.endpoints[0].member, text)
    for _ in range(2):
        scene.metrics.sample([ai])
        found = scene.shown()
        assert (found["capacity", "ai", "http://a:1"], found["capacity", "ai", "http://b:1"]) == (9, 0)
        assert found["reports_total", "ai", "http://a:1", "capacity"] == 2
        assert found["reports_total", "ai", "http://a:1", "ignored"] == 1


def test_a_series_that_begins_again_begins_at_nothing() -> None:
    """An upstream was only a fallback, then a proxy named it first, and it is only a fallback again."""
    scene, spare = Scene(), upstream("http://a:1")
    endpoint, key = spare.endpoints[0], ("requests_total", "ai", "http://a:1", "failure")
    for alone, shown in (([spare], 2.0), ([], None), ([spare], 2.0)):
        scene.metrics.retain([spare], alone)
        for _ in range(2):
            endpoint.member.note(FAILURE)
        scene.metrics.sample([spare], alone)
        assert scene.shown().get(key) == shown
