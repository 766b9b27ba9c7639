from __future__ import annotations

import gc

import pytest
from unit.page.stage import PageStage, page_stage
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.page import page as module
from gateway.page.layout import OBEYED, ORDER
from gateway.page.learned import PageLearnedStore
from gateway.page.lone import ALONE, LoneStores, following, shares
from gateway.page.page import LINGER_SECONDS
from gateway.page.permits import PagePermitStore
from gateway.policy.breaker_store import Judged, MemoryBreakerStore
from gateway.policy.learned import MemoryLearnedStore
from gateway.policy.limiter import Limiter
from gateway.policy.rate_store import MemoryRateStore
from gateway.policy.store import MemoryPermitStore


def lone(stage: PageStage, order: int = ALONE) -> LoneStores:
    stage.supervisor.cells[ORDER] = order
    return LoneStores(stage.pages[0], Clock())


def order(stage: PageStage, *, shared: bool) -> None:
    cells = stage.supervisor.cells
    cells[ORDER] = following(int(cells[ORDER]), shared=shared)


@pytest.mark.parametrize(("before", "shared", "after"), [(2, True, 3), (3, True, 5), (3, False, 4), (4, False, 6)])
def test_each_order_has_a_number_of_its_own(before: int, shared: bool, after: int) -> None:
    assert following(before, shared=shared) == after
    assert shares(after) is shared
    assert not shares(ALONE)


def test_a_worker_that_is_alone_keeps_to_its_memory() -> None:
    with page_stage(1) as stage:
        stores = lone(stage)
        assert isinstance(stores.permits("ai"), MemoryPermitStore)
        assert isinstance(stores.breaker("ai", "http://a"), MemoryBreakerStore)
        assert (stores.census("ai"), stores.linger, stores.processes) == (None, 0.0, 1)
        assert isinstance(stores.learned("ai"), MemoryLearnedStore)
        assert stage.pages[0].cells[OBEYED] == ALONE


def test_one_that_is_started_beside_another_begins_in_the_page() -> None:
    with page_stage(1) as stage:
        stores = lone(stage, ALONE + 1)
        page = stage.pages[0]
        assert stores.permits("ai") is page.permits("ai")
        assert stores.breaker("ai", "http://a") is page.breaker("ai", "http://a")
        assert stores.census("ai") is page.census("ai")
        assert isinstance(stores.learned("ai"), PageLearnedStore)
        assert (stores.linger, stores.processes) == (LINGER_SECONDS, 1)
        store = stores.permits("ai")
        stores.forget(store)
        assert page.permits("ai") is not store


def test_what_it_judges_needs_no_number_of_a_worker() -> None:
    with page_stage(1) as stage:
        store = lone(stage, ALONE + 1).breaker("ai", "http://a")
        store.begin(1.0)
        store.keep(store.word, Judged(2.0, Outcome.FAILURE, "upstream_reset", 502, b"r"))
        assert [judged.worker for judged in store.outcomes] == [-1]


def test_an_order_is_obeyed_once_and_the_supervisor_is_rung() -> None:
    with page_stage(1) as stage:
        stores, moves = lone(stage), list[bool]()
        assert stage.rung(1), "it has obeyed the first one"
        limiter = Limiter(2, store=stores.permits("ai"))
        assert limiter.try_acquire() == 1

        def move() -> None:
            moves.append(gc.isenabled())
            limiter.move(stores.permits("ai"))

        for shared in (True, True, False, False):
            order(stage, shared=shared)
            stores.obey(move)
            assert isinstance(limiter.store, PagePermitStore) is shared
            assert (limiter.in_flight, limiter.held) == (1, 1)
            assert stage.pages[0].cells[OBEYED] == stage.pages[0].cells[ORDER]
            assert stage.rung(1)
        assert moves == [False, False], "the collector ends no exchange meanwhile"
        assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    with page_stage(1) as stage:
        stores = lone(stage)
        order(stage, shared=True)
        gc.disable()
        try:
            stores.obey(lambda: None)
            assert not gc.isenabled()
        finally:
            gc.enable()


def test_what_finds_no_room_in_the_page_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_SLABS", 1)
    with page_stage(1) as stage:
        stores = lone(stage, ALONE + 1)
        assert isinstance(stores.permits("first"), PagePermitStore)
        assert isinstance(stores.permits("second"), MemoryPermitStore)
        assert isinstance(stores.breaker("first", "http://a"), MemoryBreakerStore)
        assert stores.census("second") is None
        assert isinstance(stores.learned("second"), MemoryLearnedStore)
        assert caplog.text.count("while the worker is replaced, some limits hold for each process") == 1


def test_rate_limits_go_where_the_order_says_under_one_seed() -> None:
    with page_stage(1) as stage:
        stores, page = lone(stage), stage.pages[0]
        assert isinstance(stores.rates("ai client", 8), MemoryRateStore)
        order(stage, shared=True)
        stores.obey(lambda: None)
        assert stores.rates("ai client", 8) is page.rates("ai client", 8)
        assert stores.seed == page.seed
