"""Settings name statuses one by one, and as ranges."""

from __future__ import annotations

from gateway.core.statuses import statuses


def test_single_ones_and_ranges() -> None:
    assert statuses(["503", "429", "400-402"]) == {503, 429, 400, 401, 402}
    assert statuses([]) == set()


def test_what_is_no_status_counts_as_the_last_one() -> None:
    assert {599, 600, 999} <= statuses(["500-599"])
    assert statuses(["598"]) == {598}
