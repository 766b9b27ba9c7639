"""How many retries an upstream gets: a share of its first attempts, and a burst. A token bucket.

    first attempt: + share, up to the burst        retry: - 1, never below 0

So in any stretch of time there are at most ``burst + share x first attempts`` retries, whatever fails. There is no
floor: Envoy's retry budget always admits three retries at a time, which is a retry for each request where few come.

The bucket begins full. It is full anyway after ``burst / share`` requests, so the bound holds with either beginning,
and an upstream that is asked rarely would have no retry for its first failures. It counts what is missing from full, so
that routes of one upstream may have bursts of their own.
"""

from __future__ import annotations

from typing import Final

ROUNDING: Final = 2.0**-30
"""What a sum of floats may lack."""


class RetryBudget:
    """The bucket of one upstream, in one process.

    ``sharers``: processes that serve the same upstream, each with a bucket of its own. Each has its part of the burst,
    but at least one token, because with less it could never retry.
    """

    __slots__ = ("_missing", "sharers")

    def __init__(self, sharers: int = 1) -> None:
        self.sharers = sharers
        self._missing = 0.0
        """Tokens, from full."""

    def deposit(self, share: float) -> None:
        """A first attempt was made."""
        self._missing = max(0.0, self._missing - share)

    def try_withdraw(self, burst: float) -> bool:
        """Take one token for a retry; False: there is none. ``burst``: the size of the bucket, of all sharers."""
        if self.left(burst) + ROUNDING < 1.0:
            return False
        self._missing += 1.0
        return True

    def left(self, burst: float) -> float:
        """Tokens of this process, 0 or more."""
        return max(0.0, self.size(burst) - self._missing)

    def size(self, burst: float) -> float:
        """Most tokens of this process: its part of ``burst``; 0 where that is 0."""
        return max(min(burst, 1.0), burst / self.sharers)
