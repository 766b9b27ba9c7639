"""What an attempt says about the health of its upstream."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """SUCCESS and FAILURE teach the breaker; IGNORED (client gone, own refusal, stale connection) teaches nobody."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


def outcome_of_status(status: int) -> Outcome:
    """An answer with a status of 500 or more is a FAILURE of the upstream, any other answer a SUCCESS."""
    return Outcome.FAILURE if status >= 500 else Outcome.SUCCESS
