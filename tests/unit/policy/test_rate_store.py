from __future__ import annotations

import random
from itertools import count

import pytest

from gateway.policy.rate_store import FORGOTTEN, HELD, MOST_SLOTS, NONE, WAYS, MemoryRateStore, slots_for

NOW = 1000.0


def keys(number: int, seed: int = 1) -> list[int]:
    dice = random.Random(seed)
    return [dice.getrandbits(64) - (1 << 63) for _ in range(number)]


def put(store: MemoryRateStore, key: int, moment: float, now: float = NOW) -> None:
    store.table.put(store.table.find(key), key, moment, now)


def moment(store: MemoryRateStore, key: int) -> float:
    slot = store.table.find(key)
    return -1.0 if slot == NONE else store.table.moments[slot]


def test_slots_are_whole_sets_with_room_to_spare() -> None:
    assert slots_for(1) == WAYS
    assert slots_for(100_000) == 150_000
    assert slots_for(1_000_000) == MOST_SLOTS


def test_what_was_put_is_found_and_changed_in_place() -> None:
    store = MemoryRateStore(slots_for(100))
    assert store.table.find(7) == NONE
    put(store, 7, 1001.0)
    put(store, -7, 1002.0)
    put(store, 7, 1003.0)
    assert (moment(store, 7), moment(store, -7), moment(store, 8)) == (1003.0, 1002.0, -1.0)
    assert store.table.counts.tolist() == [2, 0]


@pytest.mark.parametrize("seed", range(2))
def test_as_many_keys_as_promised_find_room(seed: int) -> None:
    """In the worst case, where no bucket is ever full again. 100,000 keys, their buckets included, are 2.4 MB."""
    store = MemoryRateStore(slots_for(100_000))
    put_ = store.table.put
    for number, key in enumerate(keys(100_000, seed)):
        put_(NONE, key, NOW + number, NOW)
    assert store.table.counts.tolist() == [100_000, 0]
    assert store.table.hashes.nbytes + store.table.moments.nbytes == 2_400_000


def test_a_full_bucket_makes_room_before_one_that_is_not() -> None:
    """One set: its slots are taken by the moments at which the buckets are full again, the earliest first."""
    store = MemoryRateStore(WAYS)
    for number in range(1, WAYS + 1):
        put(store, number, NOW + number)
    put(store, 100, NOW + 50, now=NOW + 2)  # the first two are full by now
    assert (moment(store, 1), moment(store, 2)) == (-1.0, NOW + 2)
    assert store.table.counts[FORGOTTEN] == 0, "nothing was lost with it"
    put(store, 101, NOW + 51, now=NOW + 2)
    put(store, 102, NOW + 52, now=NOW + 2)
    assert [moment(store, number) for number in (1, 2, 3)] == [-1.0] * 3
    assert moment(store, 4) == NOW + 4
    assert store.table.counts.tolist() == [WAYS, 1], "the third still counted"


def test_memory_is_bounded_whatever_comes() -> None:
    store = MemoryRateStore(slots_for(1000))
    size = store.table.hashes.nbytes
    for number, key in enumerate(keys(20_000)):
        put(store, key, NOW + number + 1)
    assert store.table.counts[HELD] <= slots_for(1000)
    assert store.table.hashes.nbytes == size
    found = [number for number, key in enumerate(keys(20_000)) if moment(store, key) > 0]
    assert len(found) == store.table.counts[HELD]
    assert min(found) > 17_000, "the fullest, which came first, were forgotten"


def test_another_store_goes_on_with_all_of_it() -> None:
    first, second = MemoryRateStore(slots_for(100)), MemoryRateStore(slots_for(100))
    for key, at in zip(keys(100), count(1)):
        put(first, key, NOW + at)
    put(second, 5, NOW)
    first.enter()
    second.take_over(first.hand_over())
    first.leave()
    assert [moment(second, key) for key in keys(100)] == [NOW + at for at in range(1, 101)]
    assert second.table.counts.tolist() == [100, 0]
    assert moment(second, 5) == -1.0


def test_other_numbers_change_what_is_not_full() -> None:
    store = MemoryRateStore(8)
    put(store, 1, NOW + 30)
    put(store, 2, NOW - 1)
    store.table.adapt(1.0, NOW)
    assert (moment(store, 1), moment(store, 2)) == (NOW + 30, NOW - 1), "there were no numbers before"
    store.table.adapt(0.5, NOW)
    store.table.adapt(0.5, NOW)
    assert (moment(store, 1), moment(store, 2)) == (NOW + 15, NOW - 1)
    other = MemoryRateStore(8)
    other.take_over(store.hand_over())
    other.table.adapt(2.0, NOW + 5)
    assert moment(other, 1) == NOW + 5 + 40


def test_smaller_buckets_miss_no_more_than_they_hold() -> None:
    store = MemoryRateStore(8)
    for key, at in ((1, 30), (2, 3), (3, -1)):
        put(store, key, NOW + at)
    store.table.adapt(1.0, NOW, 10.0)
    store.table.adapt(1.0, NOW, 10.0)
    assert moment(store, 1) == NOW + 30, "nothing is known of other numbers"
    store.table.adapt(1.0, NOW, 10.0, clip=True)
    assert [moment(store, key) for key in (1, 2, 3)] == [NOW + 10, NOW + 3, NOW - 1]
    store.table.adapt(2.0, NOW, 12.0)
    assert [moment(store, key) for key in (1, 2, 3)] == [NOW + 12, NOW + 6, NOW - 1]


def test_one_bucket_is_made_empty_only_by_the_numbers_of_the_table() -> None:
    store = MemoryRateStore(8)
    put(store, 1, NOW + 30)
    slot = store.table.find(1)
    for at, interval, left in ((40, 1.0, 30), (20, 1.0, 20)):
        store.table.clip(slot, NOW + at, interval)
        assert moment(store, 1) == NOW + left
    store.table.adapt(2.0, NOW)
    for at, interval, left in ((9, 1.0, 20), (9, 2.0, 9)):
        store.table.clip(slot, NOW + at, interval)
        assert moment(store, 1) == NOW + left
