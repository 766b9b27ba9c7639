"""One endpoint as those see it that choose among several: what keeps requests from it, and how much it has to do."""

from __future__ import annotations

from collections import deque
from typing import Final

from gateway.core.outcome import Outcome

DRAINED: Final = 1
"""An operator gives it no new requests."""
UNHEALTHY: Final = 2
"""Active checks say that it is down."""
EJECTED: Final = 4
"""Its last attempts failed."""
PROBATION: Final = 8
"""It is back from an ejection, and has yet to show that it is well: one request at a time."""
LEAVING: Final = 16
"""It reports itself that it takes no new requests."""
AWAY: Final = DRAINED | LEAVING
"""It gets no requests because someone wants it so."""
LOST: Final = UNHEALTHY | EJECTED
"""It gets no requests because of its condition."""

_MOST_DEBTS: Final = 256
"""More of them would not make it less attractive than it is then."""


class Member:
    """The numbers of one endpoint. They live as long as it is configured: a new configuration keeps them.

    They are of this process: each worker counts the requests that it has itself, and learns by them.
    """

    __slots__ = (
        "_debts",
        "_taken",
        "attempts",
        "current",
        "ejections",
        "failures",
        "ignored",
        "in_flight",
        "name",
        "out",
        "trials",
        "warm_from",
        "weight",
    )

    def __init__(self, name: str, weight: int = 1) -> None:
        self.name = name
        """Its URL, without the base path: unique among those of an upstream, and the same in all processes."""
        self.weight = weight
        """Its share of the requests, beside the weights of the others."""
        self.in_flight = 0
        self.attempts = 0
        """Those that have said something of it: a success or a failure."""
        self.failures = 0
        """Those of `attempts` that have failed."""
        self.ignored = 0
        """Those that were made and have said nothing of it."""
        self.ejections = 0
        """Those of shadow mode included."""
        self.out = 0
        """What keeps requests from it, as flags of this module; 0: nothing."""
        self.trials = 0
        """Those in flight that began on probation."""
        self.warm_from = 0.0
        """When it came back, on the clock of the group; 0.0: it was there from the start."""
        self.current = 0.0
        """Of the smooth weighted round robin."""
        self._debts: deque[float] = deque(maxlen=_MOST_DEBTS)
        self._taken = (0, 0, 0, 0)

    def take_counts(self) -> tuple[int, int, int, int]:
        """Successes, failures, ignored attempts and ejections since the last call."""
        before = self._taken
        now = self._taken = self.attempts - self.failures, self.failures, self.ignored, self.ejections
        return now[0] - before[0], now[1] - before[1], now[2] - before[2], now[3] - before[3]

    def note(self, outcome: Outcome) -> None:
        """An attempt is over, which says ``outcome`` of it."""
        if outcome is Outcome.IGNORED:
            self.ignored += 1
            return
        self.attempts += 1
        self.failures += outcome is Outcome.FAILURE

    def load(self, now: float) -> int:
        """Requests in flight, and those that failed so fast that they would still be in flight at another endpoint."""
        debts = self._debts
        while debts and debts[0] <= now:
            debts.popleft()
        return self.in_flight + len(debts)

    def leave(self) -> None:
        """One of those in flight is over."""
        self.in_flight -= 1

    def owe(self, until: float) -> None:
        """An attempt has failed early: it counts as in flight ``until`` then, so that fast failures attract nothing."""
        debts = self._debts
        # Ordered, because each is due a typical time after its begin, and that time changes slowly.
        debts.append(until if not debts else max(until, debts[-1]))

    def forgive(self) -> None:
        """Nothing that failed counts as in flight any more."""
        self._debts.clear()

    def set(self, flag: int, *, on: bool) -> None:
        """Set or clear one flag of `out`."""
        self.out = self.out | flag if on else self.out & ~flag
