"""What active checks say of an endpoint: up or down, after so many results in a row.

    UNKNOWN    no check has ended yet. It gets requests, as an endpoint without checks does
    UP         ``unhealthy_after`` failures in a row are the event FELL
    DOWN       ``healthy_after`` successes in a row are the event ROSE

The first result decides alone, because a gateway that has just started must not try an endpoint for several intervals
that is down (HAProxy does the same).
"""

from __future__ import annotations

import enum


class Health(enum.Enum):
    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Checked:
    """The results of one endpoint's checks."""

    __slots__ = ("at", "failures", "state", "successes", "why")

    def __init__(self) -> None:
        self.state = Health.UNKNOWN
        self.successes = 0
        """In a row."""
        self.failures = 0
        """In a row."""
        self.at = 0.0
        """When the last check ended; 0.0: none has."""
        self.why = ""
        """Why the last one failed; empty: it did not."""

    def note(self, why: str, now: float, healthy_after: int, unhealthy_after: int) -> bool:
        """A check has ended: ``why`` it failed, empty when it did not. True: the state has changed.

        From UNKNOWN to UP is no change, because nothing changes for the endpoint.
        """
        self.at, self.why = now, why
        if why:
            self.failures, self.successes = self.failures + 1, 0
            falls = self.state is Health.UNKNOWN or self.failures >= unhealthy_after
            if self.state is Health.DOWN or not falls:
                return False
            self.state = Health.DOWN
            return True
        self.successes, self.failures = self.successes + 1, 0
        if self.state is Health.DOWN and self.successes >= healthy_after:
            self.state = Health.UP
            return True
        if self.state is Health.UNKNOWN:
            self.state = Health.UP
        return False
