from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from unit.page.stage import page_stage

from gateway.policy.machine import REFUSED
from gateway.policy.store import FULL, TAKEN, MemoryPermitStore, PermitStore

Make = Callable[[], PermitStore]


@pytest.fixture(params=["memory", "page"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes stores of one process: in its memory, or in a page of their own."""
    with ExitStack() as stack:
        yield (
            MemoryPermitStore
            if request.param == "memory"
            else lambda: stack.enter_context(page_stage(1)).pages[0].permits("ai")
        )


class TestMoves:
    def test_what_was_taken_over_is_in_use_and_waits_whatever_the_bounds(self, make: Make) -> None:
        old, store = MemoryPermitStore(), make()
        old.resize(2)
        old.max_waiting = 1
        first = store.take_over(old.hand_over(), 3, 4)
        assert (store.limit, store.max_waiting, store.in_flight, store.waiting) == (2, 1, 3, 4)
        assert (store.head, store.take(), store.join()) == (first, REFUSED, FULL)
        store.give_back()
        store.give_back()
        assert (store.head, store.in_flight, store.waiting) == (first + 1, 2, 3), "the first of them has one"
        assert store.leave(first + 2)
        store.give_back()
        store.give_back()
        assert (store.head, store.in_flight, store.waiting) == (first + 4, 2, 0)
        assert store.join() == first + 4

    def test_free_permits_go_to_those_who_wait(self, make: Make) -> None:
        old, store = MemoryPermitStore(), make()
        old.resize(2)
        first = store.take_over(old.hand_over(), 1, 2)
        assert (store.head, store.in_flight, store.waiting) == (first + 1, 2, 1)

    def test_nothing_of_the_process_is_left(self, make: Make) -> None:
        store = make()
        store.max_waiting = 5
        store.resize(1)
        assert [store.join() for _ in range(3)] == [TAKEN, 0, 1]
        store.give_back()
        numbers = store.hand_over()
        assert (numbers.limit, numbers.max_waiting, numbers.head) == (1, 5, 1)
        assert (store.in_flight, store.waiting) == (0, 0)

    def test_arrivals_and_returns_go_on(self, make: Make) -> None:
        """A number is given to one arrival alone, and the schedule of returns is kept."""
        plain, moved = MemoryPermitStore(1000.0), make()
        for store in (plain, moved):
            store.resize(2)
            assert store.take() != REFUSED
            assert store.taken == 1
            store.give_back(0.25)
            for _ in range(9):
                store.take()
            assert [store.reserve_return(1000.5, 1.0, 1.0, 0.0) for _ in range(4)][-1] >= 3
        other = make()
        other.take_over(moved.hand_over(), 2, 0)
        back = MemoryPermitStore(0.0)
        back.take_over(other.hand_over(), 2, 0)
        assert back.hold == 0.25
        for _ in range(3):
            assert (back.take(), plain.take()) == (REFUSED, REFUSED)
            assert back.reserve_return(1002.0, 1.0, 1.0, 0.0) == plain.reserve_return(1002.0, 1.0, 1.0, 0.0)
        for store in (back, plain):
            store.give_back()
        assert back.take() == plain.take() == 14


class TestPermits:
    def test_no_more_than_the_limit_are_taken(self) -> None:
        store = MemoryPermitStore()
        assert store.take() == REFUSED, "a new store has no permits"
        store.resize(2)
        assert [store.take() for _ in range(3)] == [2, 3, REFUSED], "each arrival has a number"
        store.give_back()
        assert (store.in_flight, store.take(), store.take()) == (1, 5, REFUSED)

    def test_a_lower_limit_keeps_what_is_in_use(self) -> None:
        store = MemoryPermitStore()
        store.resize(3)
        assert [store.take() for _ in range(3)] == [1, 2, 3]
        store.resize(1)
        assert (store.limit, store.in_flight) == (1, 3)
        for _ in range(2):
            store.give_back()
            assert store.take() == REFUSED
        store.give_back()
        assert store.take() == 6

    def test_places_get_permits_in_their_order(self) -> None:
        store, woken = MemoryPermitStore(), list[int]()
        store.on_admitted(lambda: woken.append(store.head))
        store.max_waiting = 3
        store.resize(1)
        assert [store.join() for _ in range(5)] == [TAKEN, 0, 1, 2, FULL]
        assert store.leave(1), "it has no permit yet"
        store.give_back()
        assert (store.waiting, store.in_flight, woken) == (1, 1, [1])
        assert not store.leave(0), "it has its permit"
        store.give_back()
        assert (store.waiting, store.in_flight, woken) == (0, 1, [1, 3])
        store.give_back()
        assert (store.join(), store.in_flight) == (TAKEN, 1)
        assert store.join() == 3
        store.resize(2)
        assert (store.head, store.in_flight, store.waiting) == (4, 2, 0)
