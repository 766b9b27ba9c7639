from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable

import pytest
from unit.page.stage import page_stage

from gateway.core.outcome import Outcome
from gateway.page.layout import FAILURES, HELD, JOURNALED, PROBING, RING_AT, TOTAL, WAITING
from gateway.page.slab import bits
from gateway.policy.breaker_store import HALF_OPEN, Judged


def test_a_number_keeps_its_bits() -> None:
    with page_stage() as stage:
        [store, *_] = stage.permits(1)
        store.slab.cells[FAILURES] = bits(0.1)
        assert store.slab.floats[FAILURES] == 0.1


def test_what_is_in_a_journal_is_done_when_its_writer_has_died() -> None:
    with page_stage() as stage:
        [store, other, _] = stage.permits(5)

        def die() -> None:
            slab = store.slab
            slab.enter()
            slab.commit((HELD, 2), (RING_AT + 3, 0))
            slab.cells[TOTAL] = 77
            slab.cells[JOURNALED] = 1  # as if the cells were not written yet
            slab.cells[HELD] = 0
            os._exit(0)

        child = os.fork()
        if not child:
            die()
        os.waitpid(child, 0)
        with other.slab.locked():
            pass
        assert (other.slab.recovered, other.in_flight, other.slab.cells[JOURNALED]) == (1, 2, 0)
        other.slab.check()


def test_what_comes_inside_is_done_behind_the_lock() -> None:
    with page_stage() as stage:
        [store, *_] = stage.permits(2)
        assert store.take() > 0
        with store.slab.locked():
            store.give_back()  # as a finalizer does
            assert store.in_flight == 1
        assert store.in_flight == 0


class Ended:
    """An exchange that is garbage: its end gives back what it has."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do, self.itself = do, self

    def __del__(self) -> None:
        self.do()


def test_the_garbage_collector_may_end_exchanges_while_a_lock_is_held() -> None:
    """Of any slab: two processes that wait for a second lock while they hold a first one could wait forever."""
    with page_stage() as stage:
        [store, *_], [other, *_] = stage.permits(1), stage.permits(1, name="other")
        breaker = stage.pages[0].breaker("ai", "http://a")
        breaker.begin(1.0)
        assert breaker.enter(breaker.word, HALF_OPEN, 2.0, "why")
        assert breaker.take_probe(breaker.word, 1)
        assert store.take() > 0
        assert other.take() > 0
        place = other.join()
        left = list[bool]()
        judged = Judged(1.0, Outcome.IGNORED, "", 0, b"id")

        def end() -> None:
            store.give_back()
            left.append(other.leave(place))
            breaker.keep(breaker.word, judged)
            breaker.end_probe(breaker.word)

        gc.collect()
        Ended(end)
        with store.slab.locked():
            gc.collect()
            assert (left, store.in_flight, other.waiting, breaker.probes) == ([True], 1, 1, 1)
        assert (store.in_flight, other.waiting, breaker.probes) == (0, 0, 0)
        assert [outcome.request_id for outcome in breaker.outcomes] == [b"id"]


def test_a_place_that_was_admitted_before_it_could_be_left_gives_its_permit_back() -> None:
    with page_stage() as stage:
        [store, other, _] = stage.permits(1)
        assert other.take() > 0
        place = store.join()
        other.give_back()
        with store.slab.locked():
            assert store.leave(place), "the caller has nothing to do with it any more"
        assert (store.in_flight, store.held) == (0, 0)


def test_a_defect_inside_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    with page_stage() as stage:
        [store, other, _] = stage.permits(2)
        child = os.fork()
        if not child:
            logging.getLogger("gateway").handlers.clear()
            with store.slab.locked():
                raise ValueError("a defect")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 70
        assert other.take() > 0
        assert other.slab.recovered == 1


@pytest.mark.parametrize(
    ("cell", "value", "said"), [(TOTAL, 1, "I1"), (PROBING, 1, "I1"), (WAITING, 1, "sum"), (JOURNALED, 1, "I4")]
)
def test_a_number_that_does_not_fit_is_seen(cell: int, value: int, said: str) -> None:
    with page_stage() as stage:
        [store, *_] = stage.permits(2)
        store.slab.check()
        store.slab.cells[cell] = value
        with pytest.raises(AssertionError, match=said):
            store.slab.check()
