"""How long a retry waits: full jitter, so that the retries of many callers do not come together.

The numbers are those of Envoy: retry n waits for a random time in [0, (2^n - 1) x base), bounded by a longest time.
"""

from __future__ import annotations

from collections.abc import Callable

Random = Callable[[], float]
"""A number in [0, 1), each time another."""


def pause(retry: int, base: float, longest: float, random: Random) -> float:
    """Seconds before the retry with the number ``retry``, from 1 on: in [0, min(longest, (2^retry - 1) x base))."""
    return random() * min(longest, (2.0**retry - 1.0) * base)
