from __future__ import annotations

import pytest

from gateway.observe.counters import FIRST
from gateway.observe.sheet import EXEMPLAR_CELLS, METHODS, OTHER, Sheet


def test_each_family_begins_where_the_one_before_ends() -> None:
    sheet = Sheet()
    assert sheet.values("a_total", "counter", "A.", ["x", "y"]) == FIRST
    assert sheet.hidden(1) == FIRST + 2
    made = sheet.histogram("b_seconds", "B.", (1.0, 2.0), exemplars=True)
    assert (made.at, made.sum_at, made.exemplars) == (FIRST + 3, FIRST + 6, FIRST + 7)
    assert sheet.requests("c_total", "C.", 4).at == FIRST + 7 + 3 * EXEMPLAR_CELLS
    assert [family.name for family in sheet.families] == ["a_total", "b_seconds", "c_total"]


def test_what_a_slab_has_no_room_for_is_an_error() -> None:
    sheet = Sheet(FIRST + 2)
    sheet.hidden(2)
    with pytest.raises(AssertionError, match="full"):
        sheet.hidden(1)


def test_a_key_of_a_request_has_room_for_every_method() -> None:
    assert len(METHODS) < 16
    assert METHODS.index("OTHER") == OTHER
