"""Explanations as people read them."""

from __future__ import annotations

from typing import Any

from gateway.cli.explain import upstream_text

FOUND: dict[str, Any] = {
    "proxy": "chat",
    "at": 1000.0,
    "sentence": "a request would be forwarded at once: there is no limit",
    "limiter": None,
    "queue": None,
    "breaker": None,
    "pool": {"endpoint": "http://h:1", "in_use": 1, "idle": 2},
    "active": [],
    "active_count": 0,
}


def test_streams_of_events_have_a_line_where_they_are_watched() -> None:
    stream = {"mode": "shadow", "first_event": 30.0, "event_gap": 0.0, "watched": 2, "silence": 4.25}
    plain = upstream_text(FOUND).splitlines()
    assert upstream_text(FOUND | {"stream": None}).splitlines() == plain
    first, line, *rest = upstream_text(FOUND | {"stream": stream}).splitlines()
    assert [first, *rest] == plain
    assert line == (
        "  streams of events (shadow): 2 run, the longest wait is 4.2 s; first event within 30 s, gap 0 s (0: no limit)"
    )
