from __future__ import annotations

import errno
import mmap
import os

import pytest
from unit.page.stage import PageStage, page_stage
from unit.scene import Clock

from gateway.page import page
from gateway.page.layout import MAX_SLABS, SIZE, USERS, WITH_AREAS
from gateway.page.rates import PageRateStore
from gateway.policy.rate import Buckets, RateLimit, RateLimits
from gateway.policy.rate_store import HELD, MemoryRateStore, RateStore, slots_for

SLOTS = slots_for(100)
NOW = 1000.0


def stores(stage: PageStage, name: str = "ai client") -> list[PageRateStore]:
    """The buckets as each process has them."""
    return [page.rates(name, SLOTS) for page in stage.pages]


def put(store: RateStore, key: int, moment: float) -> None:
    store.enter()
    store.table.put(store.table.find(key), key, moment, NOW)
    store.leave()


def moment(store: RateStore, key: int) -> float:
    slot = store.table.find(key)
    return 0.0 if slot < 0 else store.table.moments[slot]


def resident(stage: PageStage) -> int:
    """Bytes of memory that the page takes."""
    return os.fstat(stage.descriptor).st_blocks * 512


def test_all_processes_see_the_same_buckets() -> None:
    with page_stage() as stage:
        first, second, _ = stores(stage)
        put(first, 7, NOW + 1)
        assert moment(second, 7) == NOW + 1
        put(second, 7, NOW + 2)
        assert moment(first, 7) == NOW + 2
        assert first.table.counts[HELD] == second.table.counts[HELD] == 1
        assert stage.pages[0].rates("ai client", SLOTS) is first, "the same one for the same name"
        assert moment(stage.pages[0].rates("ai principal", SLOTS), 7) == 0.0
        assert moment(stage.pages[0].rates("ai client", slots_for(200)), 7) == 0.0, "another size is another table"


def test_a_limit_takes_the_memory_of_its_keys() -> None:
    """The file is long from the first rate limit on, and empty."""
    with page_stage() as stage:
        stage.permits(5)
        assert os.fstat(stage.descriptor).st_size == SIZE
        before = resident(stage)
        store = stage.pages[0].rates("big", slots_for(1_000_000))
        assert os.fstat(stage.descriptor).st_size == WITH_AREAS
        put(store, 7, NOW + 1)
        assert resident(stage) - before < 200_000
        last = PageRateStore(stage.pages[0]._slab(MAX_SLABS), area_of(stage, MAX_SLABS), slots_for(1_000_000))
        last.table.moments[slots_for(1_000_000) - 1] = 1.0


def area_of(stage: PageStage, number: int) -> mmap.mmap:
    from gateway.page.rates import area

    stage.pages[0].make_lock(number)
    return area(stage.descriptor, number)


def test_the_last_process_gives_the_memory_back() -> None:
    with page_stage() as stage:
        mine, others, third = stores(stage)
        mine.table.adapt(1.0, NOW)
        for key in range(1, 100):
            put(mine, key, NOW + key)
        before = resident(stage)
        stage.pages[0].forget(mine)
        stage.pages[2].forget(third)
        stage.pages[2].forget(third)
        assert moment(others, 7) == NOW + 7, "another process uses it"
        stage.pages[1].forget(others)
        assert resident(stage) < before
        again = stage.pages[0].rates("ai client", SLOTS)
        assert again is not mine
        assert (moment(again, 7), again.table.counts.tolist(), again.table.interval[0]) == (0.0, [0, 0], 0.0)


def test_where_memory_cannot_be_given_back_it_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    with page_stage() as stage:
        store, *_ = stores(stage)
        put(store, 7, NOW + 7)

        class Unable:
            def madvise(self, option: int) -> None:
                raise OSError

        monkeypatch.setattr(store, "_memory", Unable())
        store.clear()
        assert moment(store, 7) == 0.0
        assert not any(store.table.hashes)
        assert not any(store.table.moments)


def test_a_system_without_memory_is_as_a_page_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, number: int) -> mmap.mmap:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with page_stage() as stage:
        monkeypatch.setattr(page, "area", none)
        with pytest.raises(page.PageFullError, match="no memory for the rate limit ai client: Cannot allocate memory"):
            stores(stage)


def test_buckets_outlive_a_process() -> None:
    with page_stage() as stage:
        first, second, _ = stores(stage)
        put(first, 7, NOW + 7)
        stage.supervisor.bury(0)
        assert first.slab.cells[USERS] == 0
        assert moment(second, 7) == NOW + 7
        put(second, 8, NOW + 8)
        second.slab.check()


def test_buckets_move_between_the_page_and_the_memory_of_a_process() -> None:
    with page_stage() as stage:
        shared, other, _ = stores(stage)
        own = MemoryRateStore(SLOTS)
        put(own, 7, NOW + 7)
        own.table.adapt(0.5, NOW)
        shared.take_over(own.hand_over())
        assert other.table.interval[0] == 0.5
        assert (moment(other, 7), other.table.counts.tolist()) == (NOW + 7, [1, 0])
        put(other, 8, NOW + 8)
        back = MemoryRateStore(SLOTS)
        back.take_over(shared.hand_over())
        assert (moment(back, 7), moment(back, 8)) == (NOW + 7, NOW + 8)


def test_all_processes_hash_with_one_seed() -> None:
    with page_stage() as stage, page_stage() as another:
        seeds = {page.seed for page in stage.pages}
        assert len(seeds) == 1
        assert {len(seed) for seed in seeds} == {16}
        assert seeds != {another.pages[0].seed}


def test_limits_of_several_locks_are_one_decision() -> None:
    clock = Clock()
    with page_stage() as stage:
        machines = [
            RateLimits(
                [RateLimit(name, 1.0, 1.0, burst, Buckets(name, page.rates(name, SLOTS))) for name, burst in order],
                clock=clock,
            )
            for page, order in zip(stage.pages, [(("a", 2), ("b", 5)), (("b", 5), ("a", 2))], strict=False)
        ]
        admitted = [machines[turn % 2].try_take([1, 1]) is None for turn in range(6)]
        assert admitted == [True, True, False, False, False, False]
        assert machines[1].limits[0].left(1, clock()) == (3, 1)
        assert not any(stage.pages[0].holders())
