from __future__ import annotations

from typing import Any, cast

import pytest
from unit.machines import RECOVERY
from unit.scene import Clock

from gateway.config import records
from gateway.core.outcome import Outcome
from gateway.policy.balance import RoundRobin
from gateway.policy.breaker import Breaker
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import DRAINED, Member
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream


def breaker(state: str) -> Breaker | None:
    if state == "off":
        return None
    clock = Clock()
    made = Breaker(1, RECOVERY, clock=clock)
    if state != "closed":
        made.release(made.try_acquire(), Outcome.FAILURE)
    if state == "half_open":
        clock.now += RECOVERY
        made.try_acquire()
    assert made.state.api_word == state
    return made


@pytest.mark.parametrize(
    ("states", "best"),
    [
        ([], None),
        (["off", "off"], None),
        (["open"], 0),
        (["open", "half_open", "open"], 1),
        (["half_open", "open", "closed"], 2),
        (["off", "open"], 1),
        (["closed", "closed"], 0),
    ],
)
def test_its_breaker_is_the_one_that_lets_most_through(states: list[str], best: int | None) -> None:
    origin = Origin.of("http://a")
    breakers = [breaker(state) for state in states]
    endpoints = tuple(Endpoint(origin, cast(Any, None), each, Condition(Member("a"))) for each in breakers)
    upstream = Upstream(records.Upstream("ai", ()), endpoints, None, None)
    assert upstream.gate is (None if best is None else breakers[best])
    assert upstream.breakers == [each for each in breakers if each is not None]


@pytest.mark.parametrize(
    ("states", "away", "decides"),
    [
        (["closed", "open"], [0], 1),
        (["closed", "open"], [1], 0),
        (["open", "half_open", "closed"], [2], 1),
        (["open", "closed"], [0, 1], 1),
        (["off", "open"], [1], None),
    ],
)
def test_the_breakers_of_endpoints_that_are_away_decide_nothing(
    states: list[str], away: list[int], decides: int | None
) -> None:
    """Where all are away, that of the best is shown."""
    origin = Origin.of("http://a")
    breakers = [breaker(state) for state in states]
    conditions = [Condition(Member(str(at))) for at in range(len(states))]
    pairs = zip(breakers, conditions, strict=True)
    endpoints = tuple(Endpoint(origin, cast(Any, None), each, condition) for each, condition in pairs)
    for at in away:
        conditions[at].member.set(DRAINED, on=True)
    group = Group(conditions, RoundRobin(), Rules())
    upstream = Upstream(records.Upstream("ai", ()), endpoints, None, group)
    assert upstream.gate is (None if decides is None else breakers[decides])


@pytest.mark.parametrize(
    ("own", "states", "decides"),
    [
        ("closed", [], "own"),
        ("open", ["off", "off"], "own"),
        ("closed", ["closed", "open"], "own"),
        ("closed", ["open", "half_open"], 1),
        ("half_open", ["open", "open"], "own"),
        ("open", ["closed", "closed"], "own"),
    ],
)
def test_its_own_breaker_decides_unless_it_alone_is_closed(own: str, states: list[str], decides: str | int) -> None:
    origin = Origin.of("http://a")
    breakers = [breaker(state) for state in states]
    endpoints = tuple(Endpoint(origin, cast(Any, None), each, Condition(Member("a"))) for each in breakers)
    upstream = Upstream(records.Upstream("ai", ()), endpoints, None, None, breaker=breaker(own))
    assert upstream.gate is (upstream.breaker if isinstance(decides, str) else breakers[decides])
    assert upstream.breakers == [upstream.breaker, *[each for each in breakers if each is not None]]
