"""A worker is replaced only by one that serves; whatever else happens, the old one stays."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.workers import rolling as module
from gateway.workers.child import Child
from gateway.workers.rolling import Rolling

WAITS = "import signal; signal.pthread_sigmask(signal.SIG_SETMASK, ()); signal.pause()"


def worker(code: str = WAITS, name: str = "worker") -> Child:
    return Child(name, [sys.executable, "-c", code], serves=True)


class Stage:
    """The list of a supervisor, without one: the test reports what ends."""

    def __init__(self, *successors: Child) -> None:
        self.old = worker()
        self.old.start()
        self.new = successors[-1]
        self.successors = iter(successors)
        self.sharing: list[Child] = []
        self.children = [self.old]
        self.shares = asyncio.Event()
        self.shares.set()
        self.over = 0
        self.rolling = Rolling(self.children, lambda _: next(self.successors), self.share, self.end)

    async def share(self, child: Child) -> None:
        self.sharing.append(child)
        await self.shares.wait()

    def end(self) -> None:
        assert not self.rolling.running
        self.over += 1

    async def report_end(self, child: Child) -> None:
        assert child.process is not None
        await asyncio.to_thread(child.process.wait)
        code = child.ended()
        self.rolling.ended(child, f"exit code {code}")

    async def aclose(self) -> None:
        await self.rolling.aclose()
        for child in (self.old, self.new):
            if child.process is not None:
                child.process.kill()
                child.process.wait()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(worker())
    yield made
    await made.aclose()


async def test_the_old_one_leaves_when_the_new_one_listens(stage: Stage) -> None:
    stage.rolling.begin()
    await eventually(lambda: stage.new.process is not None, "the start")
    assert stage.rolling.starts(stage.new)
    assert not stage.old.leaving
    stage.new.listens.set()
    await eventually(lambda: stage.old.leaving, "its leave")
    await stage.report_end(stage.old)
    assert stage.children == [stage.new]
    assert not stage.rolling.starts(stage.new)
    assert stage.over == 1


async def test_the_new_one_is_started_when_the_old_one_shares_its_limits(stage: Stage) -> None:
    stage.shares.clear()
    stage.rolling.begin()
    await eventually(lambda: stage.new in stage.children, "the beginning")
    await asyncio.sleep(0)
    assert stage.new.process is None
    stage.shares.set()
    await eventually(lambda: stage.new.process is not None, "the start")


async def test_an_old_one_that_does_not_share_serves_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    stage.shares.clear()
    stage.rolling.begin()
    await eventually(lambda: stage.over, "the end of the restart")
    assert "the old worker did not share its limits within 0.05 seconds" in caplog.text
    assert (stage.children, stage.new.process, stage.old.leaving) == ([stage.old], None, False)


async def test_one_that_dies_before_it_serves_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(worker("raise SystemExit(3)"))
    stage.rolling.begin()
    await eventually(lambda: stage.new.process is not None, "the start")
    await stage.report_end(stage.new)
    await eventually(lambda: stage.children == [stage.old], "the end of the restart")
    assert not stage.old.leaving
    assert "the new worker ended (exit code 3) before it served" in caplog.text
    assert "the restart ends here: the old worker serves on" in caplog.text
    await stage.aclose()


async def test_one_that_does_not_come_to_serve_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    stage.rolling.begin()
    await eventually(lambda: stage.new.leaving, "its end", 10)
    assert "the new worker did not serve within 0.05 seconds" in caplog.text
    await stage.report_end(stage.new)
    assert stage.children == [stage.old]
    assert not stage.old.leaving


async def test_one_that_cannot_be_started_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(Child("worker", [str(tmp_path / "no python")], serves=True))
    stage.rolling.begin()
    await eventually(lambda: "cannot be started" in caplog.text, "the failure")
    await eventually(lambda: stage.children == [stage.old], "the end of the restart")
    await stage.aclose()


async def test_restarts_during_one_are_one_more_after_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    made = [worker(name="first"), worker(name="second")]
    stage = Stage(*made)
    stage.rolling.begin()
    stage.rolling.begin()
    stage.rolling.begin()
    await eventually(lambda: made[0].process is not None, "the start of the first")
    made[0].listens.set()
    await eventually(lambda: stage.old.leaving, "the leave of the old one")
    assert made[1].process is None, "an old one still drains"
    await stage.report_end(stage.old)
    await eventually(lambda: made[1].process is not None, "the start of the second")
    made[1].listens.set()
    await eventually(lambda: made[0].leaving, "the leave of the first")
    await stage.report_end(made[0])
    assert stage.children == [made[1]]
    begun = [message for message in caplog.messages if message.startswith("restart of")]
    assert begun == ["restart of worker", "restart of first"]
    assert stage.sharing == [stage.old, made[0]]
    await stage.aclose()


async def test_one_worker_is_replaced_and_no_other(stage: Stage) -> None:
    other = worker(name="other")
    stage.children.append(other)
    assert stage.rolling.recycle([stage.old])
    assert not stage.rolling.recycle([other]), "one replacement at a time"
    await eventually(lambda: stage.new.process is not None, "the start")
    stage.new.listens.set()
    await eventually(lambda: stage.old.leaving, "its leave")
    assert not stage.rolling.recycle([other]), "nor while an old one drains"
    await stage.report_end(stage.old)
    assert stage.children == [stage.new, other]
    assert not stage.rolling.recycle([stage.old]), "it is gone"
    assert not other.leaving


async def test_nothing_is_replaced_where_nothing_can_take_over(stage: Stage) -> None:
    alone = Rolling(stage.children, None, stage.share, stage.end)
    assert not alone.recycle([stage.old])
    alone.begin()
    assert stage.children == [stage.old]


async def test_a_gateway_that_stops_replaces_nothing(stage: Stage) -> None:
    stage.rolling.begin()
    await eventually(lambda: stage.new.process is not None, "the start")
    stage.rolling.stop()
    await eventually(lambda: not stage.rolling.starts(stage.new), "the end of the restart")
    assert not stage.old.leaving
    stage.rolling.begin()
    assert not stage.rolling.starts(stage.new)
