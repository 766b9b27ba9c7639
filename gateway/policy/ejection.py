"""Keeps requests from an endpoint whose attempts fail, for a time that grows: passive outlier detection.

    ACTIVE     everything passes. ``consecutive_failures`` in a row, or ``failure_rate`` of the attempts of ``window``
               seconds, are the event FAILED_OFTEN
    EJECTED    nothing passes. After its time, which is EXPIRED, it is on probation: there is no timer, the next choice
               sees it
    PROBATION  one request at a time passes. A success is PROVED, a failure FAILED_AGAIN, which ejects it at once: one
               that is still broken costs a single request, where Envoy sends fifty

The time is ``base_time`` for the first ejection, twice that for the second, and so on, up to ``max_time``; each
``base_time`` without an ejection takes one step back (Envoy, outlier detection). IGNORED outcomes change nothing.
`TRANSITIONS` is this text as data.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from gateway.core.outcome import Outcome

_SLICES: Final = 10
"""Of the window of the failure rate: what falls out of it does so a tenth at a time."""


class Standing(enum.Enum):
    ACTIVE = "active"
    EJECTED = "ejected"
    PROBATION = "probation"


class Event(enum.Enum):
    FAILED_OFTEN = "failed_often"
    EXPIRED = "expired"
    PROVED = "proved"
    FAILED_AGAIN = "failed_again"


TRANSITIONS: Final[dict[Standing, dict[Event, Standing]]] = {
    Standing.ACTIVE: {Event.FAILED_OFTEN: Standing.EJECTED},
    Standing.EJECTED: {Event.EXPIRED: Standing.PROBATION},
    Standing.PROBATION: {Event.PROVED: Standing.ACTIVE, Event.FAILED_AGAIN: Standing.EJECTED},
}


@dataclass(frozen=True, slots=True)
class EjectionRules:
    """As `gateway.config.records.Ejection` has them. ``consecutive_failures``, ``failure_rate`` 0: that rule is off."""

    consecutive_failures: int = 5
    failure_rate: float = 0.0
    window: float = 30.0
    minimum_requests: int = 20
    base_time: float = 30.0
    max_time: float = 300.0


class Ejection:
    """Where one endpoint stands. The group decides whether one more may be ejected: `due` says that it should be."""

    __slots__ = ("_slices", "failures", "since", "state", "steps", "until", "why")

    def __init__(self) -> None:
        self.state = Standing.ACTIVE
        self.since = 0.0
        """When the state was entered; 0.0: at the start."""
        self.until = 0.0
        """When an ejection ends; 0.0: there is none."""
        self.steps = 0
        """How many times ``base_time`` the last ejection took."""
        self.failures = 0
        """In a row."""
        self.why = ""
        """What led to the last ejection, in words."""
        self._slices: deque[list[float]] = deque()
        """The begin of each, its attempts and its failures."""

    def note(self, outcome: Outcome, now: float, rules: EjectionRules) -> str:
        """An attempt has ended. Why it should be ejected, in words; empty: it should not, or it is already.

        A success on probation ends it.
        """
        if outcome is Outcome.IGNORED:
            return ""
        failed = outcome is Outcome.FAILURE
        self.failures = self.failures + 1 if failed else 0
        if self.state is Standing.PROBATION:
            if failed:
                return "it failed again on probation"
            self._enter(Event.PROVED, now)
            return ""
        if self.state is Standing.EJECTED:  # an attempt that began before
            return ""
        counted = self._count(now, rules, failed=failed) if rules.failure_rate else ""
        if not failed:
            return counted
        if 0 < rules.consecutive_failures <= self.failures:
            return f"{self.failures} failures in a row"
        return counted

    def eject(self, now: float, rules: EjectionRules, why: str) -> None:
        """Eject it: from ACTIVE or PROBATION."""
        again = self.state is Standing.PROBATION
        if not again:  # time in which nothing was wrong
            self.steps = max(0, self.steps - int((now - self.since) / rules.base_time))
        # No more steps than count, so that the way back is no longer than the time it had.
        self.steps = min(self.steps + 1, math.ceil(rules.max_time / rules.base_time))
        self.why = why
        self._enter(Event.FAILED_AGAIN if again else Event.FAILED_OFTEN, now)
        self.until = now + min(rules.max_time, rules.base_time * self.steps)

    def expire(self, now: float) -> bool:
        """Whether an ejection is over by now: then it is on probation."""
        if self.state is not Standing.EJECTED or now < self.until:
            return False
        self._enter(Event.EXPIRED, now)
        return True

    def _enter(self, event: Event, now: float) -> None:
        self.state = TRANSITIONS[self.state][event]
        self.since = now
        self.until = 0.0
        self.failures = 0
        self._slices.clear()

    def _count(self, now: float, rules: EjectionRules, *, failed: bool) -> str:
        slices, width = self._slices, rules.window / _SLICES
        if not slices or now >= slices[-1][0] + width:
            slices.append([now, 0.0, 0.0])
        slices[-1][1] += 1
        slices[-1][2] += failed
        while slices[0][0] <= now - rules.window:
            slices.popleft()
        attempts, failures = sum([each[1] for each in slices]), sum([each[2] for each in slices])
        if attempts < rules.minimum_requests or failures < rules.failure_rate * attempts:
            return ""
        return f"{failures:.0f} of {attempts:.0f} attempts failed in {rules.window:g} s"
