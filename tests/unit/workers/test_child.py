"""How long the supervisor waits before it starts a child again, and what it notices of its end."""

from __future__ import annotations

import sys

from gateway.workers.child import Backoff, Child
from gateway.workers.sockets import OwnedSockets


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


async def test_each_process_gets_a_new_line_to_the_sockets() -> None:
    code = "import os, stat, sys; sys.exit(3 if stat.S_ISSOCK(os.fstat(int(sys.argv[1])).st_mode) else 4)"
    sockets = OwnedSockets()
    child = Child("x", [sys.executable, "-c", code], sockets=sockets)
    for _ in range(2):
        child.start()
        assert child.process is not None
        child.process.wait()
        assert child.ended() == 3
    await sockets.aclose()
