from __future__ import annotations

import enum

import pytest

from gateway.wire.state_table import following, timers_in, transitions_in


class Door(enum.Enum):
    OPEN = enum.auto()
    SHUT = enum.auto()


class Hand(enum.Enum):
    PUSH = enum.auto()
    PULL = enum.auto()


TABLE = """
       OPEN SHUT
timer  swing -
PUSH   SHUT .
PULL   -    OPEN
"""


def test_a_table_is_read() -> None:
    rows = transitions_in(TABLE, Door, Hand)
    assert timers_in(TABLE, Door) == {Door.OPEN: "swing", Door.SHUT: "-"}
    assert following(rows[Hand.PUSH], Door.OPEN) is following(rows[Hand.PUSH], Door.SHUT) is Door.SHUT
    assert following(rows[Hand.PULL], Door.SHUT) is Door.OPEN


def test_what_cannot_happen_raises() -> None:
    with pytest.raises(AssertionError, match="cannot happen in the state OPEN"):
        following(transitions_in(TABLE, Door, Hand)[Hand.PULL], Door.OPEN)


def test_an_empty_cell_is_not_accepted() -> None:
    with pytest.raises(ValueError, match="zip"):
        transitions_in(TABLE.replace("SHUT .", "SHUT"), Door, Hand)


def test_nor_an_event_without_a_row() -> None:
    with pytest.raises(ValueError, match="an event is missing"):
        transitions_in(TABLE.replace("PULL   -    OPEN\n", ""), Door, Hand)


def test_nor_a_state_without_a_column() -> None:
    with pytest.raises(ValueError, match="a state is missing"):
        timers_in(TABLE.replace("OPEN SHUT", "OPEN"), Door)


def test_nor_a_word_that_is_no_state() -> None:
    with pytest.raises(KeyError):
        transitions_in(TABLE.replace("-    OPEN", "- AJAR"), Door, Hand)
