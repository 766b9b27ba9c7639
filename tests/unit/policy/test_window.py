from __future__ import annotations

from gateway.policy.window import BUCKETS, CALLERS, CELLS, Sample, Tally, Window, width_of

WORD = 4
WIDTH = width_of(10.0)


def filled(*samples: Sample, width: int = WIDTH) -> Window:
    window = Window([0] * CELLS)
    run = 0
    for sample in samples:
        run = run + 1 if sample.failed else 0
        window.add(WORD, width, sample, run)
    return window


def good(at: float) -> Sample:
    return Sample(at, failed=False, slow=False)


def bad(at: float, caller: int = 0) -> Sample:
    return Sample(at, failed=True, slow=False, caller=caller)


def slow(at: float, caller: int = 0) -> Sample:
    return Sample(at, failed=False, slow=True, caller=caller)


def test_a_window_has_ten_buckets() -> None:
    assert (BUCKETS, WIDTH) == (10, 1_000_000)


def test_it_counts_by_kind() -> None:
    both = Sample(100.0, failed=True, slow=True)
    assert filled(good(100.0), bad(100.5), slow(101.0), both).tally(WORD, 101.0, 3) == Tally(3, 4, 2, 2)


def test_a_bucket_leaves_as_a_whole_when_the_window_has_passed_it() -> None:
    window = filled(bad(100.0), bad(100.9), good(101.0))
    assert window.tally(WORD, 109.99, 0)[1:3] == (3, 2)
    assert window.tally(WORD, 110.0, 0)[1:3] == (1, 0)
    assert window.tally(WORD, 111.0, 0)[1:3] == (0, 0)
    assert window.add(WORD, WIDTH, bad(110.0), 1) == Tally(1, 2, 1)
    assert window.tally(WORD, 110.0, 0)[1:3] == (2, 1)
    assert window.add(WORD, WIDTH, bad(999.0), 2) == Tally(2, 1, 1)
    assert window.tally(WORD, 999.0, 0)[1:3] == (1, 1)


def test_a_clock_that_was_read_earlier_counts_as_now() -> None:
    window = filled(good(100.0), bad(95.0))
    assert window.tally(WORD, 95.0, 0)[1:3] == (2, 1)
    assert window.tally(WORD, 109.0, 0)[1:3] == (2, 1)


def test_another_word_finds_it_empty_and_begins_it() -> None:
    window = filled(bad(100.0, 7), bad(100.0, 8))
    assert window.tally(8, 100.0, 1) == Tally(1)
    window.add(8, WIDTH, bad(100.0), 1)
    assert window.tally(8, 100.0, 1) == Tally(1, 1, 1)
    assert window.tally(WORD, 100.0, 0) == Tally()


def test_another_width_begins_it() -> None:
    window = filled(bad(100.0), bad(100.0))
    window.add(WORD, width_of(20.0), bad(100.0), 3)
    assert window.tally(WORD, 100.0, 3) == Tally(3, 1, 1)


def test_without_a_width_nothing_leaves() -> None:
    window = filled(bad(100.0, 7), bad(5000.0, 8), width=0)
    assert window.tally(WORD, 9000.0, 2) == Tally(2, 2, 2, 0, 2, 2, 0)


def test_a_caller_counts_once_for_each_kind_and_as_long_as_the_window() -> None:
    window = filled(bad(100.0, 7), bad(101.0, 7), slow(102.0, 7), bad(103.0, 8), slow(103.0, 9), bad(104.0))
    assert window.tally(WORD, 104.0, 1)[4:] == (0, 2, 2)
    assert window.tally(WORD, 111.0, 1)[4:] == (0, 1, 2)
    assert window.tally(WORD, 112.0, 1)[4:] == (0, 1, 1)
    assert window.tally(WORD, 113.0, 1)[4:] == (0, 0, 0)


def test_a_success_ends_the_run_of_its_callers_and_no_window() -> None:
    window = filled(bad(100.0, 7), bad(100.0, 8))
    assert window.tally(WORD, 100.0, 2)[4:] == (2, 2, 0)
    assert window.add(WORD, WIDTH, good(100.0), 0)[4:] == (0, 2, 0)


def test_a_new_run_has_only_its_own_callers() -> None:
    window = filled(bad(100.0, 7), bad(100.0, 8), good(100.0))
    assert window.tally(WORD, 100.0, 0).run_callers == 0
    window.add(WORD, WIDTH, bad(100.0, 8), 1)
    assert window.tally(WORD, 100.0, 1)[4:] == (1, 2, 0)


def test_the_newest_callers_are_kept() -> None:
    window = filled(*(bad(100.0, caller) for caller in range(1, CALLERS + 3)))
    assert window.tally(WORD, 100.0, 99)[4:] == (CALLERS, CALLERS, 0)
    for caller in range(3, CALLERS + 3):  # all of them are known
        window.add(WORD, WIDTH, bad(110.0, caller), 99)
    assert window.tally(WORD, 111.0, 99).failed_callers == CALLERS


def test_another_window_goes_on() -> None:
    window = filled(good(100.0), bad(101.0, 7))
    other = Window([9] * (CELLS + 2), 1)
    other.load(window.saved())
    assert other.tally(WORD, 101.0, 1) == window.tally(WORD, 101.0, 1) == Tally(1, 2, 1, 0, 1, 1, 0)
    assert (other.cells[0], other.cells[-1]) == (9, 9)
    other.load(())
    assert other.tally(WORD, 101.0, 1) == Tally(1)
