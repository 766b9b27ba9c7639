from __future__ import annotations

from gateway.policy.breaker import State
from gateway.policy.store import CLOSED, HALF_OPEN, OPEN, MemoryBreakerStore, MemoryPermitStore


class TestPermits:
    def test_no_more_than_the_limit_are_taken(self) -> None:
        store = MemoryPermitStore()
        assert not store.take(), "a new store has no permits"
        store.resize(2)
        assert [store.take() for _ in range(3)] == [True, True, False]
        store.give_back()
        assert (store.in_flight, store.take(), store.take()) == (1, True, False)

    def test_a_lower_limit_keeps_what_is_in_use(self) -> None:
        store = MemoryPermitStore()
        store.resize(3)
        assert all(store.take() for _ in range(3))
        store.resize(1)
        assert (store.limit, store.in_flight) == (1, 3)
        for _ in range(2):
            store.give_back()
            assert not store.take()
        store.give_back()
        assert store.take()


class TestBreaker:
    def test_the_states_are_those_of_the_machine(self) -> None:
        assert [CLOSED, OPEN, HALF_OPEN] == [0, 1, 2] == [state.value for state in State]

    def test_each_state_is_a_new_generation_without_probes(self) -> None:
        store = MemoryBreakerStore()
        generations = [store.generation]
        for number, state in enumerate((CLOSED, OPEN, HALF_OPEN, HALF_OPEN, CLOSED, CLOSED)):
            assert store.take_probe(1)
            store.enter(state, float(number))
            assert (store.state, store.since, store.probes) == (state, float(number), 0)
            generations.append(store.generation)
        assert generations == list(range(7))

    def test_failures_are_counted_until_they_are_forgiven_or_the_circuit_closes(self) -> None:
        store = MemoryBreakerStore()
        assert [store.fail(), store.fail(), store.failures] == [1, 2, 2]
        store.forgive()
        assert [store.failures, store.fail()] == [0, 1]
        for state, failures in ((OPEN, 1), (HALF_OPEN, 1), (CLOSED, 0)):
            store.enter(state, 0.0)
            assert store.failures == failures

    def test_no_more_probes_than_allowed(self) -> None:
        store = MemoryBreakerStore()
        assert [store.take_probe(2) for _ in range(3)] == [True, True, False]
        store.end_probe()
        assert (store.probes, store.take_probe(2), store.take_probe(2)) == (1, True, False)
