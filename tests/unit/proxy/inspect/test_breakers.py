"""What a breaker shows of itself; how an explanation uses it is in test_explain.py."""

from __future__ import annotations

from typing import Any, cast

import pytest
from unit.scene import Clock

from gateway.config import records
from gateway.core.outcome import Outcome
from gateway.policy.balance import RoundRobin
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.policy.group import Condition, Group
from gateway.policy.group import Rules as GroupRules
from gateway.policy.member import DRAINED, Member
from gateway.proxy.inspect.breakers import Verdict, breaker_view, opened_by, verdict_at_the_endpoints
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream

EPOCH = 5000.0


def test_one_that_nothing_has_moved() -> None:
    breaker = Breaker(2, clock=Clock(100.0))
    assert opened_by(breaker) == ""
    shown = breaker_view(breaker, 100.0, EPOCH)
    assert (shown["state"], shown["next_probe"], shown["moves"], shown["outcomes"]) == ("closed", 0.0, [], [])
    assert (shown["window"], shown["callers"], shown["mode"]) == (None, None, "enforce")
    assert shown.get("scope") == "endpoint"
    assert breaker_view(breaker, 100.0, EPOCH, whole=True).get("scope") == "upstream"


def test_an_outcome_has_its_request_its_action_and_its_time() -> None:
    clock = Clock(100.0)
    breaker = Breaker(1, clock=clock)
    breaker.release(breaker.try_acquire(), Outcome.FAILURE, reason="upstream_reset", request_id=b"r1 action/pay")
    (move,) = breaker_view(breaker, clock.now, EPOCH)["moves"]
    (outcome,) = move["outcomes"]
    assert (outcome["request_id"], outcome.get("action"), outcome["at"]) == ("r1", "action/pay", EPOCH + 100.0)
    assert opened_by(breaker) == ": 1 failures in a row, rule failure_threshold 1"
    clock.now += breaker.recovery_timeout
    breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    assert opened_by(breaker) == "", "a probe that fails is no rule"


class Several:
    """An upstream with two endpoints, each with a breaker, and one of its own, on one clock."""

    def __init__(self, *, endpoints: bool = True, count: int = 2) -> None:
        self.clock = Clock(100.0)
        self.own = Breaker(1, 10.0, clock=self.clock)
        self.inner = [Breaker(1, 20.0, clock=self.clock) for _ in range(count)]
        self.conditions = [Condition(Member(f"http://h:{at}")) for at in range(count)]
        made = tuple(
            Endpoint(Origin.of(condition.member.name), cast(Any, None), breaker if endpoints else None, condition)
            for condition, breaker in zip(self.conditions, self.inner, strict=True)
        )
        group = Group(self.conditions, RoundRobin(), GroupRules()) if count > 1 else None
        self.upstream = Upstream(records.Upstream("ai", ()), made, None, group, breaker=self.own)
        self.notes: list[str] = []

    def verdict(self) -> Verdict | None:
        self.notes = []
        return verdict_at_the_endpoints(self.upstream, self.notes)


def fail(*breakers: Breaker) -> None:
    for breaker in breakers:
        breaker.release(breaker.try_acquire(), Outcome.FAILURE)


WHOLE = "; it is the breaker of the upstream, which judges its 2 endpoints together"
WHY = ": 1 failures in a row, rule failure_threshold 1"


@pytest.mark.parametrize("endpoints", [True, False])
def test_the_sentence_says_that_the_breaker_of_the_upstream_rejects(endpoints: bool) -> None:
    scene = Several(endpoints=endpoints)
    assert scene.verdict() is None
    fail(scene.own)
    refused = "a request would be refused (503 breaker_open)"
    assert scene.verdict() == ("refuse", "breaker_open", f"{refused} for 10.0 s more{WHY}{WHOLE}")
    scene.clock.now += 10.0
    probe = "a request would be forwarded as a probe"
    assert scene.verdict() == ("probe", "", f"{probe}: the recovery time is over")
    permit = scene.own.try_acquire()
    assert scene.verdict() == ("refuse", "breaker_open", f"{refused} while 1 of 1 probes are inside{WHOLE}")
    scene.own.release(permit, Outcome.SUCCESS)
    assert scene.verdict() is None


def test_one_that_probes_says_nothing_where_those_of_the_endpoints_reject() -> None:
    scene = Several()
    fail(scene.own, *scene.inner)
    scene.clock.now += 10.0
    refused = "a request would be refused (503 breaker_open) for 10.0 s more"
    theirs = "; the breakers of all 2 endpoints keep requests away"
    assert scene.verdict() == ("refuse", "breaker_open", f"{refused}{WHY}{theirs}")
    for condition in scene.conditions:
        condition.member.set(DRAINED, on=True)
    found = scene.verdict()
    assert found is not None
    assert found[:2] == ("refuse", "no_healthy_endpoint")


def test_with_a_single_endpoint_no_one_else_is_named() -> None:
    scene = Several(endpoints=False, count=1)
    fail(scene.own)
    found = scene.verdict()
    assert found is not None
    assert found[2].endswith(WHY)


def test_both_in_shadow_mode_are_notes() -> None:
    scene = Several()
    fail(scene.own, *scene.inner)
    for breaker in scene.upstream.breakers:
        breaker.shadow = True
    assert scene.verdict() is None
    assert [note.rpartition("; ")[2] for note in scene.notes] == [
        WHOLE.removeprefix("; "),
        "the breakers of all 2 endpoints keep requests away",
    ]


def test_a_rule_of_slow_calls_names_its_bound() -> None:
    breaker = Breaker(9, clock=Clock(100.0), rules=Rules(0.0, 2.0, 0.5, 10.0, 1))
    breaker.release(breaker.try_acquire(), Outcome.SUCCESS, 3.0)
    assert opened_by(breaker).endswith(
        "1 of 1 attempts took more than 2 s to the first byte in the last 10 s, rule slow_rate 0.5"
    )
