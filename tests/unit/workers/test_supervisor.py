"""How long the supervisor waits before it starts a child again, where its socket is, and how it begins."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.workers.supervisor import Backoff, Child, private_folder


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


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_enters_the_folder_of_the_channel(mask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    before = os.umask(mask)
    try:
        made = private_folder()
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    finally:
        made.rmdir()


def test_a_folder_that_is_too_long_for_a_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    made = private_folder()
    try:
        assert made.parent != long
        assert len(os.fsencode(made)) < 100
    finally:
        made.rmdir()


def test_a_supervisor_that_the_system_refuses_is_a_failure_with_a_reason() -> None:
    # As a process: the log of the caller ends with the attempt.
    code = "from gateway.workers import supervisor as s; s._PYTHON = ('/no/python',); raise SystemExit(s.become('{}'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (1, "can not start: [Errno 2] No such file or directory\n")
