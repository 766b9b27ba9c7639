"""What wrk, the load generator, prints at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    requests: int
    seconds: float
    errors: int
    """Answers other than 2xx and 3xx, and sockets that failed or timed out."""


def parsed(text: str) -> Result:
    """What wrk prints at its end. ValueError when that is not it."""
    done = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)\b", text)
    if done is None:
        raise ValueError(f"this is not what wrk prints: {text[:200]!r}")
    seconds = float(done[2]) * {"ms": 1e-3, "s": 1.0, "m": 60.0}[done[3]]
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = sum(map(int, sockets.groups())) if sockets else 0
    return Result(int(done[1]), seconds, errors + (int(status[1]) if status else 0))
