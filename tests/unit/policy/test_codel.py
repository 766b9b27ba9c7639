from __future__ import annotations

import pytest

from gateway.policy.codel import TABLE, Codel, Order, OrderSwitch, Seen

RULES = Codel(target=0.1, interval=0.5)


def switch_in(order: Order) -> OrderSwitch:
    """One that is in ``order`` since the moment 100.0."""
    switch = OrderSwitch(RULES)
    if order is not Order.FIFO:
        switch.observe(0.2, 100.0)
    if order is Order.LIFO:
        switch.observe(0.2, 100.5)
    assert switch.order is order
    return switch


@pytest.mark.parametrize("before", list(Order))
@pytest.mark.parametrize(("age", "now", "seen"), [(0.09, 100.6, 0), (0.1, 100.4, 1), (0.1, 100.5, 2), (9.0, 300.0, 2)])
def test_each_row_of_the_table(before: Order, age: float, now: float, seen: int) -> None:
    switch = switch_in(before)
    switch.observe(age, now)
    assert switch.order is TABLE[before][Seen(seen)]
    assert switch.newest_first is (switch.order is Order.LIFO)


def test_one_short_wait_in_the_interval_is_enough_to_stay_in_the_order_of_arrival() -> None:
    """A burst makes some wait long; the measure is the shortest wait."""
    switch = OrderSwitch(RULES)
    for at in range(100):
        switch.observe(0.01 if at % 4 == 3 else 3.0, 100.0 + at / 10)
        assert not switch.newest_first


def test_the_interval_begins_with_the_first_long_wait() -> None:
    switch = switch_in(Order.LIFO)
    switch.observe(0.0, 101.0)
    switch.observe(0.2, 200.0)
    switch.observe(0.2, 200.4)
    assert switch.order is Order.RISING
    switch.observe(0.2, 200.5)
    assert switch.newest_first


def test_too_old_is_who_waits_longer_than_the_interval_while_the_newest_goes_first() -> None:
    assert [switch_in(Order.LIFO).too_old(age) for age in (0.2, 0.5, 0.51)] == [False, False, True]
    assert not switch_in(Order.RISING).too_old(99.0)
    assert not switch_in(Order.FIFO).too_old(99.0)


def test_without_a_target_there_is_no_switch() -> None:
    switch = OrderSwitch(Codel())
    for at in range(100):
        switch.observe(60.0, 100.0 + at)
    assert switch.order is Order.FIFO


def test_new_rules_hold_at_once_and_the_order_stays_as_long_as_there_is_a_target() -> None:
    switch = switch_in(Order.LIFO)
    switch.configure(Codel(0.3, 2.0))
    assert switch.newest_first
    assert [switch.too_old(1.0), switch.too_old(2.1)] == [False, True]
    switch.configure(Codel())
    assert switch.order is Order.FIFO
