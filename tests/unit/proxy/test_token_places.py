"""The line on a real event loop: `tests/property/test_token_line.py` has its order, over several processes."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from gateway.core.quota import Place
from gateway.policy.rate import Buckets, RateLimit, RateLimits
from gateway.policy.rate_store import MemoryRateStore, slots_for
from gateway.proxy.token_places import TokenPlaces

FAR = 1e12


def places(rate: float, burst: int = 1) -> tuple[TokenPlaces, RateLimits]:
    """Of an empty bucket."""
    limit = RateLimit("a", rate, 1.0, burst, Buckets("a", MemoryRateStore(slots_for(1))), owes=True)
    machine = RateLimits([limit], 1, monotonic)
    while machine.try_take([1]) is None:
        pass
    return TokenPlaces(machine, [1]), machine


async def in_line(made: TokenPlaces, count: int) -> None:
    await asyncio.sleep(0)
    assert len(made) == count


async def test_those_who_wait_get_their_tokens_in_their_order_and_in_time() -> None:
    made, machine = places(100.0)
    found: list[int] = []

    async def wait(number: int) -> Place:
        place = made.place()
        assert not place.take()
        assert await place.reach(FAR)
        found.append(number)
        return place

    began = monotonic()
    mine = await asyncio.gather(*(wait(number) for number in range(10)))
    assert found == list(range(10))
    assert monotonic() - began >= 0.09, "a token each hundredth of a second"
    assert [place.take() for place in mine] == [True] * 10
    assert [place.take() for place in mine] == [False] * 10
    assert len(made) == 0
    assert machine.limits[0].missing(1, monotonic()) <= 0.01


async def test_a_token_too_late_is_not_waited_for() -> None:
    made, machine = places(0.001)
    assert not await made.place().reach(monotonic() + 10.0)
    assert machine.limits[0].missing(1, monotonic()) <= 1000.0


async def test_who_leaves_makes_room_for_those_behind() -> None:
    made, machine = places(20.0)
    tasks = [asyncio.create_task(made.place().reach(FAR)) for _ in range(3)]
    await in_line(made, 3)
    tasks[0].cancel()
    began = monotonic()
    assert await tasks[1]
    assert monotonic() - began < 0.1
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(made), [task.cancelled() for task in tasks]) == (0, [True, False, True])
    assert machine.limits[0].missing(1, monotonic()) <= 0.05


async def test_a_token_that_is_not_used_goes_to_the_next_at_once() -> None:
    made, machine = places(0.01)
    first, second = made.place(), made.place()
    table = machine.limits[0].buckets.store.table
    table.moments[table.find(1)] = monotonic()  # full again
    waits = asyncio.create_task(first.reach(FAR))
    await in_line(made, 1)
    behind = asyncio.create_task(second.reach(FAR))
    await in_line(made, 2)
    assert await waits
    first.leave()
    assert await asyncio.wait_for(behind, 5.0)
    first.leave()
    second.leave()
    assert machine.try_take([1]) is None, "both were given back"


@pytest.mark.parametrize("cancelled", ["before", "behind"])
async def test_who_leaves_in_the_turn_in_which_the_token_comes_uses_none(cancelled: str) -> None:
    made, machine = places(1000.0)
    task = asyncio.create_task(made.place().reach(FAR))
    await in_line(made, 1)
    until = asyncio.Event()
    wake = made._wake

    def both() -> None:
        if cancelled == "before":
            task.cancel()
        wake()
        if cancelled == "behind":
            task.cancel()
        until.set()

    made._wake = both  # type: ignore[method-assign]
    made._arm()
    await until.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(made) == 0
    assert machine.limits[0].missing(1, monotonic()) <= 0.001
