from __future__ import annotations

import logging
import os

import pytest
from unit.page.stage import page_stage

from gateway.page.layout import FAILURES, HELD, JOURNALED, PROBING, RING_AT, TOTAL, WAITING
from gateway.page.slab import bits


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
