"""Processes that share a limiter are killed with SIGKILL: never too many inside, and nothing lost."""

from __future__ import annotations

import pytest
from kills import kills


@pytest.mark.parametrize(("processes", "limit", "every"), [(4, 5, 0.15), (3, 1, 0.1)])
def test_no_permit_is_lost_or_doubled(processes: int, limit: int, every: float) -> None:
    result = kills(6_000 // processes, processes, limit, every, seed=processes)
    assert result.faults() == []
    assert result.most == limit
    assert result.deaths >= 1
    assert result.refused >= 0
