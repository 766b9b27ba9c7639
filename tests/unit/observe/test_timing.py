"""The phases of an exchange, by hand: each wait lands in its own, and they add up."""

from __future__ import annotations

from typing import Any

import pytest
from unit.scene import told

from gateway.observe.timing import PHASES, phases


def spent(**times: Any) -> dict[str, float]:
    """The phases that are not zero."""
    ex = told(start_at=0.0, **times)
    found = phases(ex)
    assert sum(found) == pytest.approx(ex.end_at)
    return {name: value for name, value in zip(PHASES, found, strict=True) if value > 1e-9}


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"end_at": 1.0, "queued": 0.7, "dialled": 0.2}, {"queue": 0.7, "dial": 0.2, "own": 0.1}),
        ({"end_at": 1.0, "identified": 0.4, "pooled": 0.1}, {"identity": 0.4, "pool": 0.1, "own": 0.5}),
        ({"asked_at": 0.3, "end_at": 9.0, "queued": 0.2}, {"queue": 0.2, "own": 0.1, "upload": 8.7}),
        ({"asked_at": 0.3, "sent_at": 0.3, "end_at": 9.0}, {"own": 0.3, "first_byte": 8.7}),
        ({"asked_at": 0.3, "sent_at": 2.3, "end_at": 9.0}, {"own": 0.3, "upload": 2.0, "first_byte": 6.7}),
        (
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5.0, "end_at": 5.2},
            {"first_byte": 4.9, "own": 0.3},
        ),
        (  # a response that came before the request was sent whole
            {"asked_at": 0.1, "sent_at": 6.0, "first_byte_at": 5.0, "end_at": 6.0},
            {"first_byte": 4.9, "own": 1.1},
        ),
        (
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5.0, "commit_at": 5.1, "last_byte_at": 5, "end_at": 5.2},
            {"first_byte": 4.9, "own": 0.3},
        ),
        (
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5, "commit_at": 5.1, "last_byte_at": 60, "end_at": 60.1},
            {"first_byte": 4.9, "transfer": 54.9, "own": 0.3},
        ),
        (  # blocked in the middle
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5, "commit_at": 5.1, "last_byte_at": 60, "end_at": 60.1,
             "blocked": 10.0},
            {"first_byte": 4.9, "transfer": 45.0, "blocked": 10.0, "own": 0.2},
        ),
        (  # blocked after the upstream's last byte
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5, "commit_at": 5.1, "last_byte_at": 60, "end_at": 70,
             "blocked": 10.0},
            {"first_byte": 4.9, "transfer": 54.9, "blocked": 10.0, "own": 0.2},
        ),
        (  # cut while more of the body was awaited
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5, "commit_at": 5.1, "last_byte_at": 6, "end_at": 70,
             "blocked": 2.0, "reason": "body_idle_timeout"},
            {"first_byte": 4.9, "transfer": 62.9, "blocked": 2.0, "own": 0.2},
        ),
        (  # cut before any of the body came
            {"asked_at": 0.1, "sent_at": 0.1, "first_byte_at": 5, "commit_at": 5.1, "last_byte_at": 5, "end_at": 70,
             "reason": "client_gone"},
            {"first_byte": 4.9, "transfer": 64.9, "own": 0.2},
        ),
        (
            {"asked_at": 1.0, "sent_at": 1.0, "first_byte_at": 2.0, "end_at": 2.0, "retried": 0.4},
            {"first_byte": 1.4, "own": 0.6},
        ),
    ],
)  # fmt: skip
def test_each_wait_lands_in_its_own_phase(times: dict[str, float], expected: dict[str, float]) -> None:
    assert spent(**times) == pytest.approx(expected)
