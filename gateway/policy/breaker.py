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

pybreaker holds the state and the count in its storage and publishes every change to its listeners; the machine hears of
each change as one of them. Whom to admit and what a result means is decided here: pybreaker's own call path takes
a cancelled call for a success or a failure, admits every probe at once, and runs on the wall clock.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
from collections.abc import Callable

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerListener, CircuitBreakerState, CircuitMemoryStorage

from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome, outcome_of_status
from gateway.errors import BREAKER_OPEN, TOTAL_TIMEOUT, GatewayError, Source

logger = logging.getLogger(__name__)

REFUSED = -1
"""What `Breaker.try_acquire` says instead of a generation."""


class State(enum.IntEnum):
    """``word`` is the state as people and pybreaker write it."""

    word: str

    CLOSED = 0, "closed"
    OPEN = 1, "open"
    HALF_OPEN = 2, "half-open"

    def __new__(cls, value: int, word: str) -> State:
        state = int.__new__(cls, value)
        state._value_ = value
        state.word = word
        return state


class Event(enum.Enum):
    """What moves a breaker; the value is the cause that listeners are told."""

    THRESHOLD = "failure threshold reached"
    RECOVERY = "recovery timeout over"
    PROBE_OK = "probe succeeded"
    PROBE_FAILED = "probe failed"
    RESET = "reset"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CLOSED: {Event.THRESHOLD: State.OPEN, Event.RESET: State.CLOSED},
    State.OPEN: {Event.RECOVERY: State.HALF_OPEN, Event.RESET: State.CLOSED},
    State.HALF_OPEN: {Event.PROBE_OK: State.CLOSED, Event.PROBE_FAILED: State.OPEN, Event.RESET: State.CLOSED},
}

OnChange = Callable[[State, State, str], None]
"""Told (old, new, cause) when a breaker has moved; should not raise."""

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
        "_clean",
        "_generation",
        "_on_change",
        "_opened_at",
        "_probes",
        "_storage",
        "circuit",
        "clock",
        "failure_threshold",
        "half_open_requests",
        "recovery_timeout",
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
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self.circuit = CircuitBreaker(state_storage=self._storage, name=name, listeners=[_Mirror(self._enter)])
        self.configure(failure_threshold, recovery_timeout, half_open_requests)
        self._enter(_CLOSED)

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._storage.counter

    def configure(self, failure_threshold: int, recovery_timeout: float, half_open_requests: int) -> None:
        """Change the settings in place; state, count and probes stay."""
        self.failure_threshold = self.circuit.fail_max = failure_threshold
        self.recovery_timeout = self.circuit.reset_timeout = recovery_timeout
        self.half_open_requests = half_open_requests

    def try_acquire(self) -> int:
        """A permit, to be given to `record` exactly once; or REFUSED."""
        if self.state is _CLOSED:
            return self._generation
        if self.state is _OPEN and self.clock() - self._opened_at >= self.recovery_timeout:
            self._move(Event.RECOVERY)
        if self.state is not _HALF_OPEN or self._probes >= self.half_open_requests:
            return REFUSED
        self._probes += 1
        return self._generation

    def record(self, permit: int, outcome: Outcome) -> None:
        """Say how the call ended that ``permit`` was given for."""
        if permit != self._generation or (self._clean and outcome is _SUCCESS):
            return
        if self.state is _CLOSED:
            self._count(outcome)
        elif self._probes:
            self._probes -= 1
            if outcome in _VERDICTS:
                self._settle(outcome)

    def reset(self) -> None:
        """Close the circuit and forget every failure."""
        self._move(Event.RESET)

    def retry_after(self) -> int:
        """Whole seconds until asking again makes sense, at least 1: what is left of the recovery time when open."""
        left = self.recovery_timeout - (self.clock() - self._opened_at) if self.state is _OPEN else 0.0
        return max(1, math.ceil(left))

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
        _COMMANDS[new](self.circuit)
        if new is not old and self._on_change is not None:
            try:
                self._on_change(old, new, event.value)
            except Exception:
                # It is called in the middle of somebody's exchange, which must not suffer for it.
                logger.exception("a listener of breaker %r failed", self.circuit.name)

    def _enter(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self._probes = 0
        self._clean = state is _CLOSED
        self._opened_at = self.clock() if state is _OPEN else 0.0


class _Mirror(CircuitBreakerListener):
    def __init__(self, enter: Callable[[State], None]) -> None:
        self._enter = enter

    def state_change(
        self, cb: CircuitBreaker, old_state: CircuitBreakerState | None, new_state: CircuitBreakerState
    ) -> None:
        self._enter(_STATES[new_state.name])


def outcome_of_error(ex: Exchange, error: GatewayError) -> Outcome:
    """What a failed attempt says about its upstream.

    A stale pooled connection (``retryable``) says nothing: the retry will tell the truth. Neither do the client's
    faults and our own refusals; the total timeout is our word, but it may be the upstream's doing.
    """
    if error.retryable:
        return Outcome.IGNORED
    if error.reason is TOTAL_TIMEOUT:
        return outcome_of_total_timeout(ex)
    return Outcome.FAILURE if error.reason.source is Source.UPSTREAM else Outcome.IGNORED


def outcome_of_total_timeout(ex: Exchange) -> Outcome:
    """FAILURE when the upstream had the whole request, or none was to be uploaded, and had not begun to answer.

    Not when our own queue took the larger part of the time.
    """
    asked = ex.sent_at > 0.0 or ex.request.length == 0
    queued = ex.queued > (ex.deadline - ex.start_at) / 2
    return Outcome.FAILURE if asked and not queued and not ex.committed else Outcome.IGNORED


def break_circuit(breaker: Breaker | None) -> Layer:
    """Let an attempt through when ``breaker`` admits it, else BREAKER_OPEN; judge it when it is over.

    It is over at the last byte: a probe keeps its place while its answer streams, and an answer that breaks off in the
    middle is a FAILURE. Sets ``breaker`` and ``outcome``.
    """
    if breaker is None:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            permit = breaker.try_acquire()
            ex.breaker = breaker.state.word
            if permit == REFUSED:
                raise refusal(breaker)
            outcome = Outcome.IGNORED
            try:
                await next_handler(ex)
                outcome = outcome_of_status(ex.status)
            except GatewayError as error:
                outcome = outcome_of_error(ex, error)
                raise
            except asyncio.CancelledError:
                if ex.reason == TOTAL_TIMEOUT.code:
                    outcome = outcome_of_total_timeout(ex)
                raise
            finally:
                breaker.record(permit, outcome)
                ex.outcome = outcome

        return handle

    return layer


def refusal(breaker: Breaker) -> GatewayError:
    return GatewayError(BREAKER_OPEN, retry_after=breaker.retry_after(), headers=(("X-Circuit-Breaker", "open"),))
