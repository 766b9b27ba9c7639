"""How long the supervisor waits before it starts a child again, and what it notices of its end."""

from __future__ import annotations

import sys

from gateway.workers.child import Backoff, Child
from gateway.workers.roster import Roster
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


def test_a_crash_loop_is_more_than_a_crash_and_ends_when_a_process_lasts() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for death in range(1, 5):
        backoff.started()
        backoff.pause()
        assert backoff.looping == (death == 4)
    backoff.started()
    assert not backoff.settle()
    clock.now += 10.0
    assert backoff.settle()
    assert not backoff.looping
    assert not backoff.settle(), "it is reported once"
    assert backoff.pause() == 0.0


def test_a_process_that_lasted_ends_no_crash_loop_of_its_own() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(9):
        backoff.started()
        clock.now += 10.0
        backoff.pause()
        assert not backoff.looping


def test_the_roster_shows_the_process_and_its_crash_loop() -> None:
    roster = Roster(2)
    child = Child("worker 1", ["false"], serves=True, place=3, roster=roster)
    for death in range(1, 5):
        child.start()
        assert child.process is not None
        assert roster.pids() == {3: child.process.pid}
        child.process.wait()
        assert child.ended() == 1
        assert roster.pids() == {}
        child.pause()
        assert (child.crash_loop, roster.looping(1)) == ((4, True) if death == 4 else (0, False))
    assert roster.starts(1) == 4
    assert not child.settled(), "none runs"


def test_a_process_that_is_not_wanted_any_more_is_known_until_its_replacement_began() -> None:
    roster = Roster(2)
    child = Child("worker 1", ["sleep", "60"], serves=True, place=3, roster=roster)
    assert not child.unwanted, "none runs"
    child.start()
    assert child.process is not None
    assert not child.unwanted
    roster.ask_to_recycle(3, child.process.pid)
    assert child.unwanted
    child.leaving = True
    assert not child.unwanted, "it is being replaced"
    child.leaving = False
    child.note_recycled()
    assert (child.unwanted, roster.recycled(1)) == (False, 1)
    child.kill()
    child.process.wait()


def test_a_process_without_a_roster_is_wanted() -> None:
    child = Child("control process", ["true"])
    child.start()
    assert not child.unwanted
    child.note_recycled()
    assert child.process is not None
    child.process.wait()
