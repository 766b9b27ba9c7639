"""How long an upstream takes to begin a response, as far as its last minutes say: a quantile over a window of time.

Times are counted in buckets whose bounds grow by a twentieth, so that a quantile is exact to 5 %, and the window is ten
*slices* of half a minute, of which the oldest leaves as a whole. That is 10 arrays of 285 numbers, however many
requests there are, and no timer.

A value of which only a lower bound is known is counted as that bound. That is right for a quantile as long as the
bound is not below it, and to leave such values out would be wrong: those that are missing would be the slow ones.
"""

from __future__ import annotations

from array import array
from math import log
from typing import Final

from gateway.core.clock import Clock, monotonic

SLICES: Final = 10
SLICE_SECONDS: Final = 30.0
LEAST_SAMPLES: Final = 20
"""With fewer of them, not even one lies above the 95th percentile."""
SHORTEST: Final = 0.001
"""Seconds: what is shorter is counted as that."""
LONGEST: Final = 1000.0
GROWTH: Final = 1.05
_STEP: Final = log(GROWTH)
_BUCKETS: Final = int(log(LONGEST / SHORTEST) / _STEP) + 2
_KEPT_SECONDS: Final = 1.0
"""How long a quantile that was computed is good for."""


class Latency:
    """The times of one upstream, in one process."""

    __slots__ = ("_clock", "_computed_at", "_counts", "_newest", "_quantile", "_share", "_slices")

    def __init__(self, share: float = 0.95, clock: Clock = monotonic) -> None:
        """``share``: of the values that lie below the quantile."""
        self._share = share
        self._clock = clock
        self._slices = [array("q") for _ in range(SLICES)]
        """Values by bucket; empty as long as there are none, because most upstreams are not measured."""
        self._counts = [0] * SLICES
        """Values in each slice."""
        self._newest = int(clock() / SLICE_SECONDS)
        """The number of the slice that the clock is in."""
        self._quantile = 0.0
        self._computed_at = 0.0

    @property
    def samples(self) -> int:
        """Values in the window."""
        self._turn()
        return sum(self._counts)

    def note(self, seconds: float) -> None:
        """A response began after so many seconds, or had not begun by then."""
        self._turn()
        at = self._newest % SLICES
        if not self._counts[at]:
            self._slices[at] = array("q", bytes(8 * _BUCKETS))
        self._slices[at][_bucket(seconds)] += 1
        self._counts[at] += 1

    def quantile(self) -> float:
        """Seconds; 0.0: there are too few values. It is computed once a second at most."""
        now = self._clock()
        if not self._quantile or now - self._computed_at >= _KEPT_SECONDS:
            self._quantile = self._compute()
            self._computed_at = now
        return self._quantile

    def _compute(self) -> float:
        total = self.samples
        if total < LEAST_SAMPLES:
            return 0.0
        wanted = self._share * total
        seen, bucket = 0, -1
        while seen < wanted:
            bucket += 1
            seen += sum([counts[bucket] for counts in self._slices if counts])
        return float(SHORTEST * GROWTH**bucket)

    def _turn(self) -> None:
        """Forget the slices that have left the window."""
        now = int(self._clock() / SLICE_SECONDS)
        for number in range(max(self._newest + 1, now - SLICES + 1), now + 1):
            self._slices[number % SLICES] = array("q")
            self._counts[number % SLICES] = 0
        self._newest = max(self._newest, now)


def _bucket(seconds: float) -> int:
    """The first one whose bound is not below ``seconds``."""
    if seconds <= SHORTEST:
        return 0
    if seconds >= LONGEST:
        return _BUCKETS - 1
    return int(log(seconds / SHORTEST) / _STEP) + 1
