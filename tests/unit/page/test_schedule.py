from __future__ import annotations

import math

from unit.page.stage import page_stage

from gateway.page.schedule import PageSchedule
from gateway.policy.retry_after import SLOTS, ReturnSchedule, Saved


def test_it_goes_on_where_another_process_has_left_it() -> None:
    with page_stage(2) as stage:
        one, other = (PageSchedule(page.permits("ai").slab) for page in stage.pages)
        plain = ReturnSchedule(1000.0)
        for number in range(20):
            schedule = (one, other)[number % 2]
            loaded, now = schedule.loaded(1000.0 + number / 7), 1000.0 + number / 7
            assert loaded.reserve(now, number * 3, 2.0, 2.0, 0.5) == plain.reserve(now, number * 3, 2.0, 2.0, 0.5)
            schedule.save(loaded.saved())
        assert one.hand_over(0) == (plain.saved(), plain.due)


def test_one_that_was_never_asked_takes_what_came_before_for_old() -> None:
    with page_stage(1) as stage:
        schedule = PageSchedule(stage.pages[0].permits("ai").slab)
        saved, due = schedule.hand_over(500)
        assert (saved, due) == (Saved(0, 500, 500, 0.0, math.inf, 0, 0), [0] * SLOTS)
        plain = ReturnSchedule(0.0, due)
        plain.load(saved)
        assert plain.peek(1000.0, 500, 2.0, 2.0, 0.0) == ReturnSchedule(1000.0).peek(1000.0, 0, 2.0, 2.0, 0.0)


def test_it_takes_over_from_one_in_memory() -> None:
    with page_stage(1) as stage:
        plain = ReturnSchedule(1000.0)
        for number in range(30):
            plain.reserve(1000.0, number, 2.0, 2.0, 0.0)
        schedule = PageSchedule(stage.pages[0].permits("ai").slab)
        schedule.take_over(plain.saved(), plain.due)
        assert schedule.hand_over(0) == (plain.saved(), plain.due)
        assert schedule.loaded(1001.0).peek(1001.0, 30, 2.0, 2.0, 0.0) == plain.peek(1001.0, 30, 2.0, 2.0, 0.0)
