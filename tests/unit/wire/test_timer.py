"""Real timers, waited for by their event; nothing is timed."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic

from gateway.wire.timer import LazyTimer


async def test_it_expires_once() -> None:
    expired = asyncio.Event()
    count = 0

    def expire() -> None:
        nonlocal count
        count += 1
        expired.set()

    dog = LazyTimer(asyncio.get_running_loop(), expire)
    dog.arm(monotonic() + 0.01)
    await expired.wait()
    assert (count, dog.expires_at) == (1, 0.0)


async def test_it_can_be_moved_both_ways_and_disarmed() -> None:
    order: list[str] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    later = LazyTimer(loop, lambda: (order.append("later"), done.set())[1])
    sooner = LazyTimer(loop, lambda: order.append("sooner"))
    never = LazyTimer(loop, lambda: order.append("never"))
    now = monotonic()
    later.arm(now + 0.01)
    later.arm(now + 0.08)
    sooner.arm(now + 60)
    sooner.arm(now + 0.03)
    never.arm(now + 0.01)
    never.disarm()
    await done.wait()
    assert order == ["sooner", "later"]


async def test_a_closed_one_leaves_no_timer() -> None:
    dog = LazyTimer(asyncio.get_running_loop(), lambda: None)
    dog.arm(monotonic() + 60)
    dog.close()
    assert (dog.expires_at, dog._handle, dog.fires_at) == (0.0, None, inf)


async def test_while_it_runs_a_later_time_needs_no_call() -> None:
    expired = asyncio.Event()
    dog = LazyTimer(asyncio.get_running_loop(), expired.set)
    assert dog.fires_at == inf
    soon = monotonic() + 0.01
    dog.arm(soon)
    assert dog.fires_at == soon
    dog.expires_at = later = soon + 0.03
    await expired.wait()
    assert monotonic() >= later - 0.001
    assert (dog.expires_at, dog.fires_at) == (0.0, inf)
