"""Bounds how often one kind of line is logged, because what a caller can cause must not fill the log."""

from __future__ import annotations

from math import inf
from typing import Final

from gateway.core.clock import Clock, monotonic

_PAUSE: Final = 1.0


class OnceASecond:
    """Lines of one kind: one in each ``pause`` of seconds at most, with the number of those that were suppressed in
    between.

    ``clock`` may also be that of the wall: once it is set back, the next line is due at once.
    """

    __slots__ = ("_clock", "_last", "_pause", "_suppressed")

    def __init__(self, clock: Clock = monotonic, pause: float = _PAUSE) -> None:
        self._clock = clock
        self._pause = pause
        self._last = -inf
        self._suppressed = 0

    def due(self) -> str | None:
        """The end of a line that is to be logged now; None: it is suppressed."""
        now = self._clock()
        if 0 <= now - self._last < self._pause:
            self._suppressed += 1
            return None
        more = f" ({self._suppressed} more since the last such line)" if self._suppressed else ""
        self._last, self._suppressed = now, 0
        return more
