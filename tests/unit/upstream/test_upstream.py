from __future__ import annotations

from typing import Any, cast

import pytest
from unit.machines import RECOVERY
from unit.scene import Clock

from gateway.config import records
from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.group import Condition
from gateway.policy.member import Member
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
    assert upstream.breaker is (None if best is None else breakers[best])
