"""What a breaker shows of itself; how an explanation uses it is in test_explain.py."""

from __future__ import annotations

from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Rules
from gateway.proxy.inspect.breakers import breaker_view, opened_by

EPOCH = 5000.0


def test_one_that_nothing_has_moved() -> None:
    breaker = Breaker(2, clock=Clock(100.0))
    assert opened_by(breaker) == ""
    shown = breaker_view(breaker, 100.0, EPOCH)
    assert (shown["state"], shown["next_probe"], shown["moves"], shown["outcomes"]) == ("closed", 0.0, [], [])
    assert (shown["window"], shown["callers"], shown["mode"]) == (None, None, "enforce")


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


def test_a_rule_of_slow_calls_names_its_bound() -> None:
    breaker = Breaker(9, clock=Clock(100.0), rules=Rules(0.0, 2.0, 0.5, 10.0, 1))
    breaker.release(breaker.try_acquire(), Outcome.SUCCESS, 3.0)
    assert opened_by(breaker).endswith(
        "1 of 1 attempts took more than 2 s to the first byte in the last 10 s, rule slow_rate 0.5"
    )
