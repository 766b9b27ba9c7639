from __future__ import annotations

import asyncio
import random

import pytest
from unit.machines import turns
from unit.page.stage import PageStage, page_stage
from unit.scene import Clock

from gateway.page.layout import HELD, QUARANTINE, RING, TAIL
from gateway.page.permits import PagePermitStore
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.policy.retry_after import ReturnSchedule
from gateway.policy.store import FULL, TAKEN
from gateway.policy.waiting_line import HIGH, LOW, Rank


def test_processes_share_the_permits() -> None:
    with page_stage() as stage:
        one, two, three = stage.permits(2)
        assert [one.take(), two.take(), three.take()] == [1, 1, REFUSED], "each counts its own arrivals"
        assert (one.in_flight, one.held, two.held, three.held, one.arrived) == (2, 1, 1, 0, 3)
        one.give_back()
        assert three.take() == 2
        three.resize(5)
        assert (one.limit, one.in_flight) == (5, 2)
        one.slab.check()


def test_a_permit_goes_to_the_oldest_waiter_wherever_it_waits() -> None:
    with page_stage() as stage:
        one, two, three = stage.permits(1)
        assert one.take() > 0
        places = [two.join(), three.join(), one.join(), two.join()]
        assert places == [0, 1, 2, 3]
        one.give_back()
        assert (stage.rung(1), stage.rung(2), two.held, one.head) == (True, False, 1, 1)
        assert three.leave(places[1]), "it has none yet"
        assert not two.leave(places[0]), "it has one"
        woken = list[int]()
        one.on_admitted(lambda: woken.append(one.head))
        two.give_back()
        assert (stage.rung(0), one.held, one.head) == (True, 1, 3)
        one.rung()
        assert woken == [3]
        one.give_back()
        two.give_back()
        assert (one.in_flight, one.waiting, one.join()) == (0, 0, TAKEN)
        one.slab.check()


def test_a_process_wakes_its_own_waiters_without_a_bell() -> None:
    with page_stage() as stage:
        one, *_ = stage.permits(1)
        woken = list[int]()
        one.on_admitted(lambda: woken.append(one.head))
        assert [one.take() > 0, one.join()] == [True, 0]
        one.give_back()
        assert (woken, stage.rung(0), one.held) == ([1], False, 1)


def test_a_queue_has_room_for_so_many() -> None:
    with page_stage() as stage:
        one, two, _ = stage.permits(1, max_waiting=2)
        assert one.take() > 0
        assert [one.join(), two.join(), two.join()] == [0, 1, FULL]
        assert one.leave(0)
        assert two.join() == 2
        two.max_waiting = 9
        assert one.max_waiting == 9
        assert one.join() == 3


def test_a_ring_that_is_full_of_those_who_left_takes_no_more() -> None:
    with page_stage() as stage:
        one, two, _ = stage.permits(1, max_waiting=10)
        assert one.take() > 0
        assert one.join() == 0
        one.slab.cells[TAIL] = RING
        assert two.join() == FULL, "the place would be that of the first waiter"
        assert one.leave(0)
        assert two.join() == RING
        one.give_back()
        assert two.held == 1


def test_a_higher_limit_admits() -> None:
    with page_stage() as stage:
        one, two, three = stage.permits(1)
        assert one.take() > 0
        assert [two.join(), three.join(), three.join()] == [0, 1, 2]
        one.resize(3)
        assert (two.held, three.held, one.waiting, one.in_flight) == (1, 1, 1, 3)
        assert [stage.rung(slot) for slot in range(3)] == [False, True, True]
        one.resize(1)
        two.give_back()
        assert (one.in_flight, one.waiting) == (2, 1), "fewer come true as they return"
        one.give_back()
        three.give_back()
        assert (one.in_flight, one.waiting, three.held) == (1, 0, 1)
        one.slab.check()


class TestTheDead:
    def test_their_permits_stay_in_use_for_a_moment(self) -> None:
        with page_stage() as stage:
            one, two, three = stage.permits(3)
            assert [one.take() > 0, one.take() > 0, two.take() > 0] == [True] * 3
            assert [one.join(), three.join(), two.join()] == [0, 1, 2]
            exhume = stage.supervisor.bury(0)
            assert (one.in_flight, one.held, one.slab.cells[HELD + QUARANTINE], one.waiting) == (3, 0, 2, 2)
            exhume()
            assert (two.held, three.held, two.waiting, two.in_flight) == (2, 1, 0, 3)
            two.slab.check()

    def test_a_second_burial_gives_nothing(self) -> None:
        with page_stage() as stage:
            one, two, _ = stage.permits(3)
            assert one.take() > 0
            assert two.take() > 0
            exhume = stage.supervisor.bury(0)
            again = stage.supervisor.bury(0)
            for give in (exhume, again, exhume):
                give()
                assert (two.in_flight, two.held) == (1, 1)

    def test_whoever_they_had_admitted_is_rung(self) -> None:
        with page_stage() as stage:
            stage.permits(3)
            stage.supervisor.bury(0)
            assert [stage.rung(slot) for slot in range(3)] == [False, True, True]


def test_the_schedule_of_returns_is_one() -> None:
    with page_stage() as stage:
        one, two, _ = stage.permits(1)
        alone = ReturnSchedule(1000.0)
        for number in range(200):
            store = (one, two)[number % 2]
            store.take()
            now, rate = 1000.0 + number / 50, 4.0
            assert store.reserve_return(now, rate, rate, 0.0) == alone.reserve(now, number + 1, rate, rate, 0.0)
            assert two.peek_return(now, rate, rate, 0.0) == alone.peek(now, number + 1, rate, rate, 0.0)


def test_an_average_is_one() -> None:
    with page_stage() as stage:
        one, two, _ = stage.permits(1)
        clock = Clock()
        first, second = Limiter(1, clock=clock, store=one), Limiter(1, clock=clock, store=two)
        first.release(first.try_acquire(), seconds=2.0)
        assert second.hold == 2.0


@pytest.mark.parametrize("seed", range(5))
async def test_limiters_of_three_processes_keep_the_order(seed: int) -> None:
    """Random steps of clients that come, leave and give back, in three limiters over one page."""
    dice = random.Random(seed)
    with page_stage() as stage:
        walk = Walk(stage, dice)
        for _ in range(600):
            await walk.step()
        await walk.empty()


class Walk:
    def __init__(self, stage: PageStage, dice: random.Random) -> None:
        self.stage, self.dice = stage, dice
        self.stores = stage.permits(3, max_waiting=8)
        self.limiters = [Limiter(3, 8, clock=Clock(), store=store) for store in self.stores]
        self.line: list[tuple[int, asyncio.Task[int]]] = []
        self.permits: list[tuple[int, int]] = []

    async def step(self) -> None:
        at = self.dice.randrange(3)
        limiter, roll = self.limiters[at], self.dice.random()
        if roll < 0.5:
            task = asyncio.create_task(limiter.acquire())
            await turns(2)
            self.line.append((at, task))
        elif roll < 0.85 and self.permits:
            where, permit = self.permits.pop(self.dice.randrange(len(self.permits)))
            self.limiters[where].release(permit)
        elif roll < 0.95 and self.line:
            self.dice.choice(self.line)[1].cancel()
        else:
            limiter.resize(self.dice.randint(1, 5))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(3):
            for slot, store in enumerate(self.stores):
                if self.stage.rung(slot):
                    store.rung()
            await turns(3)
        served = [index for index, (_, task) in enumerate(self.line) if task.done() and not task.cancelled()]
        waiting = [index for index, (_, task) in enumerate(self.line) if not task.done()]
        assert not served or not waiting or max(served) < min(waiting) or self.refused(served), "in order of arrival"
        for at, task in [entry for entry in self.line if entry[1].done()]:
            if not task.cancelled() and task.result() != REFUSED:
                self.permits.append((at, task.result()))
        self.line = [entry for entry in self.line if not entry[1].done()]
        store = self.stores[0]
        store.slab.check()
        assert store.in_flight == len(self.permits)
        assert store.waiting == len(self.line)

    def refused(self, served: list[int]) -> bool:
        """The queue was full, so that the newest was refused at once."""
        return all(self.line[index][1].result() == REFUSED for index in served if index == max(served))

    async def empty(self) -> None:
        for _, task in self.line:
            task.cancel()
        await turns()
        for at, permit in self.permits:
            self.limiters[at].release(permit)
        assert (self.stores[0].in_flight, self.stores[0].waiting) == (0, 0)
        assert [limiter.extra_releases for limiter in self.limiters] == [0, 0, 0]


@pytest.mark.parametrize("leaves", [False, True], ids=["its patience ends", "it leaves"])
async def test_the_moment_between_admission_and_the_bell(leaves: bool) -> None:
    """The permit is in the page already: it is used or given back, and not lost."""
    with page_stage() as stage:
        one, two, _ = stage.permits(1)
        here, there = Limiter(1, 9, store=one), Limiter(1, 9, store=two)
        permit = here.try_acquire()
        waiter = there.join(60.0)
        assert waiter is not None
        here.release(permit)
        assert two.held == 1
        if leaves:
            there.leave(waiter)
            assert waiter.cancelled()
        else:
            there._give_up(waiter)
            there.release(waiter.result())
        assert (one.in_flight, there.extra_releases) == (0, 0)


def test_the_place_of_a_process_is_its_own() -> None:
    with page_stage() as stage:
        stores: list[PagePermitStore] = stage.permits(9)
        assert [store.slab.slot for store in stores] == [0, 1, 2]


async def test_a_process_gives_the_permit_of_its_place_to_whom_it_chooses() -> None:
    """The page knows no priorities: which process is next is the order of arrival, which waiter of it is not."""
    with page_stage() as stage:
        one, two, _ = (Limiter(1, 10, Clock(), store) for store in stage.permits(1))
        first = one.try_acquire()
        low, other, high = one.join(rank=Rank(LOW)), two.join(), one.join(rank=Rank(HIGH))
        assert low is not None
        assert other is not None
        assert high is not None
        one.release(first)
        assert [waiter.done() for waiter in (low, other, high)] == [False, False, True]
        one.release(high.result())
        assert stage.rung(1)
        stage.pages[1].permits("ai").rung()
        assert [waiter.done() for waiter in (low, other)] == [False, True], "it came before the high one"
        two.release(other.result())
        stage.pages[0].permits("ai").rung()
        one.release(low.result())
        assert (one.idle, two.idle, one.extra_releases, two.extra_releases) == (True, True, 0, 0)
        one.store.slab.check()  # type: ignore[attr-defined] # it is one of the page


async def test_the_places_of_all_processes_are_counted_and_one_makes_way_in_its_own() -> None:
    with page_stage() as stage:
        one, two, _ = (Limiter(1, 3, Clock(), store) for store in stage.permits(1, 3))
        first = one.try_acquire()
        lows = [one.join(rank=Rank(LOW)), one.join(rank=Rank(LOW)), two.join(rank=Rank(LOW))]
        assert two.join(rank=Rank(HIGH)) is None, "its own low one is the last of its class there"
        high = one.join(rank=Rank(HIGH))
        assert high is not None
        assert [low is not None and low.done() for low in lows] == [False, True, False]
        assert (one.waiting, two.waiting) == (3, 3)
        one.release(first)
        assert high.done()
        one.store.slab.check()  # type: ignore[attr-defined] # as above
