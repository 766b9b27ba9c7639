from __future__ import annotations

from gateway.policy.machine import REFUSED
from gateway.policy.store import FULL, TAKEN, MemoryPermitStore


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
