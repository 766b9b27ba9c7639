"""Where a machine keeps the numbers that all processes have to agree on.

A machine reads the numbers for each decision and keeps no copy, so that machines over one store agree. A store
that is shared implements the same operations, each of them atomic. What only one process needs stays in the machine:
which of the permits are its own, who waits in it, what it measured, and its history.
"""

from __future__ import annotations

from typing import Final, Protocol

CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2


class PermitStore(Protocol):
    """How many permits a limiter has, and how many of them are in use."""

    @property
    def limit(self) -> int: ...

    @property
    def in_flight(self) -> int:
        """Permits in use; above ``limit`` when that was lowered."""
        ...

    def resize(self, limit: int) -> None:
        """Change ``limit``; permits in use stay in use."""
        ...

    def take(self) -> bool:
        """Put one more permit in use; False when ``limit`` are."""
        ...

    def give_back(self) -> None:
        """Put one permit out of use. Called once for each `take` that returned True."""
        ...


class MemoryPermitStore:
    """The permits of one process."""

    __slots__ = ("in_flight", "limit")

    def __init__(self) -> None:
        self.limit = 0
        self.in_flight = 0

    def resize(self, limit: int) -> None:
        self.limit = limit

    def take(self) -> bool:
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    def give_back(self) -> None:
        self.in_flight -= 1


class BreakerStore(Protocol):
    """The state of a breaker, since when it holds, and what was counted in it."""

    @property
    def state(self) -> int:
        """CLOSED, OPEN or HALF_OPEN."""
        ...

    @property
    def generation(self) -> int:
        """Grows by each `enter`; from 1 on."""
        ...

    @property
    def since(self) -> float:
        """When the state was entered, on the clock of the machines."""
        ...

    @property
    def failures(self) -> int:
        """Failures in a row."""
        ...

    @property
    def probes(self) -> int:
        """Probes inside."""
        ...

    def enter(self, state: int, now: float) -> None:
        """Begin a new generation in ``state``: without probes, and in CLOSED without failures."""
        ...

    def fail(self) -> int:
        """Count one more failure; how many there are now."""
        ...

    def forgive(self) -> None:
        """Set the failures back to 0."""
        ...

    def take_probe(self, most: int) -> bool:
        """Count one more probe inside; False when there are ``most``."""
        ...

    def end_probe(self) -> None:
        """Count one probe less. Called once for each `take_probe` that returned True, in the same generation."""
        ...


class MemoryBreakerStore:
    """The breaker of one process."""

    __slots__ = ("failures", "generation", "probes", "since", "state")

    def __init__(self) -> None:
        self.state: int = CLOSED
        self.generation = 0
        self.since = 0.0
        self.failures = 0
        self.probes = 0

    def enter(self, state: int, now: float) -> None:
        self.state = state
        self.generation += 1
        self.since = now
        self.probes = 0
        if state == CLOSED:
            self.failures = 0

    def fail(self) -> int:
        self.failures += 1
        return self.failures

    def forgive(self) -> None:
        self.failures = 0

    def take_probe(self, most: int) -> bool:
        if self.probes >= most:
            return False
        self.probes += 1
        return True

    def end_probe(self) -> None:
        self.probes -= 1
