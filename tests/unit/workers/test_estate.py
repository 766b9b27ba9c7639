from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from unit.machines import turns

from gateway.page.layout import HELD, ORDER, QUARANTINE
from gateway.page.lone import LoneStores
from gateway.page.page import Page
from gateway.page.permits import PagePermitStore
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
        freed = list[int]()
        estate.bury(0, lambda: freed.append(two.in_flight))
        assert (two.in_flight, two.slab.cells[HELD + QUARANTINE], timers) == (2, 1, [module.QUARANTINE_SECONDS])
        assert not freed
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (two.in_flight, two.held, freed) == (1, 1, [1])


class Worker:
    """The only worker, at ``place``. It obeys when its doorbell rings, which is here when the test says so."""

    def __init__(self, estate: Estate, place: int) -> None:
        descriptor, *bells = estate.descriptors
        self.page = Page(descriptor, place, bells)
        self.stores = LoneStores(self.page)

    @property
    def shares(self) -> bool:
        return isinstance(self.stores.permits("ai"), PagePermitStore)

    def obey(self) -> None:
        self.stores.obey(lambda: None)


async def test_the_only_worker_shares_while_another_takes_over() -> None:
    with Estate(2, lone=True) as estate:
        old = Worker(estate, 0)
        assert not old.shares
        sharing = asyncio.ensure_future(estate.share(0))
        await turns()
        assert not sharing.done(), "it has not obeyed"
        old.obey()
        await asyncio.wait_for(sharing, 5)
        new = Worker(estate, 1)
        assert (old.shares, new.shares) == (True, True)
        estate.part()
        new.obey()
        assert not new.shares
        before = new.page.cells[ORDER]
        estate.part()
        assert new.page.cells[ORDER] == before, "it is alone"


async def test_a_worker_that_starts_again_finds_the_order_and_the_dead_has_obeyed_none() -> None:
    with Estate(2, lone=True) as estate:
        Worker(estate, 0)
        sharing = asyncio.ensure_future(estate.share(0))
        await turns()
        estate.bury(0)
        assert not sharing.done()
        assert Worker(estate, 0).shares
        await asyncio.wait_for(sharing, 5)


async def test_permits_in_quarantine_are_freed_before_a_worker_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUARANTINE_SECONDS", 0.0)
    with Estate(2, lone=True) as estate:
        worker = Worker(estate, 0)
        sharing = asyncio.ensure_future(estate.share(0))
        await turns()
        worker.obey()
        await asyncio.wait_for(sharing, 5)
        freed = asyncio.Event()
        estate.bury(1, freed.set)
        order = worker.page.cells[ORDER]
        estate.part()
        assert worker.page.cells[ORDER] == order, "not yet"
        await asyncio.wait_for(freed.wait(), 5)
        estate.part()
        assert worker.page.cells[ORDER] == order + 1


async def test_several_workers_share_anyway() -> None:
    with Estate(4) as estate:
        descriptor, *bells = estate.descriptors
        page = Page(descriptor, 0, bells)
        await estate.share(0)
        estate.part()
        assert page.cells[ORDER] == 0


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
