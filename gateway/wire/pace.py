"""A floor for the rate of a peer that we wait for: one byte a minute is progress, but it must not hold a permit.

Silence is bounded by an idle timeout of the caller's own. The floor is for the peer that avoids that timeout: it sends,
or takes, a little now and then. (Apache mod_reqtimeout `MinRate` and Kestrel `MinRequestBodyDataRate` bound the same.)
"""

from __future__ import annotations

GRACE = 10.0
"""Seconds of waiting before the rate is measured: a slow start is no attack."""
WINDOW = 30.0
"""Seconds of waiting over which the rate is averaged."""


class Pace:
    """Counts the seconds that we wait for a peer, and what it moves meanwhile. The caller gives the clock's readings.

    ``rate``: bytes a second, 0: no floor. Only time between `begin` and `pause` counts, so that delays of the other
    side are not counted against this peer. A window begins with the first progress after the previous window, so that a
    pause within the idle timeout alone is never a violation.
    """

    __slots__ = ("_bytes", "_opened", "_since", "_waited", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._waited = 0.0
        self._since = 0.0
        """When the current wait began; 0.0: we do not wait."""
        self._opened = -1.0
        """Seconds that we had waited when the window began; -1.0: none is open."""
        self._bytes = 0

    def begin(self, now: float) -> None:
        """We wait for the peer from now on."""
        if not self._since:
            self._since = now

    def pause(self, now: float) -> None:
        """We no longer wait for the peer."""
        if self._since:
            self._waited += now - self._since
            self._since = 0.0

    def too_slow(self, moved: int, now: float) -> bool:
        """Note that the peer moved ``moved`` bytes; True when a whole window passed below the floor."""
        if not self.rate:
            return False
        waited = self._waited + (now - self._since if self._since else 0.0)
        if waited < GRACE or not moved:
            return False
        if self._opened < 0.0:
            self._opened = waited
            return False
        self._bytes += moved
        passed = waited - self._opened
        if passed < WINDOW:
            return False
        slow = self._bytes + 1 < self.rate * passed
        self._opened, self._bytes = waited, 0
        return slow
