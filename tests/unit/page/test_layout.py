from __future__ import annotations

import mmap
from itertools import pairwise

from gateway.launch import MOST_WORKERS
from gateway.page import layout
from gateway.policy.retry_after import SLOTS as SECONDS

PARTS = [
    (layout.IN_USE, 8),
    (layout.MUTEX, 8),
    (layout.JOURNALED, 1),
    (layout.JOURNAL, 2 * layout.JOURNAL_PAIRS),
    (layout.DIRTY, 1),
    (layout.CONNECTIONS, 1),
    (layout.KEY, layout.KEY_CELLS),
    (layout.WORD, 6),
    (layout.SCHEDULE, layout.SCHEDULE_CELLS),
    (layout.HELD, layout.SLOTS),
    (layout.PROBES, layout.SLOTS),
    (layout.ARRIVED, layout.SLOTS),
    (layout.USERS, layout.SLOTS),
    (layout.DUE, SECONDS),
    (layout.OUTCOMES, layout.RECORD_CELLS * layout.KEPT_OUTCOMES),
    (layout.MOVES, layout.RECORD_CELLS * layout.KEPT_MOVES),
    (layout.OPEN, layout.SLOTS),
    (layout.REUSED, 5),
]


def test_no_two_numbers_share_a_cell() -> None:
    for (start, size), (after, _) in pairwise(PARTS):
        assert start + size <= after
    assert PARTS[-1][0] + PARTS[-1][1] <= layout.CELLS


def test_every_block_begins_on_a_page_of_memory() -> None:
    """Where a lock lies at a multiple of its alignment, and an untouched ring takes no memory."""
    assert layout.BLOCK % mmap.PAGESIZE == 0
    assert layout.MUTEX * layout.CELL % 16 == 0
    assert layout.RING >= 100_000, "the most places that a configuration may name"


def test_there_is_a_slot_for_each_process() -> None:
    """Of a worker two, because in a restart the new one gets ready while the old one serves."""
    assert layout.QUARANTINE == 2 * MOST_WORKERS == layout.SLOTS - 1
    assert layout.SLOTS < 256, "an entry of the ring is a byte"
