"""What an attempt says about the health of its upstream."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """SUCCESS and FAILURE teach the breaker; IGNORED (client gone, own refusal, stale connection) teaches nobody."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
