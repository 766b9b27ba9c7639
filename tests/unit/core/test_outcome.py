from __future__ import annotations

import pytest

from gateway.core.outcome import Outcome, outcome_of_status


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 401, 404, 429, 499])
def test_below_500_the_upstream_is_well(status: int) -> None:
    assert outcome_of_status(status) is Outcome.SUCCESS


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_from_500_on_it_is_not(status: int) -> None:
    assert outcome_of_status(status) is Outcome.FAILURE
