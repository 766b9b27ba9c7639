from __future__ import annotations

from typing import Any, cast

import pytest
from unit.groups import FAILURE

from gateway.config.records import Balance, Ejection, Endpoint, HealthCheck, Upstream
from gateway.policy import balance as methods
from gateway.policy.ejection import EjectionRules
from gateway.policy.group import Condition, Rules
from gateway.policy.member import EJECTED, Member
from gateway.upstream import endpoint as live
from gateway.upstream.balancing import group_of
from gateway.upstream.origin import Origin

URLS = ("http://a:1", "http://b:1", "http://c:1")


def endpoints(count: int) -> list[live.Endpoint]:
    return [
        live.Endpoint(Origin.of(url), cast(Any, None), None, Condition(Member(Origin.of(url).url)))
        for url in URLS[:count]
    ]


def settings(count: int, **more: Any) -> Upstream:
    return Upstream("ai", tuple(Endpoint(url) for url in URLS[:count]), **more)


def test_a_single_endpoint_has_no_group() -> None:
    assert group_of(settings(1), endpoints(1), lambda *_: None, lambda _: None) is None


@pytest.mark.parametrize(
    "more",
    [{"health": HealthCheck(enabled=True)}, {"endpoints": (Endpoint(URLS[0], drain=True),)}],
    ids=["checked", "drained"],
)
def test_a_single_endpoint_that_may_be_out_has_one(more: dict[str, Any]) -> None:
    upstream = Upstream("ai", **({"endpoints": (Endpoint(URLS[0]),)} | more))
    assert group_of(upstream, endpoints(1), lambda *_: None, lambda _: None) is not None


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
    group = group_of(settings(3, balance=name, hash_on="client"), live, lambda *_: None, lambda _: None)
    assert group is not None
    assert type(group._balance) is method
    group.take_over(None, [(1, False)] * 3, checks=False)
    assert group.choose(b"key") in [each.member for each in live]


def test_the_bound_of_the_ring() -> None:
    live = endpoints(3)
    group = group_of(
        settings(3, balance="ring_hash", hash_on="client", hash_load=1.25), live, lambda *_: None, lambda _: None
    )
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
        lambda *_: None,
        lambda _: None,
    )
    assert group is not None
    assert group.rules == Rules(EjectionRules(7, 0.25, 11.0, 12, 13.0, 14.0), True, 0.75, 0.3, 9.0, 4, 6)


def test_rules_that_are_off() -> None:
    group = group_of(settings(2), endpoints(2), lambda *_: None, lambda _: None)
    assert group is not None
    assert (group.rules.ejection, group.rules.shadow) == (None, False)


def test_changes_are_told() -> None:
    told: list[tuple[str, str]] = []
    live = endpoints(2)
    group = group_of(
        settings(2, ejection=Ejection(True, 1)),
        live,
        lambda member, cause, _: told.append((member.name, cause)),
        lambda _: None,
    )
    assert group is not None
    group.end(live[0].member, group.begin(live[0].member), FAILURE)
    assert (told, live[0].member.out) == ([(URLS[0], "ejected")], EJECTED)
