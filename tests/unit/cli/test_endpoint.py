"""How `gateway endpoint list` shows what the API says."""

from __future__ import annotations

import pytest

from gateway.cli.endpoint import _table


@pytest.mark.parametrize(
    ("standing", "shown"), [("usable", "usable"), ("down", "down"), ("leaving", "draining by its own report")]
)
def test_the_list_has_the_words_of_explain(standing: str, shown: str) -> None:
    live = {"standing": standing, "in_flight": 3}
    item = {"url": "http://h:1", "weight": 1, "drained_by": [], "stale": False, "live": live}
    assert shown in _table([item])
    assert shown not in _table([item | {"stale": True}])


def test_an_endpoint_without_a_gateway_has_no_standing() -> None:
    item = {"url": "http://h:1", "weight": 1, "drained_by": [], "stale": False, "live": None}
    assert _table([item]).splitlines()[1].split()[-2:] == ["-", "-"]
