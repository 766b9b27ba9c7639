from __future__ import annotations

from typing import Any, cast

from unit.groups import FAILURE
from unit.scene import Clock

from gateway.config import records
from gateway.config.records import Ejection, HealthCheck
from gateway.observe import families
from gateway.policy.balance import RoundRobin
from gateway.policy.breaker import Breaker
from gateway.policy.capacity import ReportRules
from gateway.policy.ejection import EjectionRules
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import Member
from gateway.proxy.inspect.endpoints import group_view, pool_view
from gateway.proxy.inspect.status import gauges
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream

EPOCH = 1_700_000_000.0
URLS = ("http://a:1/base", "http://b:1")


class NoPool:
    open, idle, dials, reuses, sessions, streams, requests = 3, 1, 5, 9, 2, 7, 0


def upstream(*, grouped: bool = True, breaker: Breaker | None = None, **settings: Any) -> Upstream:
    record = records.Upstream("ai", tuple(records.Endpoint(url) for url in URLS), **settings)
    endpoints = tuple(
        Endpoint(Origin.of(url), cast(Any, NoPool()), breaker, Condition(Member(Origin.of(url).url))) for url in URLS
    )
    capacity = record.capacity
    rules = Rules(
        EjectionRules(1, base_time=10.0) if record.ejection.enabled else None,
        reporting=ReportRules(capacity.max_age, capacity.mode == "shadow") if capacity.enabled else None,
    )
    group = Group([each.condition for each in endpoints], RoundRobin(), rules, Clock(50.0)) if grouped else None
    return Upstream(record, endpoints, None, group)


def test_a_single_endpoint_that_gets_everything_has_nothing_to_tell() -> None:
    assert group_view(upstream(grouped=False), EPOCH) is None


def test_endpoints_to_which_nothing_has_happened() -> None:
    told = group_view(upstream(), EPOCH)
    assert told is not None
    assert (told["balance"], told["panic"], told["ejection_mode"]) == ("least_request", False, "off")
    assert told["endpoints"][0] == {
        "url": "http://a:1/base", "address": "", "standing": "usable", "weight": 1, "in_flight": 0, "attempts": 0,
        "failures": 0,
        "breaker": "off", "health": "", "checked_at": 0.0, "check_failure": "", "ejections": 0, "ejected_until": 0.0,
        "ejected_because": "", "probation": False, "reported": None,
    }  # fmt: skip


def test_what_has_happened_to_an_endpoint() -> None:
    shown = upstream(
        breaker=Breaker(), health=HealthCheck(True), ejection=Ejection(True, mode="enforce"), balance="round_robin"
    )
    group, (a, b) = shown.group, shown.endpoints
    assert group is not None
    group.check(b.member, "status 503")
    group.end(a.member, group.begin(a.member), FAILURE)
    group.begin(b.member)
    told = group_view(shown, EPOCH)
    assert told is not None
    assert (told["balance"], told["panic"], told["ejection_mode"]) == ("round_robin", True, "enforce")
    ejected, down = told["endpoints"]
    assert ejected["standing"] == "ejected"
    assert (ejected["attempts"], ejected["failures"], ejected["ejections"]) == (1, 1, 1)
    assert (ejected["ejected_until"], ejected["ejected_because"]) == (EPOCH + 60.0, "1 failures in a row")
    assert (ejected["breaker"], ejected["health"], ejected["checked_at"]) == ("closed", "unknown", 0.0)
    assert (down["standing"], down["in_flight"], down["health"]) == ("down", 1, "down")
    assert (down["checked_at"], down["check_failure"]) == (EPOCH + 50.0, "status 503")


def test_one_on_probation_is_usable() -> None:
    shown = upstream(ejection=Ejection(True))
    group, a = shown.group, shown.endpoints[0]
    assert group is not None
    group.end(a.member, group.begin(a.member), FAILURE)
    cast(Clock, group.clock).now += 10.0
    told = group_view(shown, EPOCH)
    assert told is not None
    first = told["endpoints"][0]
    assert (first["standing"], first["probation"], first["ejected_until"]) == ("usable", True, 0.0)


def test_an_ejection_that_is_over_is_counted_by_no_gauge() -> None:
    """Though no request has come since."""
    shown = upstream(ejection=Ejection(True))
    group, a = shown.group, shown.endpoints[0]
    assert group is not None
    group.end(a.member, group.begin(a.member), FAILURE)
    usable = families.ENDPOINTS + families.ENDPOINT_STATES.index("usable")
    assert dict(gauges(shown, 0))[usable] == 1
    cast(Clock, group.clock).now += 10.0
    assert dict(gauges(shown, 0))[usable] == 2


def test_the_connections_to_all_endpoints() -> None:
    assert pool_view(upstream()) == {
        "endpoint": "http://a:1, http://b:1", "open": 6, "idle": 2, "in_use": 4, "sessions": 4, "streams": 14,
        "dials": 10, "reuses": 18, "idle_timeout": records.Timeouts().idle,
    }  # fmt: skip


def test_requests_that_the_balancer_did_not_see_begin_are_in_flight() -> None:
    made = upstream()
    cast(Any, made.endpoints[0].pool).requests = 4
    made.endpoints[1].member.in_flight = 2
    shown = group_view(made, EPOCH)
    assert shown is not None
    assert [each["in_flight"] for each in shown["endpoints"]] == [4, 2]


def test_what_endpoints_report_and_for_how_long() -> None:
    shown = upstream(capacity=records.Capacity(True, max_age=10.0, mode="shadow"))
    group, (a, b) = shown.group, shown.endpoints
    assert group is not None
    assert group.capacity is not None
    group.capacity.note(a.member, b"3/8")
    group.capacity.note(b.member, b"0/2")
    told = group_view(shown, EPOCH)
    assert told is not None
    assert (told.get("reports"), told.get("places")) == ("shadow", 10)
    assert told["endpoints"][0].get("reported") == {"at": EPOCH + 50.0, "in_use": 3, "total": 8}
    group.capacity.note(b.member, b"drain")
    told = group_view(shown, EPOCH)
    assert told is not None
    assert told["endpoints"][1].get("reported") == {"at": EPOCH + 50.0, "in_use": 0, "total": 0}
    cast(Clock, group.clock).now += 10.0
    told = group_view(shown, EPOCH)
    assert told is not None
    assert told.get("places") == 0
    assert [each.get("reported") for each in told["endpoints"]] == [None, None]
