"""Which share of the new requests a process refuses because it has too much to do itself: load shedding.

Two signals, each with a limit, and the larger share counts:

- How late the timers of the event loop ring. It is measured ten times a second and jumps, so the share adds up: above
  the limit it rises, below half of the limit it falls, and in between it stays. A single pause, such as a suspended
  machine, moves it by one step.
- Memory. It hardly falls when load does, so that a share which adds up would reach all and stay there. Here the share
  is how far the memory is above its limit: nothing at the limit, all at `FULL_AT` of it. It follows a value that moves
  slowly, so it does not flap.

A share, and not all or nothing, because refusing all makes a process idle for a moment, and admitting all again brings
the whole load back: it would swing. Envoy's overload manager scales its actions for the same reason (scaled triggers).
"""

from __future__ import annotations

from math import ceil
from typing import Final

RISE_SECONDS: Final = 2.0
"""From nothing to all, while the loop is late."""
FALL_SECONDS: Final = 5.0
"""From all to nothing. Longer, because load that comes back too fast would have to be refused again."""
MOST_AT_ONCE: Final = 0.25
"""What one measurement adds at most: a late one was long in coming, and stands for one moment."""
CALM: Final = 0.5
"""Part of the limit of lag below which the share falls."""
FULL_AT: Final = 1.1
"""Multiple of the limit of memory at which everything is refused."""


class Overload:
    """Off until `configure` has set a limit. ``share`` is 0.0 to 1.0 of the new requests."""

    __slots__ = ("_debt", "_lag_limit", "_late", "_memory_limit", "_seen", "cause", "shadow", "share")

    def __init__(self) -> None:
        self._lag_limit = 0.0
        self._memory_limit = 0
        self._late = 0.0
        """The share that the event loop asks for."""
        self._seen = 0.0
        """When it was measured last; 0.0: never."""
        self._debt = 0.0
        """What of a request is still to be refused: the parts that the share has left over so far."""
        self.share = 0.0
        self.cause = ""
        """Which limit the share comes from: ``shed_loop_lag`` or ``shed_memory``; empty: there is no share."""
        self.shadow = False
        """It counts what it would refuse, and refuses nothing."""

    def configure(self, lag_limit: float, memory_limit: int, *, shadow: bool) -> None:
        """Change the limits in place: seconds and bytes, 0 is none."""
        self._lag_limit, self._memory_limit, self.shadow = lag_limit, memory_limit, shadow
        if not lag_limit:
            self._late = 0.0
        if not lag_limit and not memory_limit:
            self.share, self.cause = 0.0, ""

    def measure(self, now: float, lag: float, memory: int) -> None:
        """``lag``: by how many seconds the loop was late when it was asked at ``now``; ``memory``: bytes."""
        elapsed = now - self._seen if self._seen else 0.0
        self._seen = now
        if self._lag_limit:
            self._follow(lag, elapsed)
        excess = 0.0
        if self._memory_limit:
            room = (FULL_AT - 1.0) * self._memory_limit
            excess = min(1.0, max(0.0, (memory - self._memory_limit) / room))
        self.share = max(self._late, excess)
        self.cause = "" if not self.share else "shed_memory" if excess > self._late else "shed_loop_lag"

    def _follow(self, lag: float, elapsed: float) -> None:
        if lag > self._lag_limit:
            self._late = min(1.0, self._late + min(elapsed / RISE_SECONDS, MOST_AT_ONCE))
        elif lag < self._lag_limit * CALM:
            self._late = max(0.0, self._late - elapsed / FALL_SECONDS)

    def refuses(self) -> bool:
        """Whether this request is one of the share: they are spread evenly, without chance."""
        self._debt += self.share
        if self._debt < 1.0:
            return False
        self._debt -= 1.0
        return True

    def retry_after(self) -> int:
        """Whole seconds, 1 or more, until the share is gone when the load ends now."""
        return max(1, ceil(self.share * FALL_SECONDS))
