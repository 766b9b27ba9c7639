"""How much of what moves nothing a peer may send: each such frame is cheap, and a flood of them is an attack."""

from __future__ import annotations

from gateway.core.clock import Clock, monotonic
from gateway.wire.h2.codes import ENHANCE_YOUR_CALM, H2Error


class Budget:
    """``burst`` at once, and ``rate`` a second. The clock is read only when the burst is used up."""

    __slots__ = ("_burst", "_clock", "_details", "_left", "_rate", "_since")

    def __init__(self, details: str, burst: int, rate: float, clock: Clock = monotonic) -> None:
        """``details``: the debug data of the GOAWAY."""
        self._details = details
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._left = float(burst)
        self._since = clock()
        """When it was filled last."""

    def spend(self, cost: int) -> None:
        """Raises `H2Error` ENHANCE_YOUR_CALM when the budget does not cover it."""
        if cost > self._left:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now
            if cost > self._left:
                raise H2Error(ENHANCE_YOUR_CALM, self._details)
        self._left -= cost

    def refill(self) -> None:
        """Begin again with the whole burst."""
        self._left = float(self._burst)
