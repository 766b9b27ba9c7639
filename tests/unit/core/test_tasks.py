from __future__ import annotations

import asyncio
import gc

import pytest

from gateway.core.tasks import Tasks, in_turns


async def test_a_task_runs_without_another_reference() -> None:
    tasks, go, done = Tasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    tasks.start(work(), "work")
    await asyncio.sleep(0)
    gc.collect()
    go.set()
    await tasks.finish()
    assert done.is_set()


async def test_closing_cancels_and_waits() -> None:
    tasks, ended = Tasks(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    tasks.start(work(), "work")
    await asyncio.sleep(0)
    await tasks.aclose()
    assert ended.is_set()


async def fail() -> None:
    raise ValueError("broken")


async def test_a_failure_is_handed_over_with_its_task() -> None:
    failed: list[tuple[str, str]] = []
    tasks = Tasks(lambda task: failed.append((task.get_name(), str(task.exception()))))
    tasks.start(fail(), "work")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert failed == [("work", "broken")]


async def test_waiting_raises_what_a_task_raises() -> None:
    tasks = Tasks()
    tasks.start(fail(), "work")
    with pytest.raises(ValueError, match="broken"):
        await tasks.finish()


async def test_a_cancelled_task_has_not_failed() -> None:
    failed: list[asyncio.Task[None]] = []
    tasks = Tasks(failed.append)
    tasks.start(asyncio.sleep(60), "work")
    await tasks.aclose()
    assert failed == []


async def test_many_parts_are_made_in_turns() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    made = await in_turns((str(number), number) for number in range(100))
    other.cancel()
    assert made == {str(number): number for number in range(100)}
    assert turns >= 5
    assert await in_turns(iter([])) == {}
