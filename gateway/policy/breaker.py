"""A circuit breaker: stops asking an upstream that only fails, and lets a few probes find out when it is well again.

After M. Nygard, "Release It!", with gobreaker's generations. Three states, moved by five events:

    CLOSED     everything passes. Failures are counted; any success sets the count back to 0. The failure that makes
               ``failure_threshold`` of them in a row is the event THRESHOLD. Two more rules are about shares of the
               attempts in a window of time (`policy.breaker_rules`): FAILURE_RATE and SLOW_RATE.
    OPEN       nothing passes. The first request that asks when ``recovery_timeout`` seconds have gone by is the event
               RECOVERY: there is no timer, and nothing that ends meanwhile prolongs the time.
    HALF_OPEN  at most ``half_open_requests`` probes are inside at once. The first conclusive outcome decides:
               PROBE_OK closes the circuit, PROBE_FAILED opens it again for the whole time. Where slow calls count,
               a slow success is no PROBE_OK: it has failed.

RESET, by an operator, closes it from anywhere. `TRANSITIONS` is this text as data; what is not in it cannot happen.

Each change of state, and each reset, begins a new *generation*. A permit belongs to the one in which it was given, and
a result of an older generation says nothing about now and is dropped: calls begun before the circuit opened do not
count again when they fail late, and a slow probe cannot close a circuit that a faster one has opened.

A result is SUCCESS, FAILURE or IGNORED. IGNORED (the client left, we rejected) only gives a probe's place back, and
counts in no window.

What a breaker has done it can explain: `outcomes` are the results that count in the present state, and each `Move`
keeps those that led to it. In shadow mode the machine runs as it would, and nothing is rejected.

The state and the counts are in a store (`policy.breaker_store`), and are read there for each decision. Several
processes may share one. `policy.circuit` shows them to pybreaker.
"""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.policy.breaker_rules import FAILURE_RATE, FAILURE_THRESHOLD, SLOW_RATE, Figures, Rules
from gateway.policy.breaker_store import (
    CLOSED,
    FAILURES,
    HALF_OPEN,
    OPEN,
    STATE_OF,
    WORD,
    WORDS,
    BreakerStore,
    Judged,
    MemoryBreakerStore,
    Move,
    State,
)
from gateway.policy.machine import REFUSED, Machine
from gateway.policy.window import Sample, Tally

logger = logging.getLogger(__name__)


class Event(enum.Enum):
    """What moves a breaker; the value is the cause that listeners get."""

    THRESHOLD = FAILURE_THRESHOLD
    FAILURE_RATE = FAILURE_RATE
    SLOW_RATE = SLOW_RATE
    RECOVERY = "recovery_timeout"
    PROBE_OK = "probe_succeeded"
    PROBE_FAILED = "probe_failed"
    RESET = "reset"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CLOSED: {
        Event.THRESHOLD: State.OPEN,
        Event.FAILURE_RATE: State.OPEN,
        Event.SLOW_RATE: State.OPEN,
        Event.RESET: State.CLOSED,
    },
    State.OPEN: {Event.RECOVERY: State.HALF_OPEN, Event.RESET: State.CLOSED},
    State.HALF_OPEN: {Event.PROBE_OK: State.CLOSED, Event.PROBE_FAILED: State.OPEN, Event.RESET: State.CLOSED},
}

OnChange = Callable[[State, State, str], None]
"""Called with (old, new, cause) when a breaker has moved; should not raise."""


EXTERNAL = "external"
"""The cause of a change that `Breaker.force` made."""

_STATES: Final = tuple(State)
_CLOSED: Final = WORDS[CLOSED]
_SUCCESS: Final = Outcome.SUCCESS
_NO_RULES: Final = Rules()
_PROBED: Final = {Outcome.SUCCESS: Event.PROBE_OK, Outcome.FAILURE: Event.PROBE_FAILED}


class Breaker(Machine):
    """The gate of one upstream. No method waits, so that each is atomic on its event loop.

    ``on_change`` is called after each change of state. ``store`` has the numbers; several breakers may share one.
    """

    __slots__ = (
        "_given",
        "_last",
        "_numbers",
        "asked",
        "clock",
        "counts",
        "failure_threshold",
        "half_open_requests",
        "name",
        "on_change",
        "recovery_timeout",
        "rules",
        "shadow",
        "store",
    )

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 30.0,
        half_open_requests: int = 1,
        *,
        rules: Rules = _NO_RULES,
        name: str = "",
        clock: Clock = monotonic,
        on_change: OnChange | None = None,
        store: BreakerStore | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.on_change = on_change
        self._given: dict[int, int] = {}
        """The permits that are not released, each with the word under which it was given."""
        self._last = 0
        self.asked = _CLOSED
        """The state in which `try_acquire` was last answered, as people write it."""
        self.configure(failure_threshold, recovery_timeout, half_open_requests, rules=rules)
        self.store: BreakerStore = MemoryBreakerStore() if store is None else store
        self.store.begin(clock())
        self._numbers = self.store.numbers

    @property
    def state(self) -> State:
        return _STATES[self.store.word & STATE_OF]

    @property
    def since(self) -> float:
        """When the state was entered, on the breaker's clock."""
        return self.store.since

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self.store.failures

    @property
    def probes(self) -> int:
        """Probes inside."""
        return self.store.probes

    @property
    def outcomes(self) -> Sequence[Judged]:
        """What counts in the present state, oldest first."""
        return self.store.outcomes

    @property
    def moves(self) -> Sequence[Move]:
        """The newest changes of state, oldest first."""
        return self.store.moves

    @property
    def tally(self) -> Tally:
        """What is counted now. Only failures in a row, while `counts` is false."""
        return self.store.tally(self.clock())

    @property
    def idle(self) -> bool:
        """No attempt that it has admitted in this process runs."""
        return not self._given

    def configure(
        self,
        failure_threshold: int,
        recovery_timeout: float,
        half_open_requests: int,
        *,
        shadow: bool = False,
        rules: Rules = _NO_RULES,
    ) -> None:
        """Change the settings in place; state, counts and probes stay. A window of another length begins empty.

        ``failure_threshold`` 0: failures in a row do not open it.
        """
        self.shadow = shadow
        self.rules = rules
        self.counts = rules.counts
        """Whether it counts more than failures in a row, so that `release` needs to know more of a call."""
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.half_open_requests = half_open_requests

    def try_acquire(self) -> int:
        """A permit, to be given to `release`; or `REFUSED`."""
        word = self._numbers[WORD]  # CLOSED is 0; this runs for each request
        if word & STATE_OF:
            word = self._take_probe()
            self.asked = WORDS[self.store.word & STATE_OF]
            if not word:
                return REFUSED
        else:
            self.asked = _CLOSED
        self._last = permit = self._last + 1
        self._given[permit] = word
        return permit

    def release(
        self,
        permit: int,
        outcome: Outcome,
        seconds: float = 0.0,
        reason: str = "",
        status: int = 0,
        request_id: bytes = b"",
        caller: bytes = b"",
    ) -> None:
        """Report how the call ended that ``permit`` was given for; a second release of a permit changes nothing.

        ``seconds``: to the first byte of the response, 0.0: not known. ``caller``: who made the call, where
        `wants_caller`; of it a hash is kept. ``reason`` (code of the error, empty without one), ``status`` and
        ``request_id`` are for explanations.
        """
        store, numbers = self.store, self._numbers
        word = numbers[WORD]
        if self._given.pop(permit, 0) != word:
            return
        if word & STATE_OF:
            if outcome is _SUCCESS and self.rules.is_slow(seconds):
                outcome, reason = Outcome.FAILURE, _slow(seconds)
            self._keep(word, outcome, reason, status, request_id)
            self._settle(word, outcome)
        elif self.counts:
            if outcome is not Outcome.IGNORED:
                failed, slow = outcome is Outcome.FAILURE, self.rules.is_slow(seconds)
                if failed or slow or numbers[FAILURES]:
                    why = reason if failed or reason or not slow else _slow(seconds)
                    self._keep(word, outcome, why, status, request_id)
                self._count(word, Sample(self.clock(), failed, slow, _number_of(caller) if caller else 0))
        elif outcome is _SUCCESS:
            # In a circuit without a failure a success says nothing new.
            if numbers[FAILURES]:
                self._keep(word, outcome, reason, status, request_id)
                store.forgive(word)
        elif outcome is Outcome.FAILURE:
            self._keep(word, outcome, reason, status, request_id)
            failures = store.fail(word)
            if 0 < self.failure_threshold <= failures:
                self._move(word, Event.THRESHOLD, figures=Figures(failures, self.failure_threshold))

    def wants_caller(self, outcome: Outcome, seconds: float) -> bool:
        """Whether it matters who made a call that ended so, so that `release` needs it."""
        bad = outcome is Outcome.FAILURE or (outcome is _SUCCESS and self.rules.is_slow(seconds))
        return bad and self.rules.distinct_callers > 1

    def reset(self, by: str = "") -> None:
        """Close the circuit and forget every failure. ``by``: the operator who resets it."""
        while not self._move(self.store.word, Event.RESET, by):
            pass  # another process moved it in this very moment

    def force(self, state: State) -> None:
        """Enter ``state`` for a reason that this machine does not know: the one change that is not in the table."""
        while not self._enter(self.store.word, state, EXTERNAL):
            pass

    def move(self, store: BreakerStore) -> None:
        """Go on with ``store``, in the same state and with the same permits, as `Limiter.move` does."""
        if store is not self.store:
            store.take_over(self.store.hand_over())
            self.store = store
            self._numbers = store.numbers

    def retry_after(self) -> int:
        """Whole seconds until asking again makes sense, at least 1: what is left of the recovery time when open."""
        return max(1, math.ceil(self.until_probe()))

    def until_probe(self) -> float:
        """Seconds until an open breaker lets a probe through; 0.0 when it would now, or is not open."""
        store = self.store
        return max(0.0, self.recovery_timeout - (self.clock() - store.since)) if store.word & STATE_OF == OPEN else 0.0

    def _take_probe(self) -> int:
        """The word under which a request is admitted, as a probe; 0: it is not."""
        store = self.store
        word = store.word
        if word & STATE_OF == OPEN and self.clock() - store.since >= self.recovery_timeout:
            self._move(word, Event.RECOVERY)
            word = store.word
        if word & STATE_OF == HALF_OPEN:
            return word if store.take_probe(word, self.half_open_requests) else 0
        return word if word & STATE_OF == CLOSED else 0  # another process has closed it meanwhile

    def _count(self, word: int, sample: Sample) -> None:
        tally = self.store.count(word, self.rules.width, sample)
        found = None if tally is None else self.rules.verdict(tally, self.failure_threshold)
        if found is not None:
            cause, figures = found
            self._move(word, Event(cause), figures=figures)

    def _settle(self, word: int, outcome: Outcome) -> None:
        self.store.end_probe(word)
        if outcome is Outcome.FAILURE:
            self.store.fail(word)
        if outcome in _PROBED:
            self._move(word, _PROBED[outcome])

    def _keep(self, word: int, outcome: Outcome, reason: str, status: int, request_id: bytes) -> None:
        self.store.keep(word, Judged(self.clock(), outcome, reason, status, request_id))

    def _move(self, word: int, event: Event, by: str = "", figures: Figures | None = None) -> bool:
        after = self.recovery_timeout if event is Event.RECOVERY else 0.0
        return self._enter(word, TRANSITIONS[_STATES[word & STATE_OF]][event], event.value, by, after, figures)

    def _enter(
        self, word: int, new: State, cause: str, by: str = "", after: float = 0.0, figures: Figures | None = None
    ) -> bool:
        """False when another process has moved the breaker first, which has then said so."""
        old = _STATES[word & STATE_OF]
        if not self.store.enter(word, new.value, self.clock(), cause, by, after, figures):
            return False
        if new is not old and self.on_change is not None:
            try:
                self.on_change(old, new, cause)
            except Exception:
                # It is called in the middle of an exchange, which must not suffer for it.
                logger.exception("a listener of breaker %r failed", self.name)
        return True


def _slow(seconds: float) -> str:
    """Why a call without an error counts against its upstream."""
    return f"slow_call {seconds:.2f} s"


def _number_of(caller: bytes) -> int:
    """``caller`` as `Sample` has it, the same in each process. Who it is cannot be read from 62 bits of a hash."""
    return int.from_bytes(blake2b(caller, digest_size=8).digest(), "little") >> 2 | 1
