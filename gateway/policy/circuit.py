"""A breaker as pybreaker sees it: its numbers as pybreaker's storage, its changes for pybreaker's listeners.

The machine decides alone, because pybreaker's call path takes a cancelled call for a success or a failure, admits every
probe at once, and runs on the wall clock; no call goes through it. What pybreaker does is publish: its circuit compares
the state in its storage with the one that it published last, and calls every listener when they differ. So a listener
that was written for pybreaker works on a breaker of the gateway, and code that knows pybreaker can read and set one.
"""

from __future__ import annotations

from collections.abc import Callable

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerListener, CircuitBreakerState, CircuitMemoryStorage

from gateway.policy.breaker import EXTERNAL, Breaker, OnChange
from gateway.policy.breaker_store import WORDS, State


class Circuit:
    """Publishes the changes of ``breaker`` to the listeners of ``pybreaker``, the first of which is ``on_change``.

    `publish` is to be the ``on_change`` of ``breaker``. A state that is set on ``pybreaker`` is forced on ``breaker``.
    """

    __slots__ = ("_breaker", "_cause", "_numbers", "_on_change", "_published", "pybreaker")

    def __init__(self, breaker: Breaker, on_change: OnChange) -> None:
        self._breaker = breaker
        self._on_change = on_change
        self._cause = EXTERNAL
        self._numbers = _Numbers(breaker)
        self._published = State.CLOSED
        self.pybreaker = CircuitBreaker(
            state_storage=self._numbers, name=breaker.name, listeners=[_Listener(self._changed)]
        )

    def publish(self, old: State, new: State, cause: str) -> None:
        """Let pybreaker compare: it finds the change from ``old`` to ``new`` itself."""
        circuit = self.pybreaker
        circuit.fail_max, circuit.reset_timeout = self._breaker.failure_threshold, self._breaker.recovery_timeout
        try:
            if cause != EXTERNAL and self._published is not old:
                # Several processes share the breaker, and each publishes its own changes: those of others led to
                # ``old``. Only listeners of pybreaker get that change, and late.
                self._numbers.shown, self._cause = old.word, ""
                _ = circuit.state
                self._numbers.shown = ""
            self._cause = cause
            _ = circuit.state  # Not a plain read: this is where pybreaker compares.
        finally:
            self._cause = EXTERNAL

    def _changed(self, old: State, new: State) -> None:
        self._published = new
        if self._cause:
            self._on_change(old, new, self._cause)


class _Numbers(CircuitMemoryStorage):
    """pybreaker's storage over a breaker. Its own memory keeps what the machine has no use for, as the wall clock."""

    def __init__(self, breaker: Breaker) -> None:
        super().__init__(STATE_CLOSED)
        self._breaker = breaker
        self.shown = ""
        """The state to be seen instead of that of the breaker; empty: none."""

    @property
    def state(self) -> str:
        return self.shown or self._breaker.state.word

    @state.setter
    def state(self, state: str) -> None:
        self._breaker.force(State(WORDS.index(state)))

    @property
    def counter(self) -> int:
        return self._breaker.store.failures


class _Listener(CircuitBreakerListener):
    def __init__(self, changed: Callable[[State, State], None]) -> None:
        self._changed = changed

    def state_change(
        self, cb: CircuitBreaker, old_state: CircuitBreakerState | None, new_state: CircuitBreakerState
    ) -> None:
        if old_state is not None:
            self._changed(State(WORDS.index(old_state.name)), State(WORDS.index(new_state.name)))
