"""How long the supervisor waits before it starts a child again, and what it notices of its end."""

from __future__ import annotations

from gateway.workers.child import Backoff, Child


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_dies_at_once_waits_longer_and_longer() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    pauses = []
    for _ in range(9):
        backoff.started()
        pauses.append(backoff.pause())
    assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_who_ran_for_a_while_is_started_at_once() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(5):
        backoff.pause()
    backoff.started()
    clock.now += 10.0
    assert backoff.pause() == 0.0


def test_an_end_is_told_once() -> None:
    child = Child("x", ["false"], [])
    assert child.ended() is None
    child.start()
    assert child.process is not None
    child.process.wait()
    assert child.ended() == 1
    assert child.ended() is None
    child.signal(15)
