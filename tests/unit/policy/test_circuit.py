from __future__ import annotations

from collections.abc import Callable

import pybreaker
import pytest
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.circuit import Circuit
from gateway.policy.machine import REFUSED

RECOVERY = 30.0
CLOSED, OPEN, HALF_OPEN = State


class Publisher(pybreaker.CircuitBreakerListener):
    """A listener as another program would write it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str, int, int, float]] = []

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        old = old_state.name if old_state else None
        self.seen.append((old, new_state.name, cb.fail_counter, cb.fail_max, cb.reset_timeout))


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(2, RECOVERY, name="sidecar", clock=self.clock)
        self.changes: list[tuple[State, State, str]] = []
        self.circuit = Circuit(self.breaker, lambda *change: self.changes.append(change))
        self.breaker.on_change = self.circuit.publish
        self.publisher = Publisher()
        self.circuit.pybreaker.add_listener(self.publisher)

    def fail(self) -> None:
        self.breaker.release(self.breaker.try_acquire(), Outcome.FAILURE)


def test_the_words_of_the_states_are_those_of_pybreaker() -> None:
    words = [pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN]
    assert [state.word for state in State] == words


def test_every_change_is_published_once_with_its_cause() -> None:
    scene = Scene()
    scene.fail()
    scene.fail()
    scene.breaker.configure(3, 10.0, 1)
    scene.clock.now += 10.0
    scene.breaker.release(scene.breaker.try_acquire(), Outcome.SUCCESS)
    assert scene.changes == [
        (CLOSED, OPEN, "failure_threshold"),
        (OPEN, HALF_OPEN, "recovery_timeout"),
        (HALF_OPEN, CLOSED, "probe_succeeded"),
    ]
    assert scene.publisher.seen == [
        ("closed", "open", 2, 2, RECOVERY),
        ("open", "half-open", 2, 3, 10.0),
        ("half-open", "closed", 0, 3, 10.0),
    ]


def test_a_reset_that_changes_no_state_is_not_published() -> None:
    scene = Scene()
    scene.breaker.reset()
    assert (scene.changes, scene.publisher.seen) == ([], [])


def test_pybreaker_reads_the_numbers_of_the_machine() -> None:
    scene = Scene()
    circuit = scene.circuit.pybreaker
    assert (circuit.name, circuit.current_state, circuit.fail_counter) == ("sidecar", "closed", 0)
    scene.fail()
    assert (circuit.current_state, circuit.fail_counter) == ("closed", 1)
    scene.fail()
    assert (circuit.current_state, circuit.state.name, circuit.fail_counter) == ("open", "open", 2)


@pytest.mark.parametrize(
    ("command", "state"),
    [(pybreaker.CircuitBreaker.open, OPEN), (pybreaker.CircuitBreaker.half_open, HALF_OPEN)],
)
def test_a_state_that_is_set_on_pybreaker_is_forced_on_the_machine(
    command: Callable[[pybreaker.CircuitBreaker], object], state: State
) -> None:
    scene = Scene()
    command(scene.circuit.pybreaker)
    assert (scene.breaker.state, scene.breaker.since) == (state, 1000.0)
    assert [(move.new, move.cause) for move in scene.breaker.moves] == [(state, "external")]
    assert scene.changes == [(CLOSED, state, "external")]
    scene.breaker.reset()
    scene.circuit.pybreaker.open()
    assert [cause for _, _, cause in scene.changes] == ["external", "reset", "external"]
    assert scene.breaker.try_acquire() == REFUSED


def test_a_cause_is_not_kept_when_a_listener_raises() -> None:
    scene = Scene()
    causes: list[str] = []

    def broken(old: State, new: State, cause: str) -> None:
        causes.append(cause)
        if len(causes) == 1:
            raise ValueError("a defect")

    circuit = Circuit(scene.breaker, broken)
    scene.breaker.on_change = circuit.publish
    scene.fail()
    scene.fail()
    circuit.pybreaker.half_open()
    assert causes == ["failure_threshold", "external"]


def test_changes_of_another_process_lead_to_ours() -> None:
    scene = Scene()
    elsewhere = Breaker(2, RECOVERY, clock=scene.clock, store=scene.breaker.store)
    for _ in range(2):
        elsewhere.release(elsewhere.try_acquire(), Outcome.FAILURE)
    scene.clock.now += RECOVERY
    assert scene.breaker.try_acquire() != REFUSED
    assert scene.changes == [(OPEN, HALF_OPEN, "recovery_timeout")], "the process that opened it has said so"
    assert [(old, new) for old, new, *_ in scene.publisher.seen] == [("closed", "open"), ("open", "half-open")]


def test_a_first_state_is_no_change() -> None:
    """pybreaker also calls its listeners for the state that a circuit begins with, which follows no other."""
    scene = Scene()
    (ours, *_) = scene.circuit.pybreaker.listeners
    ours.state_change(scene.circuit.pybreaker, None, scene.circuit.pybreaker.state)
    assert scene.changes == []
