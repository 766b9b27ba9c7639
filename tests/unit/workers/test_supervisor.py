"""Any number of children: each is started again, and the last worker that drains ends the gateway."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.workers.child import Child
from gateway.workers.estate import Estate
from gateway.workers.inherited import Inherited
from gateway.workers.supervisor import Supervisor
from gateway.workers.takeover import Takeover

WORKER = """
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, ())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
pathlib.Path(sys.argv[1]).write_text("runs")
while True:
    signal.pause()
"""


def on_asyncio(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run ``test`` on the event loop of a supervisor: uvloop keeps SIGCHLD to itself."""

    @functools.wraps(test)
    def run(*arguments: object, **named: object) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(test(*arguments, **named))

    return run


def worker(place: Path, code: int = 0) -> Child:
    return Child("worker", [sys.executable, "-c", WORKER, str(place), str(code)], serves=True)


class WatchedEstate(Estate):
    """One whose only worker obeys at once."""

    def __init__(self) -> None:
        super().__init__(2, lone=True)
        self.calls = list[str]()
        self.freed = list[Callable[[], object]]()

    async def share(self, place: int) -> None:
        self.calls.append(f"share {place}")

    def bury(self, place: int, then: Callable[[], object] = lambda: None) -> None:
        self.calls.append(f"bury {place}")
        self.freed.append(then)

    def part(self) -> None:
        self.calls.append("part")


@asynccontextmanager
async def supervised(
    *entries: Child, successor: Callable[[Child], Child] | None = None, estate: Estate | None = None
) -> AsyncIterator[asyncio.Task[int]]:
    with Inherited() as inherited:
        supervisor = Supervisor(entries, inherited.ready, successor=successor, estate=estate)
        task = asyncio.ensure_future(supervisor.run())
        try:
            yield task
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait({task})


@on_asyncio
async def test_all_workers_drain_and_the_worst_code_is_the_gateways(tmp_path: Path) -> None:
    places = [tmp_path / name for name in "abc"]
    entries = [worker(place, code) for place, code in zip(places, (0, 3, 1), strict=True)]
    async with supervised(*entries) as running:
        await eventually(lambda: all(place.exists() for place in places), "three workers", 20)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(running, 20) == 3
    assert all(entry.process is None for entry in entries)


@on_asyncio
async def test_the_only_worker_shares_its_limits_until_the_one_before_is_gone(tmp_path: Path) -> None:
    old, new = worker(tmp_path / "old"), worker(tmp_path / "new")
    new.place = 1
    with WatchedEstate() as estate:
        async with supervised(old, successor=lambda _: new, estate=estate):
            await eventually((tmp_path / "old").exists, "the worker", 20)
            os.kill(os.getpid(), signal.SIGUSR2)
            await eventually((tmp_path / "new").exists, "the new one", 20)
            assert estate.calls == ["share 0"]
            new.listens.set()
            await eventually(lambda: "bury 0" in estate.calls, "its end", 20)
            assert estate.calls == ["share 0", "bury 0"], "the permits of the old one are in quarantine"
            estate.freed[0]()
            assert estate.calls[2:] == ["part"]


@on_asyncio
async def test_a_restart_that_comes_to_nothing_leaves_the_old_one_alone(tmp_path: Path) -> None:
    old, new = worker(tmp_path / "old"), Child("worker", [str(tmp_path / "no python")], serves=True)
    with WatchedEstate() as estate:
        async with supervised(old, successor=lambda _: new, estate=estate):
            await eventually((tmp_path / "old").exists, "the worker", 20)
            os.kill(os.getpid(), signal.SIGUSR2)
            await eventually(lambda: "part" in estate.calls, "the end of the restart", 20)
            assert estate.calls == ["share 0", "part"]


@on_asyncio
async def test_each_that_dies_is_started_again_and_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = [tmp_path / name for name in "ab"]
    entries = [worker(place) for place in places]
    async with supervised(*entries) as running:
        await eventually(lambda: all(place.exists() for place in places), "two workers", 20)
        first, second = (entry.process for entry in entries)
        places[0].unlink()
        entries[0].signal(signal.SIGKILL)
        await eventually(places[0].exists, "another worker", 20)
        assert entries[0].process is not first
        assert entries[1].process is second
        assert caplog.messages == ["the worker ended (signal SIGKILL); it is started again in 0 s"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(running, 20) == 0


@on_asyncio
async def test_a_first_start_that_fails_is_the_end(tmp_path: Path) -> None:
    control = Child("control process", [sys.executable, "-c", "raise SystemExit(2)"])
    async with supervised(worker(tmp_path / "a"), control) as running:
        assert await asyncio.wait_for(running, 20) == 2


@on_asyncio
async def test_a_child_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "gateway")
    place = tmp_path / "a"
    entry = worker(place)
    async with supervised(entry):
        await eventually(place.exists, "a worker", 20)
        good, entry.command = entry.command, ["/no/python"]
        place.unlink()
        entry.signal(signal.SIGKILL)
        await eventually(lambda: "cannot be started" in caplog.text, "a failure", 20)
        entry.command = good
        await eventually(place.exists, "another worker", 20)


def test_a_supervisor_that_the_system_refuses_is_a_failure_with_a_reason() -> None:
    # As a process: the log of the caller ends with the attempt.
    code = "from gateway.workers import supervisor as s; s.launch.PYTHON = ('/no/python',); exit(s.become('{}'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (1, "cannot start: [Errno 2] No such file or directory\n")


@on_asyncio
async def test_no_process_is_handed_over_whose_exit_code_was_taken() -> None:
    """A signal to a process that has just ended takes its code: the next program could not adopt it."""
    handed = list[list[bool]]()

    class Next(Takeover):
        def __init__(self) -> None:
            self.orders = [True]

        def ordered(self) -> bool:
            return bool(self.orders) and self.orders.pop()

        def begin(self, children: Sequence[Child]) -> None:
            handed.append([child.process is not None and child.process.poll() is None for child in children])

    child = Child("worker", [sys.executable, "-c", "import time; time.sleep(60)"], serves=True)
    with Inherited() as inherited:
        made = Supervisor([child], inherited.ready, takeover=Next())
        made._over = asyncio.get_running_loop().create_future()
        child.start()
        assert child.process is not None
        ended = child.process
        ended.send_signal(signal.SIGKILL)
        await asyncio.to_thread(ended.wait)
        made._consider_upgrade(Next())
        assert handed == [[False]], "it waits for its next start, and is no process to adopt"
        assert child.process is None
        await eventually(lambda: child.process is not None, "the next start")
        child.kill()
        await asyncio.to_thread(child.process.wait)
