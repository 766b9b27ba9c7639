from __future__ import annotations

import pytest

from gateway.wire.h2.budget import Budget
from gateway.wire.h2.codes import ENHANCE_YOUR_CALM, H2Error


def test_a_burst_and_then_a_rate() -> None:
    now = [100.0]
    budget = Budget("too many frames", 10, 2, lambda: now[0])
    for _ in range(10):
        budget.spend(1)
    now[0] += 1.5
    for _ in range(3):
        budget.spend(1)
    with pytest.raises(H2Error, match="too many frames") as caught:
        budget.spend(1)
    assert caught.value.code == ENHANCE_YOUR_CALM


def test_it_never_holds_more_than_the_burst() -> None:
    now = [0.0]
    budget = Budget("frames", 5, 100, lambda: now[0])
    budget.spend(5)
    now[0] += 3600
    budget.spend(5)
    with pytest.raises(H2Error):
        budget.spend(1)


def test_it_begins_again() -> None:
    budget = Budget("too many frames", 2, 0.5, lambda: 0.0)
    for _ in range(3):
        budget.spend(2)
        budget.refill()
    budget.spend(2)
    with pytest.raises(H2Error):
        budget.spend(1)
