from __future__ import annotations

import pytest

from gateway.core.outcome import Outcome
from gateway.policy.ejection import TRANSITIONS, Ejection, EjectionRules, Event, Standing

SUCCESS, FAILURE, IGNORED = Outcome
ACTIVE, EJECTED, PROBATION = Standing
RULES = EjectionRules(consecutive_failures=3, base_time=10.0, max_time=30.0)
RATE = EjectionRules(0, 0.5, window=10.0, minimum_requests=4)


def noted(ejection: Ejection, outcomes: list[Outcome], rules: EjectionRules = RULES, now: float = 0.0) -> list[str]:
    return [ejection.note(outcome, now, rules) for outcome in outcomes]


def on_probation(at: float = 0.0) -> Ejection:
    ejection = Ejection()
    ejection.eject(at, RULES, "it failed")
    assert ejection.expire(at + 10.0)
    return ejection


def test_each_state_has_its_row() -> None:
    assert TRANSITIONS.keys() == set(Standing)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_failures_in_a_row_eject() -> None:
    ejection = Ejection()
    assert noted(ejection, [FAILURE, FAILURE, SUCCESS, FAILURE, IGNORED, FAILURE]) == [""] * 6
    assert noted(ejection, [FAILURE]) == ["3 failures in a row"]


def test_it_says_so_again_as_long_as_it_is_not_ejected() -> None:
    ejection = Ejection()
    assert noted(ejection, [FAILURE] * 4)[2:] == ["3 failures in a row", "4 failures in a row"]
    assert ejection.state is ACTIVE


def test_a_rule_that_is_off_ejects_nobody() -> None:
    assert noted(Ejection(), [FAILURE] * 100, EjectionRules(0, 0.0)) == [""] * 100


def test_a_share_of_failures_ejects() -> None:
    ejection = Ejection()
    assert noted(ejection, [FAILURE, SUCCESS, FAILURE], RATE) == ["", "", ""], "too few to say anything"
    assert noted(ejection, [SUCCESS], RATE) == ["2 of 4 attempts failed in 10 s"]
    assert noted(ejection, [SUCCESS], RATE) == [""]


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    ejection = Ejection()
    assert noted(ejection, [FAILURE, FAILURE], RATE, 0.0) == ["", ""]
    assert noted(ejection, [FAILURE], RATE, 9.9) == [""]
    assert noted(ejection, [FAILURE, SUCCESS], RATE, 10.0) == ["", ""], "the first two have gone: three are left"
    assert noted(ejection, [SUCCESS], RATE, 10.5) == ["2 of 4 attempts failed in 10 s"]


def test_both_rules_at_once() -> None:
    rules = EjectionRules(6, 0.5, window=10.0, minimum_requests=4)
    words = noted(Ejection(), [FAILURE] * 6, rules)
    assert words == [
        "", "", "", "4 of 4 attempts failed in 10 s", "5 of 5 attempts failed in 10 s", "6 failures in a row",
    ]  # fmt: skip


def test_the_life_of_an_ejection() -> None:
    ejection = Ejection()
    assert not ejection.expire(99.0), "it is not ejected"
    ejection.eject(100.0, RULES, "3 failures in a row")
    assert (ejection.state, ejection.since, ejection.until) == (EJECTED, 100.0, 110.0)
    assert (ejection.steps, ejection.why, ejection.failures) == (1, "3 failures in a row", 0)
    assert noted(ejection, [FAILURE] * 5 + [SUCCESS], now=101.0) == [""] * 6, "these began before"
    assert not ejection.expire(109.9)
    assert ejection.expire(110.0)
    assert (ejection.state, ejection.since, ejection.until) == (PROBATION, 110.0, 0.0)
    assert not ejection.expire(110.0)


def test_a_success_ends_probation() -> None:
    ejection = on_probation()
    assert noted(ejection, [IGNORED, SUCCESS], now=12.0) == ["", ""]
    assert (ejection.state, ejection.since, ejection.failures) == (ACTIVE, 12.0, 0)


def test_one_failure_on_probation_ejects_for_longer() -> None:
    ejection = on_probation()
    (why,) = noted(ejection, [FAILURE], now=12.0)
    assert why == "it failed again on probation"
    ejection.eject(12.0, RULES, why)
    assert (ejection.state, ejection.until, ejection.steps) == (EJECTED, 32.0, 2)


def test_the_time_has_a_bound_and_so_has_the_way_back() -> None:
    ejection = Ejection()
    now = 0.0
    times = []
    for _ in range(20):
        ejection.eject(now, RULES, "")
        times.append(ejection.until - now)
        now = ejection.until
        ejection.expire(now)
    assert times == [10.0, 20.0, *[30.0] * 18]
    ejection.note(SUCCESS, now, RULES)
    ejection.eject(now + 35.0, RULES, "")
    assert ejection.until - now - 35.0 == 10.0, "three base times were three steps back"


@pytest.mark.parametrize(("calm", "steps"), [(9.9, 3), (10.0, 2), (19.9, 2), (20.0, 1), (1000.0, 1)])
def test_each_base_time_without_an_ejection_is_one_step_back(calm: float, steps: int) -> None:
    rules = EjectionRules(3, base_time=10.0, max_time=1000.0)
    ejection = on_probation(100.0)
    ejection.eject(110.0, rules, "")
    ejection.expire(130.0)
    ejection.note(SUCCESS, 130.0, rules)
    ejection.eject(130.0 + calm, rules, "")
    assert ejection.steps == steps


def test_what_was_counted_ends_with_the_state() -> None:
    ejection = Ejection()
    noted(ejection, [FAILURE] * 3, RATE)
    ejection.eject(0.0, RATE, "")
    ejection.expire(30.0)
    noted(ejection, [SUCCESS], RATE, 30.0)
    assert noted(ejection, [FAILURE] * 3, RATE, 30.0) == ["", "", ""]
