from __future__ import annotations

import pytest

from gateway.policy.health import Checked, Health

UNKNOWN, UP, DOWN = Health


def states(results: str, healthy_after: int = 2, unhealthy_after: int = 3) -> tuple[str, str]:
    """After each of ``results``, + or -: the first letter of the state, and * where it was a change."""
    checked, seen, told = Checked(), "", ""
    assert checked.state is UNKNOWN
    for at, result in enumerate(results, 1):
        changed = checked.note("" if result == "+" else "status 503", float(at), healthy_after, unhealthy_after)
        seen += checked.state.name[0]
        told += "*" if changed else "."
        assert (checked.at, checked.why) == (float(at), "" if result == "+" else "status 503")
    return seen, told


@pytest.mark.parametrize(
    ("results", "seen", "told"),
    [
        ("+", "U", "."),
        ("-", "D", "*"),
        ("---", "DDD", "*.."),
        ("-+", "DD", "*."),
        ("-++", "DDU", "*.*"),
        ("-+-++", "DDDDU", "*...*"),
        ("+--+--", "UUUUUU", "......"),
        ("+---", "UUUD", "...*"),
        ("+---++", "UUUDDU", "...*.*"),
    ],
)
def test_results_in_a_row_decide(results: str, seen: str, told: str) -> None:
    assert states(results) == (seen, told)


def test_one_result_is_enough_where_one_is_asked_for() -> None:
    assert states("+-+", 1, 1) == ("UDU", ".**")
