"""From the heads of responses to the balancer and the limiter."""

from __future__ import annotations

import asyncio

import pytest
from harness.patience import eventually

from gateway.config import records
from gateway.core.message import ResponseHead
from gateway.policy.balance import RoundRobin
from gateway.policy.capacity import ReportRules
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.limiter import Limiter
from gateway.policy.member import LEAVING, Member
from gateway.upstream.reports import Reports


def head(*lines: bytes) -> ResponseHead:
    return ResponseHead(200, b"OK", 1, [*lines], {}, 0, True)


class Scene:
    def __init__(self, count: int = 2, *, mode: records.Mode = "enforce", max_age: float = 60.0, **settings: object):
        capacity = records.Capacity(True, max_age=max_age, mode=mode, **settings)  # type: ignore[arg-type]
        self.members = [Member(name) for name in "abc"[:count]]
        conditions = [Condition(member) for member in self.members]
        self.group = Group(conditions, RoundRobin(), Rules(reporting=ReportRules(max_age, mode == "shadow")))
        self.limiter = Limiter(100)
        self.reports = Reports(self.group, self.limiter, capacity)

    def say(self, text: bytes, at: int = 0) -> None:
        self.reports.take(self.members[at], head(b"X-Capacity: " + text))


@pytest.mark.parametrize("line", [b"X-Capacity: 1/8", b"x-capacity:1/8", b"X-CAPACITY:\t1/8 "])
async def test_the_field_is_found_whatever_its_case_and_removed(line: bytes) -> None:
    scene = Scene(1)
    assert scene.reports.take(scene.members[0], head(b"Server: x", line, b"X-Capacity-More: 2")) == [
        b"Server: x",
        b"X-Capacity-More: 2",
    ]
    assert scene.limiter.max == 8
    scene.reports.close()


async def test_callers_get_the_field_where_they_are_to() -> None:
    scene = Scene(1, forward=True, header="X-Load")
    assert scene.reports.take(scene.members[0], head(b"X-Load: 1/8")) is None
    assert scene.limiter.max == 8
    assert scene.reports.take(scene.members[0], head(b"X-Capacity: 1/2")) is None
    assert scene.limiter.max == 8
    scene.reports.close()


async def test_two_of_them_are_a_mistake() -> None:
    scene = Scene(1)
    assert scene.reports.take(scene.members[0], head(b"X-Capacity: 1/8", b"X-Capacity: 1/8")) == []
    assert scene.limiter.max == 100
    assert scene.group.conditions[0].reported.counts == [0, 0, 1]


async def test_the_limit_is_the_sum_once_all_have_said_theirs() -> None:
    scene = Scene()
    scene.say(b"0/8")
    assert scene.limiter.max == 100
    scene.say(b"0/4", 1)
    assert scene.limiter.max == 12
    scene.say(b"0/400", 1)
    assert scene.limiter.max == 100, "never above what is configured"
    scene.say(b"drain")
    assert scene.members[0].out == LEAVING
    scene.say(b"0/3", 1)
    assert scene.limiter.max == 3, "of those that get requests"
    scene.reports.close()


async def test_in_shadow_mode_nothing_is_lowered() -> None:
    scene = Scene(1, mode="shadow")
    scene.say(b"0/8")
    assert (scene.limiter.max, scene.group.places()) == (100, 8)
    scene.reports.close()


async def test_without_a_limiter_the_balancer_goes_by_them_all_the_same() -> None:
    scene = Scene()
    reports = Reports(scene.group, None, records.Capacity(True))
    reports.note(scene.members[0], b"drain")
    assert scene.group.choose(b"") is scene.members[1]
    reports.close()


async def test_what_is_too_old_ends_by_itself_one_after_the_other() -> None:
    scene = Scene(max_age=0.05)
    scene.say(b"0/8")
    scene.say(b"drain", 1)
    assert (scene.limiter.max, scene.members[1].out) == (8, LEAVING)
    await eventually(lambda: scene.limiter.max == 100, "the end of the bound")
    await eventually(lambda: not scene.members[1].out, "the end of the drain")
    assert scene.reports._timer is None, "nothing is left to wait for"


async def test_a_closed_one_does_not_look_again() -> None:
    scene = Scene(1, max_age=0.01)
    scene.say(b"0/8")
    timer = scene.reports._timer
    scene.reports.close()
    scene.reports.close()
    assert timer is not None
    assert timer.cancelled()
    await asyncio.sleep(0)
    assert scene.limiter.max == 8


async def test_an_exchange_of_the_configuration_before_reports_to_the_present_one() -> None:
    scene, after = Scene(1), Scene(1)
    group = Group(scene.group.conditions, RoundRobin(), Rules(reporting=ReportRules(60.0)))
    group.take_over(scene.group, [(1, False)], checks=True)
    scene.say(b"0/5")
    assert (group.places(), scene.limiter.max) == (5, 5)
    without = Group(scene.group.conditions, RoundRobin(), Rules())
    without.take_over(group, [(1, False)], checks=True)
    scene.say(b"0/2")
    assert scene.group.conditions[0].reported.counts == [1, 0, 0], "no one asks any more"
    scene.reports.close()
    after.reports.close()
