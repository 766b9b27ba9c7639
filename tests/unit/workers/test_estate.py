from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.page.layout import HELD, QUARANTINE
from gateway.page.page import Page
from gateway.policy.store import TAKEN
from gateway.workers import estate as module
from gateway.workers.child import Child
from gateway.workers.estate import Estate


def child_of(pid: int, *, silent: bool) -> Child:
    return cast(Child, SimpleNamespace(process=SimpleNamespace(pid=pid), silent=silent))


async def test_permits_of_the_dead_come_back_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    timers = list[float]()
    loop = asyncio.get_running_loop()
    plain = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, do: (timers.append(delay), plain(0.0, do)))
    with Estate(2) as estate:
        descriptor, *bells = estate.descriptors
        one, two = (Page(descriptor, place, bells).permits("ai") for place in range(2))
        one.resize(2)
        assert one.take() > 0
        assert two.join() == TAKEN
        estate.bury(0)
        assert (two.in_flight, two.slab.cells[HELD + QUARANTINE], timers) == (2, 1, [module.QUARANTINE_SECONDS])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (two.in_flight, two.held) == (1, 1)


def test_a_worker_that_was_stopped_with_a_lock_is_found_at_the_second_look() -> None:
    with Estate(2) as estate:
        descriptor, *bells = estate.descriptors
        store = Page(descriptor, 0, bells).permits("ai")
        stopped = os.fork()
        if not stopped:
            store.slab.enter()
            os.kill(os.getpid(), signal.SIGSTOP)
        os.waitpid(stopped, os.WUNTRACED)
        found = list[Child]()
        busy, silent, gone = child_of(stopped, silent=False), child_of(stopped, silent=True), child_of(1, silent=True)
        away = cast(Child, SimpleNamespace(process=None, silent=True))
        estate.look([silent], found.append)
        assert not found, "it may have been on its way out"
        estate.look([busy, gone, away], found.append)
        assert not found, "one that beats goes on"
        estate.look([busy, gone, silent], found.append)
        assert found == [silent]
        os.kill(stopped, signal.SIGKILL)
        os.waitpid(stopped, 0)
        estate.look([silent], found.append)
        store.resize(1)
        estate.look([silent], found.append)
        assert len(found) <= 2, "the next holder has repaired it"
        found.clear()
        estate.look([silent], found.append)
        assert not found
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_it_is_settled_when_no_permits_wait_and_the_next_program_sees_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers = list[Callable[[], None]]()
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda delay, do: timers.append(do))
    with Estate(2) as estate:
        descriptor, *bells = estate.descriptors
        held = Page(descriptor, 0, bells).permits("ai")
        held.resize(1)
        assert held.take() > 0
        assert estate.settled
        estate.bury(0)
        assert not estate.settled
        timers.pop()()
        assert estate.settled
        adopted = Estate(2, estate.descriptors)
        assert adopted.descriptors == estate.descriptors
        again = Page(descriptor, 1, bells).permits("ai")
        assert again.take() > 0
        adopted.bury(1)
        timers.pop()()
        assert again.in_flight == 0
