"""The watch finds the process to be replaced, asks for it, and says why."""

from __future__ import annotations

import os
from typing import cast

import pytest

from gateway.control.memory_watch import MemoryWatch, resident
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.fleet import Fleet
from gateway.workers.roster import Roster

MIB = 1 << 20


class Stage:
    """Two workers in a roster, and sizes that the test gives."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.now = 500.0
        self.sizes: dict[int, int] = {11: 40 * MIB, 12: 40 * MIB}
        self.following = {11, 12}
        self.roster = Roster(2, clock=lambda: self.now)
        self.roster.take(0, 11)
        self.roster.take(1, 12)
        self.workers = [Worker(place, place % 2, cast(WorkerClient, None)) for place in range(4)]
        self.watch = MemoryWatch(
            cast(Fleet, self),
            self.roster,
            lambda: self.bound,
            size=lambda pid: self.sizes[pid],
            clock=lambda: self.now,
            epoch=lambda: self.now,
        )

    def follows(self, worker: Worker) -> bool:
        return self.roster.pids().get(worker.place) in self.following

    def look(self, seconds: int = 10) -> None:
        for _ in range(seconds):
            self.watch.look()
            self.now += 1

    def wanted(self) -> list[int]:
        """The processes whose replacement is asked for."""
        return [pid for place, pid in self.roster.pids().items() if self.roster.unwanted(place, pid)]


def test_the_worker_that_stays_above_is_asked_for_and_named(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(100 * MIB)
    stage.look()
    assert stage.wanted() == []
    stage.sizes[12] = 150 * MIB
    stage.look()
    assert stage.wanted() == [12]
    (line,) = caplog.messages
    assert line == (
        "worker 1 is replaced: its memory, 150 MiB, stayed above worker_max_memory, 100 MiB, for 5 s; process 12 is "
        "0.2 min old; 5 s after it began to serve it had 40 MiB"
    )


def test_a_process_that_drains_is_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(100 * MIB)
    stage.sizes |= {12: 150 * MIB, 13: 40 * MIB}
    stage.now += 60
    stage.roster.take(3, 13)
    stage.look(100)
    assert stage.wanted() == [], "the new one does not serve yet, and the old one is being replaced"
    stage.following.add(13)
    stage.look(100)
    assert (stage.wanted(), caplog.messages) == ([], [])


def test_a_bound_that_is_too_small_is_an_error_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(30 * MIB)
    stage.sizes[11] = 20 * MIB
    stage.look(100)
    assert stage.wanted() == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.messages[0] == (
        "worker_max_memory is too small: a fresh process of worker 1 has 40 MiB, and the bound is 30 MiB; the worker "
        "is not replaced for its memory until the setting is changed: write at least twice the size of a fresh process"
    )
    assert [stage.watch.too_small(slot) for slot in (0, 1)] == [False, True]
    stage.bound = 0
    assert not stage.watch.too_small(1)


def test_without_a_bound_only_the_fresh_size_is_noted() -> None:
    stage = Stage(0)
    stage.look()
    stage.sizes[11] = 900 * MIB
    stage.look()
    assert stage.wanted() == []
    assert stage.watch.fresh(0) == 40 * MIB


def test_an_old_process_of_which_nothing_is_known_is_named_without_it(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(30 * MIB)
    stage.now += 3600
    stage.look()
    assert stage.wanted() == [11, 12]
    assert caplog.messages[0].endswith("process 11 is 60.1 min old")


def test_the_memory_of_a_process_is_the_kernels_figure() -> None:
    assert resident(os.getpid()) > 10 * MIB
    assert resident(1 << 22) == 0, "beyond the largest id"


def test_a_bound_that_changes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway")
    stage = Stage(0)
    stage.look()
    stage.bound = 100 * MIB
    stage.look()
    stage.bound = 0
    stage.look()
    assert caplog.messages == ["worker_max_memory is 100 MiB from now on", "worker_max_memory is off from now on"]
