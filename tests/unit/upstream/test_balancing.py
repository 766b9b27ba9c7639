from __future__ import annotations

from typing import Any, cast

import pytest
from unit.groups import FAILURE

from gateway.config.records import Balance, Capacity, Ejection, Endpoint, HealthCheck, Mode, Upstream
from gateway.core.events import EndpointChanged, Event, PanicChanged
from gateway.policy import balance as methods
from gateway.policy.capacity import ReportRules
from gateway.policy.ejection import EjectionRules
from gateway.policy.group import Condition, Rules
from gateway.policy.member import EJECTED, LEAVING, UNHEALTHY, Member
from gateway.upstream import endpoint as live
from gateway.upstream.balancing import group_of
from gateway.upstream.origin import Origin


def ignore(event: Event) -> None:
    """No one listens."""


URLS = ("http://a:1", "http://b:1", "http://c:1")


def endpoints(count: int) -> list[live.Endpoint]:
    return [
        live.Endpoint(Origin.of(url), cast(Any, None), None, Condition(Member(Origin.of(url).url)))
        for url in URLS[:count]
    ]


def settings(count: int, **more: Any) -> Upstream:
    return Upstream("ai", tuple(Endpoint(url) for url in URLS[:count]), **more)


@pytest.mark.parametrize("count", [0, 1])
def test_where_there_is_nothing_to_choose_there_is_no_group(count: int) -> None:
    assert group_of(settings(count), endpoints(count), ignore) is None


@pytest.mark.parametrize(
    "more",
    [{"health": HealthCheck(enabled=True)}, {"endpoints": (Endpoint(URLS[0], drain=True),)}],
    ids=["checked", "drained"],
)
def test_a_single_endpoint_that_may_be_out_has_one(more: dict[str, Any]) -> None:
    upstream = Upstream("ai", **({"endpoints": (Endpoint(URLS[0]),)} | more))
    assert group_of(upstream, endpoints(1), ignore) is not None


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("least_request", methods.LeastRequest),
        ("round_robin", methods.RoundRobin),
        ("random", methods.Random),
        ("ring_hash", methods.RingHash),
    ],
)
def test_the_method_that_the_settings_name(name: Balance, method: type) -> None:
    live = endpoints(3)
    group = group_of(settings(3, balance=name, hash_on="client"), live, ignore)
    assert group is not None
    assert type(group._balance) is method
    group.take_over(None, [(1, False)] * 3, checks=False)
    assert group.choose(b"key") in [each.member for each in live]


def test_the_bound_of_the_ring() -> None:
    live = endpoints(3)
    group = group_of(settings(3, balance="ring_hash", hash_on="client", hash_load=1.25), live, ignore)
    assert group is not None
    group.take_over(None, [(1, False)] * 3, checks=False)
    for _ in range(6):
        member = group.choose(b"key")
        assert member is not None
        group.begin(member)
    assert max(each.member.in_flight for each in live) <= 3


def test_the_rules() -> None:
    ejection = Ejection(True, 7, 0.25, 11.0, 12, 13.0, 14.0, 0.75, "shadow")
    health = HealthCheck(True, healthy_after=4, unhealthy_after=6)
    group = group_of(
        settings(2, ejection=ejection, health=health, panic=0.3, slow_start=9.0),
        endpoints(2),
        ignore,
    )
    assert group is not None
    assert group.rules == Rules(EjectionRules(7, 0.25, 11.0, 12, 13.0, 14.0), True, 0.75, 0.3, 9.0, 4, 6)


def test_rules_that_are_off() -> None:
    group = group_of(settings(2), endpoints(2), ignore)
    assert group is not None
    assert (group.rules.ejection, group.rules.shadow) == (None, False)


@pytest.mark.parametrize(("mode", "shadow"), [("enforce", False), ("shadow", True)])
def test_changes_are_events_with_the_mode_of_their_protection(mode: Mode, shadow: bool) -> None:
    told: list[Event] = []
    live = endpoints(3)
    group = group_of(
        settings(
            3,
            ejection=Ejection(True, 1, mode=mode),
            capacity=Capacity(True, mode=mode),
            health=HealthCheck(True, mode=mode),
            panic=1.0,
        ),
        live,
        told.append,
    )
    assert group is not None
    assert group.capacity is not None
    group.end(live[0].member, group.begin(live[0].member), FAILURE)
    group.capacity.note(live[1].member, b"drain")
    assert told == [
        EndpointChanged("ai", URLS[0], "ejected", "1 failures in a row", shadow),
        EndpointChanged("ai", URLS[1], "leaving", "", shadow),
    ]
    assert [each.member.out for each in live] == ([0] * 3 if shadow else [EJECTED, LEAVING, 0])
    group.check(live[2].member, "status 503")
    assert told[2:] == [EndpointChanged("ai", URLS[2], "down", "status 503", shadow)]
    assert live[2].member.out == (0 if shadow else UNHEALTHY)
    group.choose(b"")
    assert told[3:] == ([] if shadow else [PanicChanged("ai", panics=True)])


@pytest.mark.parametrize("balance", ["least_request", "round_robin"])
def test_reports_are_heeded_where_they_are_asked_for(balance: Balance) -> None:
    asked = group_of(
        settings(1, capacity=Capacity(True, max_age=4.0, mode="shadow"), balance=balance), endpoints(1), ignore
    )
    assert asked is not None, "also of a single endpoint"
    assert asked.rules.reporting == ReportRules(4.0, shadow=True, scales=balance == "least_request")
    not_asked = group_of(settings(2), endpoints(2), ignore)
    assert not_asked is not None
    assert not_asked.capacity is None
