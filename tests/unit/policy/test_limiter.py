from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from unit.machines import ended, full_limiter, give_back, limiter_of, turns, waiters
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.codel import Codel
from gateway.policy.limiter import DISPLACED, DROPPED, WHY, Limiter, Waiter
from gateway.policy.machine import REFUSED
from gateway.policy.retry_after import MAX_RETRY_AFTER
from gateway.policy.store import SMOOTHING, MemoryPermitStore
from gateway.policy.waiting_line import ANY, HIGH, LOW, NORMAL, Rank

LONG = 60.0
"""Seconds that no test lives to see the end of."""


def overloaded(permits: int, room: int, fresh: int) -> Limiter:
    """100 permits have returned in each of 20 s; so many fresh requests came, and one who had been called back."""
    clock = Clock()
    limiter = full_limiter(permits, room, clock)
    give_back(limiter, permits / 100)
    limiter.try_acquire()
    for _ in range(20):
        clock.now += 1.0
        limiter.store.arrived += fresh + 1
        limiter.reserve_retry_after()
    return limiter


class TestPermits:
    @pytest.mark.covers("FR-010", "T013", "T014", "T015", "T018", "T019")
    def test_never_more_than_max(self) -> None:
        limiter = limiter_of(3)
        assert [limiter.try_acquire() for _ in range(5)] == [1, 2, 3, REFUSED, REFUSED]
        assert (limiter.in_flight, limiter.available, limiter.max) == (3, 0, 3)

    @pytest.mark.covers("T017", "T019")
    def test_a_permit_given_back_is_there_at_once(self) -> None:
        limiter = full_limiter(2)
        give_back(limiter)
        assert limiter.available == 1
        assert limiter.try_acquire() != REFUSED

    @pytest.mark.covers("T014", "T018")
    @pytest.mark.parametrize("permits", [0, -1])
    def test_no_limit(self, permits: int) -> None:
        limiter = limiter_of(permits)
        assert REFUSED not in [limiter.try_acquire() for _ in range(1000)]
        assert (limiter.in_flight, limiter.available, limiter.max) == (1000, -1, 0)
        assert limiter.peek_retry_after() == 1

    @pytest.mark.covers("T017")
    def test_a_permit_is_given_back_once(self) -> None:
        limiter = limiter_of(2)
        first, second = limiter.try_acquire(), limiter.try_acquire()
        limiter.release(first)
        third = limiter.try_acquire()
        for _ in range(2):
            limiter.release(first, Outcome.SUCCESS, 5.0)
        assert (limiter.in_flight, limiter.extra_releases, limiter.hold) == (2, 2, 0.0)
        assert len({first, second, third, REFUSED}) == 4

    @pytest.mark.covers("T017")
    @pytest.mark.parametrize("permit", [REFUSED, 0, 1, 99])
    def test_what_is_no_permit_cannot_be_given_back(self, permit: int) -> None:
        limiter = limiter_of(1)
        limiter.release(permit)
        assert (limiter.in_flight, limiter.extra_releases, limiter.available) == (0, 1, 1)
        assert limiter.try_acquire() != REFUSED
        assert limiter.try_acquire() == REFUSED

    def test_limiters_over_one_store_share_their_permits(self) -> None:
        store = MemoryPermitStore()
        one, other = Limiter(3, store=store), Limiter(3, store=store)
        taken = [one.try_acquire(), other.try_acquire(), one.try_acquire()]
        assert REFUSED not in taken
        assert [machine.try_acquire() for machine in (one, other)] == [REFUSED, REFUSED]
        assert (one.in_flight, other.in_flight, one.available, other.available) == (3, 3, 0, 0)
        one.release(taken[2])
        assert other.try_acquire() != REFUSED
        other.resize(1)
        assert one.max == 1

    def test_fewer_permits_keep_what_is_in_use(self) -> None:
        limiter = full_limiter(3)
        limiter.resize(1)
        assert (limiter.in_flight, limiter.available) == (3, 0)
        give_back(limiter)
        give_back(limiter)
        assert limiter.try_acquire() == REFUSED
        give_back(limiter)
        assert limiter.try_acquire() != REFUSED

    def test_the_limit_may_be_lifted_and_set_again(self) -> None:
        limiter = full_limiter(1)
        limiter.resize(0)
        assert limiter.try_acquire() != REFUSED
        limiter.resize(2)
        assert (limiter.in_flight, limiter.max) == (2, 2)
        assert limiter.try_acquire() == REFUSED


class TestWaiting:
    async def test_a_free_permit_is_not_waited_for(self) -> None:
        assert await limiter_of(1).acquire(LONG) != REFUSED

    @pytest.mark.covers("T015")
    async def test_without_a_queue_nobody_waits(self) -> None:
        limiter = Limiter(1)
        assert await limiter.acquire() != REFUSED
        assert await limiter.acquire() == REFUSED

    @pytest.mark.parametrize("seconds", [0.0, -1.0])
    async def test_without_time_nobody_waits(self, seconds: float) -> None:
        limiter = full_limiter()
        assert await limiter.acquire(seconds) == REFUSED
        assert limiter.waiting == 0

    @pytest.mark.covers("T016")
    async def test_first_come_first_served(self) -> None:
        limiter = full_limiter()
        order: list[int] = []

        async def client(number: int) -> None:
            assert await limiter.acquire(LONG) != REFUSED
            order.append(number)
            give_back(limiter)

        tasks = [asyncio.create_task(client(number)) for number in range(20)]
        await turns()
        give_back(limiter)
        await asyncio.gather(*tasks)
        assert order == list(range(20))
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    async def test_nobody_overtakes_a_waiter(self) -> None:
        limiter = full_limiter()
        [waiter] = await waiters(limiter, 1)
        give_back(limiter)
        assert limiter.try_acquire() == REFUSED, "the permit belongs to the waiter before its task has woken"
        assert await waiter != REFUSED
        assert limiter.in_flight == 1

    async def test_a_place_is_not_needed_where_a_permit_is_free(self) -> None:
        """In another process one was released since this one was refused."""
        limiter = limiter_of(1)
        waiter = limiter.join(LONG)
        assert waiter is not None
        assert waiter.result() != REFUSED
        assert (limiter.in_flight, limiter.held, limiter.waiting, limiter.own_waiting) == (1, 1, 0, 0)
        limiter.leave(waiter)
        assert (limiter.in_flight, limiter.idle, limiter.extra_releases) == (0, True, 0)

    async def test_without_time_the_answer_comes_at_once(self) -> None:
        """Not even a turn of the loop later: who gives no time takes no place in the queue."""
        with pytest.raises(StopIteration) as answered:
            full_limiter().acquire(0.0).send(None)
        assert answered.value.value == REFUSED

    async def test_a_full_queue_refuses_at_once(self) -> None:
        limiter = full_limiter(room=2)
        waiting = await waiters(limiter, 2)
        assert await limiter.acquire(LONG) == REFUSED
        await ended(*waiting)

    @pytest.mark.covers("T016")
    async def test_the_timeout_ends_a_wait(self) -> None:
        limiter = full_limiter()
        assert await limiter.acquire(0.001) == REFUSED
        assert (limiter.in_flight, limiter.waiting) == (1, 0)
        give_back(limiter)
        assert limiter.available == 1

    async def test_a_permit_beats_a_timeout_that_comes_while_the_task_wakes(self) -> None:
        limiter = full_limiter()
        [waiter] = await waiters(limiter, 1)
        future = next(iter(limiter._places))
        give_back(limiter)
        limiter._give_up(future)  # the timer of the very same turn of the loop
        assert await waiter != REFUSED
        assert limiter.in_flight == 1

    async def test_more_permits_admit_waiters_at_once(self) -> None:
        limiter = full_limiter()
        waiting = await waiters(limiter, 3)
        limiter.resize(3)
        await turns()
        assert [task.done() for task in waiting] == [True, True, False]
        assert (limiter.in_flight, limiter.waiting) == (3, 1)
        await ended(*waiting)

    async def test_fewer_permits_admit_nobody_until_below(self) -> None:
        limiter = full_limiter(3)
        [waiter] = await waiters(limiter, 1)
        limiter.resize(2)
        give_back(limiter)
        await turns()
        assert not waiter.done()
        give_back(limiter)
        assert await waiter != REFUSED
        assert limiter.in_flight == 2


class TestPlaces:
    """A place in the queue that its owner does not await."""

    async def test_it_gets_the_permit_that_becomes_free(self) -> None:
        limiter = full_limiter()
        place = limiter.join(LONG)
        assert place is not None
        assert not place.done()
        give_back(limiter)
        limiter.release(place.result())
        assert (limiter.in_flight, limiter.waiting, limiter.extra_releases) == (0, 0, 0)

    async def test_a_full_queue_has_none(self) -> None:
        limiter = full_limiter(room=1)
        place = limiter.join()
        assert place is not None
        assert limiter.join() is None
        limiter.leave(place)

    async def test_one_that_is_left_is_free_and_its_timer_ends(self) -> None:
        limiter = full_limiter(room=1)
        place = limiter.join(0.001)
        assert place is not None
        limiter.leave(place)
        assert (limiter.waiting, place.cancelled()) == (0, True)
        other = limiter.join()
        assert other is not None
        await asyncio.sleep(0.005)
        assert not other.done()
        limiter.leave(other)

    async def test_one_that_is_left_with_a_permit_gives_it_to_the_next(self) -> None:
        limiter = full_limiter()
        first, second = limiter.join(), limiter.join()
        assert first is not None
        assert second is not None
        give_back(limiter)
        limiter.leave(first)
        assert second.result() != REFUSED
        limiter.leave(second)
        limiter.leave(second)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    async def test_one_whose_time_is_up_has_no_permit_to_give_back(self) -> None:
        limiter = full_limiter()
        place = limiter.join(0.001)
        assert place is not None
        assert await place == REFUSED
        limiter.leave(place)
        assert (limiter.in_flight, limiter.extra_releases) == (1, 0)


class TestOrder:
    """Places are given permits in the order of arrival; which waiter gets one is decided by the line."""

    async def test_the_permit_of_a_place_goes_to_who_is_next_and_the_other_one_gets_his_place(self) -> None:
        limiter = full_limiter()
        low, high = limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(HIGH))
        assert low is not None
        assert high is not None
        give_back(limiter)
        assert (low.done(), high.result() in WHY) == (False, False)
        assert list(limiter._waiters.items()) == [(1, low)]
        limiter.release(high.result())
        assert low.result() not in WHY
        assert (limiter.waiting, limiter.own_waiting) == (0, 0)

    async def test_who_is_passed_can_still_leave_and_time_out(self) -> None:
        limiter = full_limiter()
        low, other, high = limiter.join(), limiter.join(0.001), limiter.join(rank=Rank(HIGH))
        assert low is not None
        assert other is not None
        assert high is not None
        give_back(limiter)
        limiter.leave(low)
        assert await other == REFUSED
        limiter.leave(high)
        assert (limiter.idle, limiter.extra_releases) == (True, 0)

    async def test_in_a_full_queue_a_lower_one_makes_way(self) -> None:
        limiter = full_limiter(room=2)
        first, second = limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(LOW))
        assert first is not None
        assert second is not None
        high = limiter.join(rank=Rank(HIGH))
        assert high is not None
        assert second.result() == DISPLACED
        limiter.leave(second)
        assert (limiter.waiting, limiter.join(rank=Rank(HIGH))) == (2, None)
        give_back(limiter)
        limiter.release(high.result())
        assert first.result() not in WHY
        limiter.release(first.result())
        assert (limiter.idle, limiter.extra_releases) == (True, 0)

    async def test_one_who_makes_way_as_he_leaves_is_only_gone(self) -> None:
        limiter = full_limiter(room=2)
        first, second = limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(LOW))
        assert first is not None
        assert second is not None
        second.cancel()
        high = limiter.join(rank=Rank(HIGH))
        assert high is not None
        limiter.leave(second)
        limiter.leave(first)
        limiter.leave(high)
        assert (limiter.waiting, limiter.in_flight) == (0, 1)

    async def test_no_one_makes_way_in_a_queue_that_was_switched_off(self) -> None:
        limiter = full_limiter(room=2)
        lows = [limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(LOW))]
        limiter.resize(1, 0)
        assert limiter.join(rank=Rank(HIGH)) is None
        assert [low is not None and not low.done() for low in lows] == [True, True]

    async def test_the_place_of_one_who_makes_way_may_have_its_permit_already(self) -> None:
        """In another process it was given, and the news is on its way."""
        limiter = full_limiter(room=2)
        first, second = limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(LOW))
        assert first is not None
        assert second is not None
        store = limiter.store
        assert isinstance(store, MemoryPermitStore)
        store.head = 2
        limiter._give_up(first)
        assert first.result() not in WHY
        limiter._admitted()
        assert second.result() not in WHY

    async def test_waiters_keep_their_order_in_another_store(self) -> None:
        limiter = full_limiter()
        low, high, normal = limiter.join(rank=Rank(LOW)), limiter.join(rank=Rank(HIGH)), limiter.join()
        limiter.move(MemoryPermitStore())
        served = []
        for _ in range(3):
            give_back(limiter)
            for name, waiter in (("low", low), ("high", high), ("normal", normal)):
                if waiter is not None and waiter.done() and name not in served:
                    served.append(name)
        assert served == ["high", "normal", "low"]

    async def test_under_overload_the_newest_goes_first_and_the_oldest_are_dropped(self) -> None:
        clock = Clock()
        limiter = full_limiter(clock=clock)
        limiter.configure(Codel(0.1, 0.5))
        waiters = []
        for _ in range(6):
            waiters.append(limiter.join())
            clock.now += 0.2
        first, second, third, fourth, fifth, sixth = (waiter for waiter in waiters if waiter is not None)
        give_back(limiter)
        assert first.result() not in WHY
        clock.now += 0.5
        fourth.cancel()
        give_back(limiter)
        assert (sixth.done(), limiter.line.newest_first) == (True, True)
        assert [waiter.result() for waiter in (second, third)] == [DROPPED, DROPPED]
        assert fifth.result() == DROPPED
        limiter.leave(fourth)
        assert (limiter.waiting, limiter.in_flight, limiter.extra_releases) == (0, 1, 0)

    async def test_who_is_too_old_and_has_a_permit_already_keeps_it(self) -> None:
        clock = Clock()
        limiter = full_limiter(2, clock=clock)
        limiter.configure(Codel(0.1, 0.5))
        old, gone, new = limiter.join(), limiter.join(), limiter.join()
        assert old is not None
        assert gone is not None
        assert new is not None
        store = limiter.store
        assert isinstance(store, MemoryPermitStore)
        lane = limiter.line.lanes[NORMAL]
        lane.switch.observe(9.0, clock.now)
        lane.switch.observe(9.0, clock.now + 1.0)
        clock.now += 1.0
        gone.cancel()
        store.head = 2  # given by another process, and the news is on its way
        limiter._drop(old)
        limiter._drop(gone)
        assert old.result() not in WHY
        assert new.result() not in WHY, "it got what was given to the one who left"

    @pytest.mark.parametrize(
        ("permits", "waiting", "held", "expected"),
        [(1, 0, 2.0, 2.0), (1, 3, 2.0, 8.0), (4, 3, 2.0, 2.0), (2, 1, 0.0, 0.0)],
    )
    async def test_the_wait_of_a_newcomer_is_his_place_times_the_time_between_two_permits(
        self, permits: int, waiting: int, held: float, expected: float
    ) -> None:
        limiter = full_limiter(permits)
        give_back(limiter, held)
        assert limiter.predicted_wait() == 0.0, "a permit is free"
        limiter.try_acquire()
        places = [limiter.join() for _ in range(waiting)]
        assert limiter.predicted_wait() == expected
        for place in places:
            assert place is not None
            limiter.leave(place)

    async def test_a_higher_one_is_predicted_to_wait_behind_his_equals_alone(self) -> None:
        limiter = full_limiter()
        give_back(limiter, 2.0)
        limiter.try_acquire()
        for rank in (Rank(HIGH), ANY, ANY):
            assert limiter.join(rank=rank) is not None
        assert [limiter.predicted_wait(Rank(which)) for which in (HIGH, NORMAL, LOW)] == [4.0, 8.0, 8.0]

    async def test_those_who_wait_have_places_in_the_order_in_which_they_are_next(self) -> None:
        limiter = full_limiter()
        low, first, second = [limiter.join(rank=rank) for rank in (Rank(LOW), ANY, ANY)]
        assert list(limiter.positions()) == [(first, 1), (second, 2), (low, 3)]

    async def test_places_of_other_processes_are_taken_to_be_spread_evenly(self) -> None:
        store = MemoryPermitStore()
        one, other = Limiter(1, 100, store=store), Limiter(1, 100, store=store)
        assert one.try_acquire() != REFUSED
        assert list(one.positions()) == []
        waiters = [one.join() for _ in range(2)]
        for _ in range(4):
            other.join()
        assert list(one.positions()) == [(waiters[0], 3), (waiters[1], 6)]

    async def test_whoever_joins_is_named_to_the_caller_of_wait(self) -> None:
        limiter = full_limiter(room=1)
        joined: list[Waiter] = []
        task = asyncio.create_task(limiter.wait(None, ANY, joined.append))
        await turns()
        assert [waiter for waiter, _ in limiter.positions()] == joined
        assert await limiter.wait(1.0, ANY, joined.append) == DISPLACED
        assert len(joined) == 1, "a full queue has no place"
        await ended(task)

    @pytest.mark.parametrize(("seconds", "expects"), [(1.3, True), (1.34, False), (0.0, False), (-1.0, False)])
    async def test_a_wait_in_vain_is_expected_above_the_margin(self, seconds: float, expects: bool) -> None:
        limiter = full_limiter()
        give_back(limiter, 2.0)
        limiter.try_acquire()
        assert limiter.expects_timeout(seconds) is expects


class TestCancellation:
    @pytest.mark.covers("T016a")
    async def test_one_who_leaves_frees_its_place_in_the_queue(self) -> None:
        limiter = full_limiter(room=3)
        waiting = await waiters(limiter, 3)
        await ended(waiting[1])
        assert limiter.waiting == 2
        latecomer = asyncio.create_task(limiter.acquire(LONG))
        await turns()
        assert limiter.waiting == 3
        for task in (waiting[0], waiting[2], latecomer):
            give_back(limiter)
            assert await task != REFUSED
        give_back(limiter)
        assert limiter.in_flight == 0

    @pytest.mark.covers("T016a")
    async def test_a_permit_handed_to_one_who_is_just_leaving_goes_to_the_next(self) -> None:
        limiter = full_limiter()
        first, second = await waiters(limiter, 2)
        give_back(limiter)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second != REFUSED
        assert limiter.in_flight == 1

    async def test_a_permit_handed_to_the_last_who_is_just_leaving_becomes_free(self) -> None:
        limiter = full_limiter()
        [waiter] = await waiters(limiter, 1)
        give_back(limiter)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert (limiter.in_flight, limiter.available, limiter.waiting) == (0, 1, 0)

    async def test_one_who_left_in_this_turn_of_the_loop_is_passed_over(self) -> None:
        limiter = full_limiter()
        first, second = await waiters(limiter, 2)
        first.cancel()
        give_back(limiter)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second != REFUSED
        assert limiter.in_flight == 1

    async def test_one_who_leaves_as_its_time_is_up_takes_no_permit_along(self) -> None:
        limiter = full_limiter()
        [waiter] = await waiters(limiter, 1)
        limiter._give_up(next(iter(limiter._places)))
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert (limiter.in_flight, limiter.waiting, limiter.extra_releases) == (1, 0, 0)


@pytest.mark.covers("FR-011")
class TestRetryAfter:
    def test_before_anything_was_measured(self) -> None:
        assert full_limiter(5).peek_retry_after() == 1

    @pytest.mark.parametrize(
        ("permits", "held", "seconds"),
        [(5, 10.0, 2), (1, 10.0, 10), (100, 10.0, 1), (4, 10.0, 3), (1, 3600.0, MAX_RETRY_AFTER)],
    )
    def test_a_permit_returns_every_held_by_max_seconds(self, permits: int, held: float, seconds: int) -> None:
        limiter = full_limiter(permits)
        give_back(limiter, held)
        assert limiter.try_acquire() != REFUSED
        assert limiter.peek_retry_after() == seconds

    async def test_those_who_wait_are_served_before(self) -> None:
        limiter = full_limiter(2)
        give_back(limiter, 4.0)
        limiter.try_acquire()
        waiting = await waiters(limiter, 4)
        assert limiter.peek_retry_after() == (4 + 1) * 4 / 2
        await ended(*waiting)

    def test_permits_above_a_lowered_limit_have_to_return_first(self) -> None:
        limiter = full_limiter(3)
        give_back(limiter, 2.0)
        limiter.try_acquire()
        limiter.resize(1)
        assert limiter.peek_retry_after() == 3 * 2 / 1

    def test_the_average_follows_what_is_measured(self) -> None:
        limiter = full_limiter(1)
        give_back(limiter, 8.0)
        limiter.try_acquire()
        give_back(limiter, 16.0)
        limiter.try_acquire()
        assert limiter.peek_retry_after() == 8 + 8 * SMOOTHING
        for _ in range(100):
            give_back(limiter, 20.0)
            limiter.try_acquire()
        assert limiter.peek_retry_after() == 20

    def test_a_release_of_unknown_length_teaches_nothing(self) -> None:
        limiter = full_limiter(1)
        give_back(limiter, 8.0)
        limiter.try_acquire()
        give_back(limiter)
        limiter.try_acquire()
        assert limiter.peek_retry_after() == 8

    def test_each_who_is_refused_gets_a_place_of_its_own(self) -> None:
        limiter = full_limiter(2)
        give_back(limiter, 4.0)
        limiter.try_acquire()
        assert limiter.peek_retry_after() == 2
        assert [limiter.reserve_retry_after() for _ in range(3)] == [2, 4, 6]
        assert limiter.peek_retry_after() == 8

    @pytest.mark.parametrize(("room", "later"), [(0, True), (10, False)])
    async def test_without_a_queue_more_are_called_back_as_gaps_are_lost(self, room: int, *, later: bool) -> None:
        limiter = overloaded(10, room, fresh=99)
        told = [limiter.reserve_retry_after() for _ in range(20)]
        assert (max(told) - min(told) < 2) is later

    @pytest.mark.parametrize(("room", "places"), [(0, 30), (1, 5), (10, 5)])
    async def test_so_many_are_called_back_as_nine_permits_bear_beside_fresh_arrivals(
        self, room: int, places: int
    ) -> None:
        """100 permits return in a second. Of nine half as many more may come, less the 120 that are fresh."""
        limiter = overloaded(9, room, fresh=120)
        told = Counter(limiter.reserve_retry_after() for _ in range(60))
        assert told[2] == pytest.approx(places, abs=1)

    def test_it_is_one_when_there_is_room(self) -> None:
        limiter = full_limiter(2)
        give_back(limiter, 50.0)
        give_back(limiter, 50.0)
        assert limiter.peek_retry_after() == 1


class TestMoves:
    """To the store of another process that shares the limit, and back."""

    async def test_permits_and_the_order_of_the_queue_are_kept(self) -> None:
        limiter = full_limiter(2)
        line = await waiters(limiter, 3)
        for _ in range(2):
            limiter.move(MemoryPermitStore())
            assert (limiter.max, limiter.in_flight, limiter.held, limiter.waiting) == (2, 2, 2, 3)
        for number in range(3):
            give_back(limiter)
            await turns()
            assert [task.done() for task in line] == [at <= number for at in range(3)]
        assert limiter.in_flight == 2
        await ended(*line)

    async def test_a_move_to_where_it_is_changes_nothing(self) -> None:
        limiter = full_limiter(1)
        limiter.move(limiter.store)
        assert (limiter.in_flight, limiter.max) == (1, 1)

    async def test_a_waiter_that_has_left_in_that_moment_takes_no_permit_along(self) -> None:
        with page_stage(2) as stage:
            limiter, other = (Limiter(2, 5, Clock(), page.permits("ai")) for page in stage.pages)
            permits = [other.try_acquire() for _ in range(2)]
            gone, stays, last = (limiter.join() for _ in range(3))
            assert gone is not None
            assert stays is not None
            assert last is not None
            for permit in permits:
                other.release(permit)
            assert (limiter.in_flight, limiter.held) == (2, 0), "it has not heard of it"
            gone.cancel()
            limiter.move(MemoryPermitStore())
            assert (limiter.in_flight, limiter.held, limiter.waiting) == (2, 2, 0)
            assert (stays.done(), last.done()) == (True, True), "the one that was free again went to the next"
            for waiter in (gone, stays, last):
                limiter.leave(waiter)
            assert (limiter.in_flight, limiter.extra_releases) == (0, 0)


class TestBound:
    def test_it_lowers_the_limit_and_never_raises_it(self) -> None:
        limiter = Limiter(8)
        limiter.bound(3)
        assert (limiter.max, limiter.wanted, limiter.lowered) == (3, 8, True)
        limiter.bound(12)
        assert (limiter.max, limiter.lowered) == (8, False)
        limiter.bound(0)
        assert limiter.max == 8

    def test_a_new_limit_stays_below_it(self) -> None:
        limiter = Limiter(8)
        limiter.bound(3)
        limiter.resize(20)
        assert limiter.max == 3
        limiter.resize(2)
        assert (limiter.max, limiter.lowered) == (2, False)
        limiter.resize(20)
        limiter.bound(0)
        assert limiter.max == 20

    def test_without_a_limit_it_is_the_limit(self) -> None:
        limiter = Limiter(0)
        limiter.bound(3)
        assert limiter.max == 3
        limiter.bound(0)
        assert limiter.max == 0

    async def test_when_it_rises_those_who_wait_are_admitted(self) -> None:
        limiter = Limiter(4, 4)
        limiter.bound(1)
        limiter.try_acquire()
        waiters = [limiter.join(), limiter.join()]
        assert None not in waiters
        limiter.bound(2)
        assert [waiter.done() for waiter in waiters if waiter is not None] == [True, False]
        limiter.bound(0)
        assert [waiter.done() for waiter in waiters if waiter is not None] == [True, True]

    def test_processes_do_not_undo_what_others_do(self) -> None:
        with page_stage(2) as stage:
            one, other = (Limiter(8, 5, Clock(), page.permits("ai")) for page in stage.pages)
            one.bound(3)
            other.bound(0)
            other.bound(6)
            assert (one.max, other.max) == (3, 3)
            other.bound(5)
            assert one.max == 3, "it has become lower, and is no reason to raise"
            one.bound(0)
            assert other.max == 8
            other.bound(5)
            assert (one.max, one.lowered, other.lowered) == (5, False, True)
