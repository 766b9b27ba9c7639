from __future__ import annotations

import asyncio
import os
import signal

import pytest
from unit.page.stage import page_stage

from gateway.page import page as module
from gateway.page.layout import FILE_LOCKS, VERSION
from gateway.page.mutex import FileLock
from gateway.page.page import Page, PageFullError, create
from gateway.policy.limiter import Limiter
from gateway.policy.store import MemoryPermitStore


def test_a_name_is_one_limiter_in_every_process() -> None:
    with page_stage() as stage:
        one, other = stage.pages[0].permits("ai"), stage.pages[1].permits("ai")
        one.resize(3)
        assert other.limit == 3
        assert stage.pages[1].permits("other").limit == 0
        assert stage.pages[0].permits("ai") is one
        assert stage.pages[0].breaker("ai", "http://a").slab.cells is not one.slab.cells


def test_a_breaker_is_that_of_its_origin() -> None:
    with page_stage() as stage:
        one = stage.pages[0].breaker("ai", "http://a")
        one.begin(1.0)
        assert stage.pages[1].breaker("ai", "http://a").word == one.word
        assert stage.pages[1].breaker("ai", "http://b").word == 0


def test_a_page_of_another_version_is_refused() -> None:
    with page_stage() as stage:
        stage.supervisor.check()
        stage.supervisor.cells[VERSION] = 99
        with pytest.raises(ValueError, match="another version"):
            stage.pages[0].check()


def test_a_slab_that_no_process_uses_is_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLABS", 2)
    with page_stage() as stage:
        one, two, _ = stage.pages
        first, again = one.permits("first"), two.permits("first")
        second = one.permits("second")
        first.resize(5)
        with pytest.raises(PageFullError, match="2 limits and breakers"):
            one.permits("third")
        one.forget(first)
        with pytest.raises(PageFullError):
            one.permits("third")
        two.forget(again)
        third = one.permits("third")
        assert (third.limit, third.take(), second.limit) == (0, -1, 0), "a new one"


def test_only_what_a_process_uses_can_be_forgotten() -> None:
    with page_stage() as stage:
        one, two, _ = stage.pages
        store, breaker = one.permits("ai"), one.breaker("ai", "http://a")
        for stranger in (MemoryPermitStore(), two.permits("ai"), two.breaker("ai", "http://a")):
            one.forget(stranger)
        assert (one.permits("ai"), one.breaker("ai", "http://a")) == (store, breaker)
        census = one.census("ai")
        one.forget(store)
        one.forget(store)
        assert one.permits("ai") is not store
        assert one.census("ai") is not census


def test_a_breaker_that_no_process_uses_gives_its_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLABS", 1)
    with page_stage() as stage:
        one, two, _ = stage.pages
        first, again = one.breaker("ai", "http://a"), two.breaker("ai", "http://a")
        first.begin(1.0)
        for page, store in ((one, first), (two, again)):
            with pytest.raises(PageFullError):
                one.breaker("ai", "http://b")
            page.forget(store)
        other = one.breaker("ai", "http://b")
        assert (other.word, two.breaker("ai", "http://b").word) == (0, 0), "a new one"
        other.begin(2.0)
        with pytest.raises(PageFullError):
            two.breaker("ai", "http://a")
        assert two.breaker("ai", "http://b").since == 2.0


def test_a_slab_of_the_dead_may_be_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLABS", 1)
    with page_stage() as stage:
        store = stage.pages[0].permits("first")
        store.resize(1)
        assert store.take() == 1
        exhume = stage.supervisor.bury(0)
        with pytest.raises(PageFullError):
            stage.pages[1].permits("second")
        exhume()
        assert stage.pages[1].permits("second").limit == 0


async def test_a_bell_wakes_a_waiter_of_another_process() -> None:
    with page_stage() as stage:
        one, two = stage.pages[:2]
        one.listen(asyncio.get_running_loop())
        here = Limiter(1, 9, store=one.permits("ai"))
        there = Limiter(1, 9, store=two.permits("ai"))
        permit = there.try_acquire()
        waiting = asyncio.create_task(here.acquire(5.0))
        await asyncio.sleep(0)
        there.release(permit)
        assert await waiting != -1
        one._rung()  # a bell that was heard already
        one.close()
        one.close()


def test_a_process_that_was_stopped_with_a_lock_is_found() -> None:
    with page_stage() as stage:
        store = stage.pages[0].permits("ai")
        assert stage.supervisor.holders() == {}
        child = os.fork()
        if not child:
            store.slab.enter()
            os.kill(os.getpid(), signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        assert list(stage.supervisor.holders().values()) == [child]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        store.resize(1)
        assert (store.take(), store.slab.recovered) == (1, 1)


def test_a_maker_of_a_slab_that_died_leaves_the_directory_whole() -> None:
    with page_stage() as stage:
        child = os.fork()
        if not child:
            stage.pages[0]._directory.enter()
            os._exit(0)
        os.waitpid(child, 0)
        assert stage.pages[1].permits("ai").limit == 0
        assert stage.pages[1]._directory.recovered == 1


def test_where_a_mutex_is_not_given_back_files_are_locked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "robust", lambda: False)
    descriptor = create()
    assert "file locks" in caplog.text
    page = Page(descriptor, 0, [])
    assert page.cells[FILE_LOCKS]
    store = page.permits("ai")
    assert isinstance(store.slab._lock, FileLock)
    store.resize(1)
    assert [store.take(), store.take()] == [1, -1]
    store.give_back()
    assert store.take() == 3
    os.close(descriptor)
