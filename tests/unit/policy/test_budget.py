from __future__ import annotations

import pytest

from gateway.policy.budget import ROUNDING, RetryBudget


def test_it_begins_full_and_a_retry_takes_one() -> None:
    budget = RetryBudget()
    assert budget.left(3) == 3.0
    assert [budget.try_withdraw(3) for _ in range(4)] == [True, True, True, False]
    assert budget.left(3) == 0.0


def test_first_attempts_fill_it_up_to_the_burst() -> None:
    budget = RetryBudget()
    budget.deposit(0.2)
    assert budget.left(2) == 2.0, "what is beyond the burst is lost"
    assert [budget.try_withdraw(2) for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.deposit(0.2)
        assert not budget.try_withdraw(2)
    budget.deposit(0.2)
    assert budget.try_withdraw(2), "five times a fifth is one, whatever sums of floats lack"
    assert not budget.try_withdraw(2)


def test_routes_of_one_upstream_may_have_bursts_of_their_own() -> None:
    budget = RetryBudget()
    assert [budget.try_withdraw(2) for _ in range(3)] == [True, True, False]
    assert (budget.left(5), budget.left(2), budget.left(1)) == (3.0, 0.0, 0.0)
    assert budget.try_withdraw(5)
    budget.deposit(1.0)
    assert (budget.try_withdraw(2), budget.try_withdraw(5)) == (False, True)


@pytest.mark.parametrize(
    ("sharers", "burst", "size"), [(1, 10, 10.0), (4, 10, 2.5), (10, 10, 1.0), (16, 10, 1.0), (4, 0, 0.0), (4, 1, 1.0)]
)
def test_sharers_have_equal_parts_of_the_burst_and_one_retry_at_least(sharers: int, burst: float, size: float) -> None:
    budget = RetryBudget(sharers)
    assert (budget.sharers, budget.size(burst), budget.left(burst)) == (sharers, size, size)
    taken = 0
    while budget.try_withdraw(burst):
        taken += 1
    assert taken == int(size)


@pytest.mark.parametrize(("lacking", "enough"), [(ROUNDING, True), (2 * ROUNDING, False)])
def test_a_token_may_lack_what_rounding_takes_and_no_more(lacking: float, enough: bool) -> None:
    budget = RetryBudget()
    assert budget.try_withdraw(1)
    budget.deposit(1.0 - lacking)
    assert budget.try_withdraw(1) is enough
