"""A circuit breaker: stops asking an upstream that only fails, and lets a few probes find out when it is well again.

After M. Nygard, "Release It!", with gobreaker's generations. Three states, moved by five events:

    CLOSED     everything passes. Failures are counted; any success sets the count back to 0. The failure that makes
               ``failure_threshold`` of them in a row is the event THRESHOLD.
    OPEN       nothing passes. The first request that asks when ``recovery_timeout`` seconds have gone by is the event
               RECOVERY: there is no timer, and nothing that ends meanwhile prolongs the time.
    HALF_OPEN  at most ``half_open_requests`` probes are inside at once. The first that tells something decides:
               PROBE_OK closes the circuit, PROBE_FAILED opens it again for the whole time.

RESET, an operator's word, closes it from anywhere. `TRANSITIONS` is this text as data; what is not in it cannot happen.

A permit is the *generation* in which it was given, and each change of state, and each reset, begins a new one. A result
of an older generation says nothing about now and is dropped: calls begun before the circuit opened do not count again
when they fail late, and a slow probe can not close a circuit that a faster one has opened.

A result is SUCCESS, FAILURE or IGNORED. IGNORED (the client left, we refused) only gives a probe's place back.

What a breaker has done it can explain: `outcomes` are the results that count in the present state, and each `Move`
keeps those that led to it. In shadow mode the machine runs as it would, and nothing is refused.

pybreaker holds the state and the count in its storage and publishes every change to its listeners; the machine hears of
each change as one of them. Whom to admit and what a result means is decided here: pybreaker's own call path takes
a cancelled call for a success or a failure, admits every probe at once, and runs on the wall clock.
"""

from __future__ import annotations

import enum
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerListener, CircuitBreakerState, CircuitMemoryStorage

from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome

logger = logging.getLogger(__name__)

REFUSED = -1
"""What `Breaker.try_acquire` says instead of a generation."""

WORDS: Final = ("closed", "open", "half-open")
"""The states as people and pybreaker write them, by their number."""


class State(enum.IntEnum):
    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2

    @property
    def word(self) -> str:
        """As people and pybreaker write it."""
        return WORDS[self]

    @property
    def api_word(self) -> str:
        """As the API and metrics write it."""
        return self.word.replace("-", "_")


class Event(enum.Enum):
    """What moves a breaker; the value is the cause that listeners are told."""

    THRESHOLD = "failure_threshold"
    RECOVERY = "recovery_timeout"
    PROBE_OK = "probe_succeeded"
    PROBE_FAILED = "probe_failed"
    RESET = "reset"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CLOSED: {Event.THRESHOLD: State.OPEN, Event.RESET: State.CLOSED},
    State.OPEN: {Event.RECOVERY: State.HALF_OPEN, Event.RESET: State.CLOSED},
    State.HALF_OPEN: {Event.PROBE_OK: State.CLOSED, Event.PROBE_FAILED: State.OPEN, Event.RESET: State.CLOSED},
}

OnChange = Callable[[State, State, str], None]
"""Told (old, new, cause) when a breaker has moved; should not raise."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A result that counted; ``at`` on the breaker's clock. ``reason`` is empty, or the code of the failure."""

    at: float
    outcome: Outcome
    reason: str
    status: int
    request_id: bytes


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state, or a reset that changed none. ``outcomes``: what counted in the state that it left."""

    at: float
    old: State
    new: State
    cause: str
    by: str
    """Who reset it; empty otherwise."""
    outcomes: tuple[Judged, ...]


EXTERNAL = "external"
"""The cause of a change that was made on pybreaker's side."""
_KEPT_OUTCOMES = 128
_KEPT_MOVES = 32

_CLOSED, _OPEN, _HALF_OPEN = State
_SUCCESS = Outcome.SUCCESS
_STATES = {state.word: state for state in State}
_COMMANDS: dict[State, Callable[[CircuitBreaker], object]] = {
    _CLOSED: CircuitBreaker.close,
    _OPEN: CircuitBreaker.open,
    _HALF_OPEN: CircuitBreaker.half_open,
}
_VERDICTS = {Outcome.SUCCESS: Event.PROBE_OK, Outcome.FAILURE: Event.PROBE_FAILED}


class Breaker:
    """The gate of one upstream. No method waits, so that each is atomic on its event loop.

    ``state`` is to be read only. ``circuit`` is pybreaker's side: a state set there from outside is followed.
    """

    __slots__ = (
        "_by",
        "_cause",
        "_clean",
        "_generation",
        "_on_change",
        "_probes",
        "_storage",
        "circuit",
        "clock",
        "failure_threshold",
        "half_open_requests",
        "moves",
        "outcomes",
        "recovery_timeout",
        "shadow",
        "since",
        "state",
    )

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 30.0,
        half_open_requests: int = 1,
        *,
        name: str = "",
        clock: Clock = monotonic,
        on_change: OnChange | None = None,
    ) -> None:
        self.clock = clock
        self._on_change = on_change
        self._generation = 0
        self._cause = EXTERNAL
        self._by = ""
        self.outcomes: deque[Judged] = deque(maxlen=_KEPT_OUTCOMES)
        self.moves: deque[Move] = deque(maxlen=_KEPT_MOVES)
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self.circuit = CircuitBreaker(state_storage=self._storage, name=name, listeners=[_Mirror(self._enter)])
        self.configure(failure_threshold, recovery_timeout, half_open_requests)
        self._begin(_CLOSED)

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._storage.counter

    @property
    def probes(self) -> int:
        """Probes inside."""
        return self._probes

    def configure(
        self, failure_threshold: int, recovery_timeout: float, half_open_requests: int, *, shadow: bool = False
    ) -> None:
        """Change the settings in place; state, count and probes stay."""
        self.shadow = shadow
        self.failure_threshold = self.circuit.fail_max = failure_threshold
        self.recovery_timeout = self.circuit.reset_timeout = recovery_timeout
        self.half_open_requests = half_open_requests

    def try_acquire(self) -> int:
        """A permit, to be given to `record` exactly once; or REFUSED."""
        if self.state is _CLOSED:
            return self._generation
        if self.state is _OPEN and self.clock() - self.since >= self.recovery_timeout:
            self._move(Event.RECOVERY)
        if self.state is not _HALF_OPEN or self._probes >= self.half_open_requests:
            return REFUSED
        self._probes += 1
        return self._generation

    def record(self, permit: int, outcome: Outcome, reason: str = "", status: int = 0, request_id: bytes = b"") -> None:
        """Say how the call ended that ``permit`` was given for; the rest is for explanations."""
        if permit != self._generation or (self._clean and outcome is _SUCCESS):
            return
        if self.state is not _CLOSED or outcome is not Outcome.IGNORED:
            self.outcomes.append(Judged(self.clock(), outcome, reason, status, request_id))
        if self.state is _CLOSED:
            self._count(outcome)
        elif self._probes:
            self._probes -= 1
            if outcome in _VERDICTS:
                self._settle(outcome)

    def reset(self, by: str = "") -> None:
        """Close the circuit and forget every failure. ``by``: who says so."""
        self._by = by
        self._move(Event.RESET)
        self._by = ""

    def retry_after(self) -> int:
        """Whole seconds until asking again makes sense, at least 1: what is left of the recovery time when open."""
        return max(1, math.ceil(self.until_probe()))

    def until_probe(self) -> float:
        """Seconds until an open breaker lets a probe through; 0.0 when it would now, or is not open."""
        return max(0.0, self.recovery_timeout - (self.clock() - self.since)) if self.state is _OPEN else 0.0

    def _count(self, outcome: Outcome) -> None:
        if outcome is _SUCCESS:
            self._storage.reset_counter()
            self._clean = True
        elif outcome is Outcome.FAILURE:
            self._clean = False
            self._storage.increment_counter()
            if self._storage.counter >= self.failure_threshold:
                self._move(Event.THRESHOLD)

    def _settle(self, outcome: Outcome) -> None:
        if outcome is Outcome.FAILURE:
            self._storage.increment_counter()
        self._move(_VERDICTS[outcome])

    def _move(self, event: Event) -> None:
        old = self.state
        new = TRANSITIONS[old][event]
        self._cause = event.value
        _COMMANDS[new](self.circuit)
        self._cause = EXTERNAL
        if new is not old and self._on_change is not None:
            try:
                self._on_change(old, new, event.value)
            except Exception:
                # It is called in the middle of somebody's exchange, which must not suffer for it.
                logger.exception("a listener of breaker %r failed", self.circuit.name)

    def _enter(self, state: State) -> None:
        self.moves.append(Move(self.clock(), self.state, state, self._cause, self._by, tuple(self.outcomes)))
        self._begin(state)

    def _begin(self, state: State) -> None:
        self.outcomes.clear()
        self.state = state
        self.since = self.clock()
        self._generation += 1
        self._probes = 0
        self._clean = state is _CLOSED


class _Mirror(CircuitBreakerListener):
    def __init__(self, enter: Callable[[State], None]) -> None:
        self._enter = enter

    def state_change(
        self, cb: CircuitBreaker, old_state: CircuitBreakerState | None, new_state: CircuitBreakerState
    ) -> None:
        self._enter(_STATES[new_state.name])
