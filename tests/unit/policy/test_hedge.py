from __future__ import annotations

from itertools import product

import pytest

from gateway.policy.hedge import (
    ALONE,
    BAD,
    BEGUN,
    BOTH,
    DISCARD,
    EVENTS,
    FAILED,
    GOOD,
    LAST,
    NOTHING,
    OVER,
    SECOND,
    START,
    STATES,
    TABLE,
    TAKE,
)


def walk(*events: str) -> tuple[str, list[str]]:
    """The state after ``events``, and what was done for each."""
    state, done = ALONE, []
    for event in events:
        state, does = TABLE[state, event]
        done.append(does)
    return state, done


def test_no_cell_is_empty() -> None:
    assert set(TABLE) == set(product(STATES, EVENTS))
    assert {ALONE, *(move.state for move in TABLE.values())} == set(STATES)


@pytest.mark.parametrize(
    ("events", "state", "done"),
    [
        ([GOOD], BEGUN, [TAKE]),
        ([BAD], BEGUN, [TAKE]),
        ([FAILED], OVER, [NOTHING]),
        ([SECOND, GOOD, FAILED], BEGUN, [START, TAKE, NOTHING]),
        ([SECOND, BAD, GOOD], BEGUN, [START, DISCARD, TAKE]),
        ([SECOND, BAD, BAD], BEGUN, [START, DISCARD, TAKE]),
        ([SECOND, BAD, FAILED], OVER, [START, DISCARD, NOTHING]),
        ([SECOND, FAILED, GOOD], BEGUN, [START, NOTHING, TAKE]),
        ([SECOND, FAILED, BAD], BEGUN, [START, NOTHING, TAKE]),
        ([SECOND, FAILED, FAILED], OVER, [START, NOTHING, NOTHING]),
        ([SECOND, GOOD, GOOD], BEGUN, [START, TAKE, DISCARD]),
        ([GOOD, SECOND], BEGUN, [TAKE, NOTHING]),
        ([SECOND, SECOND], BOTH, [START, NOTHING]),
        ([SECOND, FAILED, SECOND], LAST, [START, NOTHING, NOTHING]),
        ([FAILED, SECOND], OVER, [NOTHING, NOTHING]),
    ],
)
def test_what_happens(events: list[str], state: str, done: list[str]) -> None:
    assert walk(*events) == (state, done)


def test_whatever_happens_one_response_is_taken_and_one_second_attempt_made() -> None:
    for events in product(EVENTS, repeat=6):
        _, done = walk(*events)
        assert done.count(TAKE) <= 1
        assert done.count(START) <= 1


def test_nothing_is_taken_behind_the_end() -> None:
    for state, event in product((BEGUN, OVER), EVENTS):
        move = TABLE[state, event]
        assert move.state == state
        assert move.does in (NOTHING, DISCARD)
