"""When a rejected caller is to come back: a schedule with one counter for each coming second.

If all rejected callers got the same moment, they would return together, and most would be rejected again. So each gets
the first second that has room for it beside the returns that are already reserved. The room in a second is what the
upstream returns in a second, less what fresh arrivals take of it. Fresh arrivals are requests without a reservation:
all arrivals less the reservations that fell due.

How long fresh arrivals will continue is unknown. What has lasted for a while will probably last for some multiple of
it: a crowd that came within a moment is scheduled at the full rate; in a lasting overload places are given at a
trickle, and times grow. Callers cannot be identified, so the next tries fail as often as all requests do: a trickle of
1/20 of the rate means that, once an overload is known, about 1 of 21 has to be rejected. The first seconds of an
overload are mistaken for a crowd, and cost more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

MAX_RETRY_AFTER = 300
"""Upper bound in seconds. Lower: callers of a lasting overload return before there is room. Higher: callers give up."""
SLOTS = MAX_RETRY_AFTER + 1
"""The present second and all that may be reserved."""
TRICKLE = 1 / 20
"""Share of the rate that is kept for reservations even when fresh arrivals take everything."""
PERSISTENCE = 4
"""Fresh arrivals that have left no room for a time are expected to continue for this multiple of it."""
SMOOTHING = 1 / 4
"""Weight of the newest second in the moving average of fresh arrivals."""
MOST_FRESH = 2
"""Times the rate: more than that in one second says nothing about the seconds to come."""
ROUNDING = 1e-9
"""What a sum of floats may lack."""
UNKNOWN_HOLD = 1.0
"""Seconds for which a permit is taken to be held before any came back."""
QUEUED_LOAD = 0.9
"""Of the rate; with a queue, which keeps permits busy, more than that is left to the trickle of `ReturnSchedule`."""
GAPS = 1.5
"""Without a queue a released permit idles until the next arrival. So more may come than return, by this times the
square root of the permits (square-root staffing, Halfin and Whitt 1981): ten are then busy for nearly nine tenths of
the time.
"""


class Saved(NamedTuple):
    """The numbers of a schedule, for another process to go on with."""

    second: int
    arrived: int
    seen: int
    fresh: float
    since: float
    full: int
    reserved: int


class ReturnSchedule:
    """Reserves returns of rejected callers; knows neither permits nor callers. Times are those of one monotonic clock.

    ``arrived`` counts all requests so far, reserved or fresh. ``rate`` is how many the upstream returns in a second,
    above 0. ``load`` is how many may come in one, fresh and reserved together: more than ``rate`` where nothing else
    fills the gaps between arrivals. Requests that wait already take what returns in the next ``start`` seconds.
    """

    __slots__ = ("_arrived", "_due", "_fresh", "_full", "_reserved", "_second", "_seen", "_since")

    def __init__(self, now: float, due: list[int] | memoryview | None = None) -> None:
        """``due``: where the reservations of each second are counted, `SLOTS` numbers; None: here."""
        self._due: list[int] | memoryview = [0] * SLOTS if due is None else due
        self._second = int(now)
        # Requests before this second, and until the last look.
        self._arrived = 0
        self._seen = 0
        self._fresh = 0.0
        # Since when rejections go on while fresh arrivals leave little room; inf: they do not.
        self._since = math.inf
        # No room in the next `_full` seconds, in which `_reserved` callers return. Holds for this second.
        self._full = 0
        self._reserved = 0

    def saved(self) -> Saved:
        """All numbers but those of the seconds."""
        return Saved(self._second, self._arrived, self._seen, self._fresh, self._since, self._full, self._reserved)

    @property
    def due(self) -> list[int]:
        """The numbers of the seconds."""
        return list(self._due)

    def load(self, saved: Saved) -> None:
        """Go on from what another schedule over the same seconds has `saved`."""
        self._second, self._arrived, self._seen, self._fresh, self._since, self._full, self._reserved = saved

    def reserve(self, now: float, arrived: int, rate: float, load: float, start: float) -> int:
        """Seconds after which a caller rejected now is to return, 1 to `MAX_RETRY_AFTER`; its place is kept."""
        seconds = self.peek(now, arrived, rate, load, start)
        self._since = min(self._since, now)
        self._due[(self._second + seconds) % SLOTS] += 1
        return seconds

    def peek(self, now: float, arrived: int, rate: float, load: float, start: float) -> int:
        """What `reserve` would return; no place is kept."""
        self._catch_up(int(now), arrived, rate)
        self._seen = arrived
        fresh = max(self._fresh, arrived - self._arrived - self._due[self._second % SLOTS])
        trickle = min(rate, max(rate * TRICKLE, load - fresh))
        return self._first_room(start, trickle, rate, max(start, PERSISTENCE * (now - self._since)))

    def _first_room(self, start: float, trickle: float, rate: float, change: float) -> int:
        """The first second by which there is a place more than are reserved: ``trickle`` places a second from ``start``
        on, ``rate`` a second from ``change`` on. In seconds from now.
        """
        seconds, reserved = self._full, self._reserved
        while True:
            seconds += 1
            due = self._due[(self._second + seconds) % SLOTS]
            reserved += due
            places = (min(seconds, change) - start) * trickle + max(0.0, seconds - change) * rate
            if places + ROUNDING >= reserved + 1 or seconds >= MAX_RETRY_AFTER:
                break
        if start < self._full + 1:
            self._full, self._reserved = seconds - 1, reserved - due
        return seconds

    def _catch_up(self, second: int, arrived: int, rate: float) -> None:
        """Close the seconds that are over. Arrivals since the last look count as evenly spread."""
        gap = second - self._second
        if gap <= 0:
            return
        each = (arrived - self._seen) / gap
        self._close(self._seen - self._arrived + each, rate)
        for _ in range(min(gap, SLOTS) - 1):
            self._close(each, rate)
        self._second, self._arrived = second, arrived
        self._full = self._reserved = 0

    def _close(self, arrivals: float, rate: float) -> None:
        slot = self._second % SLOTS
        fresh = min(max(0.0, arrivals - self._due[slot]), rate * MOST_FRESH)
        self._due[slot] = 0
        self._fresh += (fresh - self._fresh) * SMOOTHING
        if self._fresh <= rate / 2:
            self._calm_down()
        self._second += 1

    def _calm_down(self) -> None:
        """A second with room makes half of an overload forgotten: one such second may be chance."""
        lasted = self._second - self._since
        self._since = self._second + 1 - lasted / 2 if lasted >= 1 else math.inf


def returns(limit: int, hold: float, in_flight: int, waiting: int, *, queues: bool) -> tuple[float, float, float]:
    """Permits that return in a second by Little's law, requests that may come in one, seconds to serve who waits.

    All three by what is in use and waits now, and how long permits were held recently (``hold``, 0.0: not known).
    """
    rate = limit / (hold or UNKNOWN_HOLD)
    busy = QUEUED_LOAD if queues else 1 + GAPS / math.sqrt(limit)
    return rate, rate * busy, max(0, in_flight - limit + waiting) / rate
