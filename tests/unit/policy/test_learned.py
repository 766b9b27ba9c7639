from __future__ import annotations

import math

from gateway.policy.learned import Learned, Load, MemoryLearnedStore


def test_a_change_sees_what_this_process_has_at_the_upstream() -> None:
    store = MemoryLearnedStore()
    assert store.bound == math.inf
    seen = list[Load]()

    def change(learned: Learned, load: Load) -> float:
        learned.limit += 3
        seen.append(load)
        return 0.5

    store.update(Load(4, 2, 1), change)
    store.update(Load(), change)
    assert (store.bound, store.read().limit, seen) == (0.5, 6, [Load(4, 2, 1), Load()])


def test_what_is_read_and_written_is_a_copy() -> None:
    store, other = MemoryLearnedStore(), MemoryLearnedStore()
    copy = store.read()
    copy.samples.append(1.0)
    copy.limit = 7
    assert store.read() == Learned()
    other.write(copy, 2.0)
    copy.samples.append(2.0)
    assert (other.read().samples, other.read().limit, other.bound) == ([1.0], 7, 2.0)
