"""What an attempt says about the health of its upstream."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """SUCCESS and FAILURE change the breaker; IGNORED (client gone, own refusal, stale connection) changes nothing."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
