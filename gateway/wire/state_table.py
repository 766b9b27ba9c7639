"""The notation in which each protocol writes its states: a table of what each event means in each state.

    timer    the bound of the one timer that runs in a state
    EVENT    the state that follows; ``.`` where the event changes neither the state nor its timer; ``-`` where it
             cannot happen: `following` then raises

A table with an empty cell is not accepted, because a cell that no one has thought of is how an exchange comes to wait
without end.
"""

from __future__ import annotations

import enum
from typing import TypeVar

State = TypeVar("State", bound=enum.Enum)
Event = TypeVar("Event", bound=enum.Enum)


def timers_in(text: str, states: type[State]) -> dict[State, str]:
    """The name of the timer of each state. ValueError when one has no cell."""
    columns, cells = (line.split() for line in text.strip().splitlines()[:2])
    if {states[name] for name in columns} != set(states):
        raise ValueError("a state is missing")
    return {states[name]: cell for name, cell in zip(columns, cells[1:], strict=True)}


def transitions_in(text: str, states: type[State], events: type[Event]) -> dict[Event, dict[State, State | None]]:
    """What follows each event in each state; None: it cannot happen. ValueError when a cell is missing."""
    columns = [states[name] for name in text.split("\n")[1].split()]
    rows: dict[Event, dict[State, State | None]] = {}
    for line in text.strip().splitlines()[2:]:
        name, *cells = line.split()
        row: dict[State, State | None] = {}
        for state, cell in zip(columns, cells, strict=True):
            row[state] = None if cell == "-" else state if cell == "." else states[cell]
        rows[events[name]] = row
    if rows.keys() != set(events):
        raise ValueError("an event is missing")
    return rows


def following(row: dict[State, State | None], state: State) -> State:
    """The state after an event; ``row`` is its row of the table."""
    after = row[state]
    if after is None:
        raise AssertionError(f"this cannot happen in the state {state.name}")
    return after
