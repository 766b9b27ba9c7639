"""One key is one call: who comes meanwhile waits for its result, and who comes later gets it, for a time."""

from __future__ import annotations

import asyncio

import pytest
from harness.patience import eventually

from gateway.admin.errors import AdminError
from gateway.admin.idempotency import TTL, Idempotency, Scope

pytestmark = pytest.mark.covers("ACT-43")
SCOPE: Scope = ("default", "trn", "key")


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.result: str | Exception = "done"

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return f"{self.result} {self.begun}"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def weigh(result: str) -> int | None:
    return None if result.startswith("again") else len(result)


def store(clock: Clock | None = None, **bounds: int) -> Idempotency[str]:
    return Idempotency(weigh, clock or Clock(), **bounds)


async def test_callers_of_one_key_share_one_call() -> None:
    known, work = store(), Work()
    tasks = [asyncio.create_task(known.once(SCOPE, {"a": 1}, work)) for _ in range(5)]
    await eventually(lambda: work.begun == 1, "it runs")
    work.go.set()
    found = await asyncio.gather(*tasks)
    assert found == [("done 1", False), *[("done 1", True)] * 4]
    assert await known.once(SCOPE, {"a": 1}, work) == ("done 1", True)
    assert (work.begun, len(known)) == (1, 1)


async def test_another_input_is_a_conflict_while_it_runs_and_afterwards() -> None:
    known, work = store(), Work()
    task = asyncio.create_task(known.once(SCOPE, {"a": 1}, work))
    await eventually(lambda: work.begun == 1, "it runs")
    for _ in range(2):
        with pytest.raises(AdminError, match="another input") as caught:
            await known.once(SCOPE, {"a": 2}, work)
        assert (caught.value.status, caught.value.code) == (409, "conflict.idempotency_key")
        work.go.set()
        await task
    assert work.begun == 1


async def test_a_key_is_of_one_tenant_and_one_action() -> None:
    known, work = store(), Work()
    work.go.set()
    for scope in (SCOPE, ("other", "trn", "key"), ("default", "trn2", "key"), ("default", "trn", "key2")):
        assert (await known.once(scope, {}, work))[1] is False
    assert work.begun == 4


async def test_a_result_is_kept_for_its_time() -> None:
    clock = Clock()
    known, work = store(clock), Work()
    work.go.set()
    await known.once(SCOPE, {}, work)
    clock.now += TTL - 1
    assert (await known.once(SCOPE, {}, work))[1] is True
    clock.now += 1
    assert await known.once(SCOPE, {}, work) == ("done 2", False)
    assert len(known) == 1


@pytest.mark.parametrize("result", ["again", RuntimeError("no")])
async def test_what_may_go_better_next_time_is_not_kept(result: str | Exception) -> None:
    known, work = store(), Work()
    work.result = result
    work.go.set()
    for _ in range(2):
        if isinstance(result, Exception):
            with pytest.raises(RuntimeError):
                await known.once(SCOPE, {}, work)
        else:
            assert (await known.once(SCOPE, {}, work))[1] is False
    assert (work.begun, len(known)) == (2, 0)


async def test_one_caller_who_leaves_does_not_end_the_call_of_others_and_the_last_one_does() -> None:
    known, work = store(), Work()
    first, second = (asyncio.create_task(known.once(SCOPE, {}, work)) for _ in range(2))
    await eventually(lambda: work.begun == 1, "it runs")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert work.cancelled == 0
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(known.once(SCOPE, {}, work))
    await eventually(lambda: (work.begun, work.cancelled) == (2, 1), "the next caller begins again")
    work.go.set()
    assert await third == ("done 2", False)


async def test_memory_is_bounded_and_the_oldest_is_dropped() -> None:
    known, work = store(most=3), Work()
    work.go.set()
    for key in "abcd":
        await known.once(("t", "trn", key), {}, work)
    assert len(known) == 3
    assert (await known.once(("t", "trn", "d"), {}, work))[1] is True
    assert (await known.once(("t", "trn", "a"), {}, work))[1] is False
    small = store(most_bytes=14)  # two results of 6 bytes
    for key in "abc":
        await small.once(("t", "trn", key), {}, work)
    assert len(small) == 2
    work.result = "x" * 20
    assert (await small.once(("t", "trn", "big"), {}, work))[1] is False
    assert len(small) == 2, "a result that is larger than all room is not kept"


async def test_a_call_that_runs_is_never_dropped() -> None:
    known, slow, work = store(most=1), Work(), Work()
    work.go.set()
    task = asyncio.create_task(known.once(("t", "trn", "slow"), {}, slow))
    await eventually(lambda: slow.begun == 1, "it runs")
    for key in "ab":
        await known.once(("t", "trn", key), {}, work)
    joined = asyncio.create_task(known.once(("t", "trn", "slow"), {}, slow))
    slow.go.set()
    assert [(await task)[1], (await joined)[1]] == [False, True]
