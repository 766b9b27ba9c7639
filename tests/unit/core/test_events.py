from __future__ import annotations

import dataclasses

import pytest

from gateway.core.events import BreakerChanged, Event, Reloaded, Sink

CHANGED = BreakerChanged("sidecar", "closed", "open", "failure_threshold")
RELOADED = Reloaded(2, "gateway.yaml", "")


@pytest.mark.parametrize("event", [CHANGED, RELOADED])
def test_what_happened_can_not_be_changed(event: Event) -> None:
    field = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, field, "another")


def test_events_are_told_apart_by_what_they_say() -> None:
    assert dataclasses.replace(CHANGED) == CHANGED
    assert dataclasses.replace(CHANGED, upstream="another") != CHANGED


def test_whatever_takes_an_event_is_a_sink() -> None:
    heard: list[Event] = []
    sink: Sink = heard.append
    for event in (CHANGED, RELOADED):
        sink(event)
    assert heard == [CHANGED, RELOADED]
