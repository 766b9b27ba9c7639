"""What a limit in shadow mode counts is what the same limit would have refused, and nobody notices it."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from harness.patience import GLANCE, eventually
from unit.machines import give_back
from unit.scene import Clock, exchange

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.policy.waiting_line import HIGH, LOW, Rank
from gateway.proxy.layers.shadow_limit import shadow_limit


class Inside:
    """A handler that holds each exchange until it is let go."""

    def __init__(self) -> None:
        self.gates: dict[Exchange, asyncio.Event] = {}

    async def __call__(self, ex: Exchange) -> None:
        gate = self.gates[ex] = asyncio.Event()
        await gate.wait()


async def enter(handle: Handler, inside: Inside) -> tuple[Exchange, asyncio.Task[None]]:
    ex = exchange()

    async def run() -> None:
        await handle(ex)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    assert ex in inside.gates, "nobody waits"
    return ex, task


async def test_without_a_queue_whoever_finds_no_permit_is_noted() -> None:
    limiter, inside = Limiter(2), Inside()
    handle = shadow_limit(limiter)(inside)
    entered = [await enter(handle, inside) for _ in range(4)]
    assert [ex.shadow for ex, _ in entered] == ["", "", "concurrency_limit", "concurrency_limit"]
    assert limiter.in_flight == 2, "those who would have been refused take no permit"
    for ex, task in entered:
        inside.gates[ex].set()
        await task
    assert limiter.in_flight == 0


@pytest.mark.parametrize(("room", "queue_timeout"), [(5, 0.0), (0, 60.0), (0, 0.0)])
async def test_half_a_queue_is_none(room: int, queue_timeout: float) -> None:
    limiter, inside = Limiter(1, room), Inside()
    assert limiter.try_acquire() != REFUSED
    handle = shadow_limit(limiter, queue_timeout) if queue_timeout else shadow_limit(limiter)
    ex, task = await enter(handle(inside), inside)
    assert (ex.shadow, ex.concurrent, limiter.waiting) == ("concurrency_limit", 1, 0)
    inside.gates[ex].set()
    await task
    assert (ex.shadow, limiter.in_flight, limiter.extra_releases) == ("concurrency_limit", 1, 0)


async def test_it_learns_how_long_permits_are_held() -> None:
    clock = Clock()
    limiter, inside = Limiter(1, clock=clock), Inside()
    ex, task = await enter(shadow_limit(limiter)(inside), inside)
    assert ex.concurrent == 1
    clock.now += 7.0
    inside.gates[ex].set()
    await task
    assert limiter.hold == 7.0


async def test_who_would_wait_gets_the_permit_that_becomes_free() -> None:
    limiter, inside = Limiter(1, 1), Inside()
    handle = shadow_limit(limiter, 60.0)(inside)
    first, second, third = [await enter(handle, inside) for _ in range(3)]
    assert (first[0].shadow, second[0].shadow, third[0].shadow) == ("", "", "queue_full")
    assert (limiter.in_flight, limiter.waiting) == (1, 1)
    inside.gates[first[0]].set()
    await first[1]
    assert (limiter.in_flight, limiter.waiting) == (1, 0), "it is the second's now"
    inside.gates[second[0]].set()
    await second[1]
    assert limiter.in_flight == 0
    third[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await third[1]
    assert (limiter.in_flight, limiter.extra_releases) == (0, 0)


async def test_who_would_wait_and_ends_before_leaves_its_place() -> None:
    limiter, inside = Limiter(1, 1), Inside()
    handle = shadow_limit(limiter, 60.0)(inside)
    first, second = [await enter(handle, inside) for _ in range(2)]
    inside.gates[second[0]].set()
    await second[1]
    assert (limiter.in_flight, limiter.waiting, second[0].shadow) == (1, 0, "")
    inside.gates[first[0]].set()
    await first[1]
    assert limiter.in_flight == 0


async def test_who_would_wait_too_long_is_noted() -> None:
    limiter, inside = Limiter(1, 1), Inside()
    handle = shadow_limit(limiter, 0.01)(inside)
    first, second = [await enter(handle, inside) for _ in range(2)]
    await eventually(lambda: limiter.waiting == 0)
    for (ex, task), left in ((second, 1), (first, 0)):
        inside.gates[ex].set()
        await task
        assert limiter.in_flight == left, "who was given up has no permit to give back"
    assert (first[0].shadow, second[0].shadow) == ("", "queue_timeout")
    assert limiter.extra_releases == 0


@pytest.mark.parametrize(("room", "timeout"), [(0, 0.0), (0, 60.0), (1, 60.0), (5, 0.01)])
async def test_what_another_layer_has_noted_stays(room: int, timeout: float) -> None:
    """Whichever of the three reasons this layer has."""
    limiter = Limiter(1, room)
    assert limiter.try_acquire() != REFUSED
    if timeout == 60.0 and room:
        limiter.join(60.0)
    ex = exchange()
    ex.shadow = "rate_limit"
    done = asyncio.Event()

    async def inside(ex: Exchange) -> None:
        await done.wait()

    task = asyncio.create_task(shadow_limit(limiter, timeout)(inside)(ex))
    if timeout == 0.01:
        await eventually(lambda: limiter.waiting == 1)
        await eventually(lambda: limiter.waiting == 0)
    done.set()
    await task
    assert ex.shadow == "rate_limit"


async def test_a_permit_that_comes_as_the_time_is_up_is_kept() -> None:
    limiter, inside = Limiter(1, 1), Inside()
    assert limiter.try_acquire() != REFUSED
    ex, task = await enter(shadow_limit(limiter, 0.005)(inside), inside)
    time.sleep(0.01)  # noqa: ASYNC251 - the timer is due, and the loop cannot see to it yet
    give_back(limiter)
    await asyncio.sleep(GLANCE)
    assert (limiter.in_flight, limiter.waiting, ex.shadow) == (1, 0, "")
    inside.gates[ex].set()
    await task
    assert (limiter.in_flight, limiter.extra_releases) == (0, 0)


async def test_no_permit_is_lost_in_any_order() -> None:
    chance = random.Random(4)
    limiter, inside = Limiter(3, 2), Inside()
    handle = shadow_limit(limiter, 60.0)(inside)
    live: list[tuple[Exchange, asyncio.Task[None]]] = []
    for _ in range(2000):
        if live and chance.random() < 0.5:
            ex, task = live.pop(chance.randrange(len(live)))
            if chance.random() < 0.3:
                task.cancel()
            inside.gates[ex].set()
            await asyncio.wait([task])
        elif len(live) < 12:
            live.append(await enter(handle, inside))
        assert limiter.in_flight <= 3
    for ex, task in live:
        inside.gates[ex].set()
        await task
    assert (limiter.in_flight, limiter.waiting, limiter.extra_releases) == (0, 0, 0)


@pytest.mark.parametrize(
    ("room", "patience", "left", "shadow"),
    [
        (5, 60.0, 0.0, ""),
        (5, 5.0, 0.0, "queue_predicted_timeout"),
        (5, 60.0, 5.0, "queue_predicted_timeout"),
        (1, 5.0, 0.0, "queue_full"),
    ],
)
async def test_who_would_wait_in_vain_is_noted_and_takes_no_place(
    room: int, patience: float, left: float, shadow: str
) -> None:
    limiter, inside = Limiter(1, room, clock=Clock()), Inside()
    limiter.try_acquire()
    give_back(limiter, 8.0)
    limiter.try_acquire()
    before = limiter.join()
    ex = exchange()
    ex.deadline = limiter.clock() + left if left else 0.0
    task = asyncio.ensure_future(shadow_limit(limiter, patience, predict=True)(inside)(ex))
    await asyncio.sleep(0)
    assert (ex.shadow, limiter.waiting) == (shadow, 1 if shadow else 2)
    inside.gates[ex].set()
    await task
    assert before is not None
    limiter.leave(before)


async def test_a_lower_one_that_would_have_to_make_way_is_noted() -> None:
    limiter, inside = Limiter(1, 2, clock=Clock()), Inside()
    limiter.try_acquire()
    ranks = iter([Rank(LOW), Rank(LOW), Rank(HIGH)])
    handle = shadow_limit(limiter, 60.0, lambda ex: next(ranks), predict=True)(inside)
    entered = [await enter(handle, inside) for _ in range(3)]
    await asyncio.sleep(0)
    assert [ex.shadow for ex, _ in entered] == ["", "queue_full", ""]
    for ex, task in entered:
        inside.gates[ex].set()
        await task
    assert limiter.waiting == 0
