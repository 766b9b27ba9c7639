from __future__ import annotations

import math

from gateway.policy.member import DRAINED, EJECTED, UNHEALTHY, Member


def test_what_failed_early_counts_as_in_flight_until_it_is_due() -> None:
    member = Member("a")
    member.in_flight = 2
    member.owe(10.0)
    member.owe(11.0)
    assert [member.load(now) for now in (9.0, 9.9, 10.0, 11.0)] == [4, 4, 3, 2]


def test_debts_stay_in_order() -> None:
    """One that is due earlier than the last is paid with it."""
    member = Member("a")
    member.owe(12.0)
    member.owe(11.0)
    assert (member.load(11.5), member.load(12.0)) == (2, 0)


def test_debts_are_bounded_and_can_be_forgiven() -> None:
    member = Member("a")
    for _ in range(1000):
        member.owe(math.inf)
    assert member.load(1e9) == 256
    member.forgive()
    assert member.load(0.0) == 0


def test_flags_are_set_and_cleared_one_by_one() -> None:
    member = Member("a", 3)
    assert (member.weight, member.out) == (3, 0)
    member.set(DRAINED, on=True)
    member.set(EJECTED, on=True)
    member.set(EJECTED, on=True)
    assert member.out == DRAINED | EJECTED
    member.set(UNHEALTHY, on=False)
    member.set(DRAINED, on=False)
    assert member.out == EJECTED


def test_counts_are_taken_once() -> None:
    member = Member("a")
    member.attempts, member.failures, member.ignored, member.ejections = 7, 2, 3, 1
    assert member.take_counts() == (5, 2, 3, 1)
    member.attempts += 1
    assert member.take_counts() == (1, 0, 0, 0)
