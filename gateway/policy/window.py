"""What a breaker counts besides failures in a row: the attempts of the last seconds, and whose the bad ones were.

A window is ten *buckets*, each as wide as a tenth of it, on the clock of the machines. The newest is the one that the
clock is in, so what is counted covers nine tenths of the window, and up to the whole of it. What has left is gone at
the next attempt, without a timer. A window belongs to one word of its breaker, and begins empty under another one; it
also begins again when its width changes.

Callers are numbers, hashes of who they are. The newest `CALLERS` that failed are kept, and as many that were slow, so
that up to so many are counted.

All numbers are cells of 8 bytes, those of a list or of the shared page, whose lock the caller holds. A process that
dies between two stores leaves numbers that are good: no more failures than attempts, no caller that was none, and sums
that are right again when the window turns.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

BUCKETS: Final = 10
CALLERS: Final = 16
_MICROSECONDS: Final = 1_000_000

_WORD: Final = 0
_WIDTH: Final = 1
"""Of a bucket, in microseconds; 0: there is one bucket for all time."""
_NEWEST: Final = 2
"""The number of the newest bucket."""
_NOTED: Final = 3
"""How often a caller was noted."""
_RUN: Final = 4
"""What that was when the present run of failures began."""
_SUMS: Final = 5
"""Of all buckets: attempts, failures, slow calls. Computed again whenever the window turns."""
_TOTAL: Final = _SUMS + 3
_FAILED: Final = _TOTAL + BUCKETS
_SLOW: Final = _FAILED + BUCKETS
_CALLER_CELLS: Final = 3
"""Of a caller: its number, the bucket in which it was noted last, and the count of notes then."""
_FAILED_CALLERS: Final = _SLOW + BUCKETS
_SLOW_CALLERS: Final = _FAILED_CALLERS + CALLERS * _CALLER_CELLS
CELLS: Final = _SLOW_CALLERS + CALLERS * _CALLER_CELLS
_NOTHING: Final = (0,) * (CELLS - _NOTED)


class Sample(NamedTuple):
    """An attempt that is over. ``caller``: the number of who made it, above 0; 0: it is not to be noted."""

    at: float
    failed: bool
    slow: bool
    caller: int = 0


class Tally(NamedTuple):
    """What a breaker has counted: ``run`` failures in a row, and of the window's ``total`` attempts the ``failed`` and
    the ``slow`` ones. Of each: how many different callers were noted, `CALLERS` at most.
    """

    run: int = 0
    total: int = 0
    failed: int = 0
    slow: int = 0
    run_callers: int = 0
    failed_callers: int = 0
    slow_callers: int = 0


def width_of(seconds: float) -> int:
    """The width of the buckets of a window of so many seconds, in microseconds, as `Window.add` takes it."""
    return round(seconds * _MICROSECONDS / BUCKETS)


class Window:
    """Over the `CELLS` cells from ``at`` on. No cell but its own is touched."""

    __slots__ = ("_at", "cells")

    def __init__(self, cells: list[int] | memoryview, at: int = 0) -> None:
        self.cells = cells
        self._at = at

    def add(self, word: int, width: int, sample: Sample, run: int) -> Tally:
        """Count ``sample``, the last of ``run`` failures in a row; 0: it is none. What there is now."""
        cells, at = self.cells, self._at
        bucket = int(sample.at * _MICROSECONDS) // width if width else 0
        if cells[at + _WORD] != word or cells[at + _WIDTH] != width:
            self._begin(word, width, bucket)
        elif bucket > cells[at + _NEWEST]:
            self._turn(bucket)
        # A clock that was read before another process has turned the window: the attempt counts as one of now.
        newest = int(cells[at + _NEWEST])
        place = at + newest % BUCKETS
        cells[place + _TOTAL] += 1
        cells[at + _SUMS] += 1
        if sample.failed:
            if run == 1:
                cells[at + _RUN] = cells[at + _NOTED]
            cells[place + _FAILED] += 1
            cells[at + _SUMS + 1] += 1
            if sample.caller:
                self._note(at + _FAILED_CALLERS, sample.caller, newest)
        if sample.slow:
            cells[place + _SLOW] += 1
            cells[at + _SUMS + 2] += 1
            if sample.caller:
                self._note(at + _SLOW_CALLERS, sample.caller, newest)
        total, failed, slow = int(cells[at + _SUMS]), int(cells[at + _SUMS + 1]), int(cells[at + _SUMS + 2])
        if not cells[at + _NOTED]:
            return Tally(run, total, failed, slow)
        return Tally(run, total, failed, slow, *self._distinct(newest - BUCKETS + 1, run))

    def tally(self, word: int, now: float, run: int) -> Tally:
        """What the window holds of ``word``, after ``run`` failures in a row."""
        cells, at = self.cells, self._at
        if cells[at + _WORD] != word:
            return Tally(run)
        newest = int(cells[at + _NEWEST])
        width = int(cells[at + _WIDTH])
        oldest = max(newest, int(now * _MICROSECONDS) // width if width else 0) - BUCKETS + 1
        total, failed, slow = [self._sum(kind, oldest, newest) for kind in (_TOTAL, _FAILED, _SLOW)]
        return Tally(run, total, failed, slow, *self._distinct(oldest, run))

    def clear(self) -> None:
        """Forget all: whatever the word is, the window begins empty."""
        self.cells[self._at + _WORD] = 0

    def saved(self) -> tuple[int, ...]:
        """All its cells, for `load`."""
        return tuple(int(cell) for cell in self.cells[self._at : self._at + CELLS])

    def load(self, saved: Sequence[int]) -> None:
        """Go on from what another window has `saved`; from nothing: empty."""
        self.clear()
        if saved:
            self._fill(_WIDTH, saved[1:])
            self.cells[self._at + _WORD] = saved[_WORD]

    def _begin(self, word: int, width: int, bucket: int) -> None:
        cells, at = self.cells, self._at
        self.clear()  # who dies before the end leaves a window that begins again
        self._fill(_WIDTH, (width, bucket, *_NOTHING))
        cells[at + _WORD] = word

    def _fill(self, place: int, numbers: Sequence[int]) -> None:
        start = self._at + place
        self.cells[start : start + len(numbers)] = array("q", numbers)

    def _turn(self, bucket: int) -> None:
        cells, at = self.cells, self._at
        for number in range(max(int(cells[at + _NEWEST]) + 1, bucket - BUCKETS + 1), bucket + 1):
            for kind in (_SLOW, _FAILED, _TOTAL):
                cells[at + kind + number % BUCKETS] = 0
        cells[at + _NEWEST] = bucket
        for place, kind in enumerate((_TOTAL, _FAILED, _SLOW), at + _SUMS):
            cells[place] = sum(cells[at + kind : at + kind + BUCKETS])

    def _sum(self, kind: int, oldest: int, newest: int) -> int:
        start = self._at + kind
        return sum([int(self.cells[start + number % BUCKETS]) for number in range(oldest, newest + 1)])

    def _note(self, table: int, caller: int, bucket: int) -> None:
        cells, noted = self.cells, self._at + _NOTED
        cells[noted] += 1
        entries = range(table, table + CALLERS * _CALLER_CELLS, _CALLER_CELLS)
        known = [entry for entry in entries if cells[entry] == caller]
        entry = known[0] if known else min(entries, key=lambda place: int(cells[place + 2]))
        cells[entry] = 0
        cells[entry + 1] = bucket
        cells[entry + 2] = cells[noted]
        cells[entry] = caller

    def _distinct(self, oldest: int, run: int) -> tuple[int, int, int]:
        """How many callers failed in the run, failed since the bucket ``oldest``, and were slow since then."""
        failing, waiting = list(self._callers(_FAILED_CALLERS)), list(self._callers(_SLOW_CALLERS))
        began = self.cells[self._at + _RUN]
        return (
            sum(note > began for _, note in failing) if run else 0,
            sum(bucket >= oldest for bucket, _ in failing),
            sum(bucket >= oldest for bucket, _ in waiting),
        )

    def _callers(self, table: int) -> Iterable[tuple[int, int]]:
        """Of each caller in the table: the bucket and the count of its last note."""
        cells, start = self.cells, self._at + table
        for entry in range(start, start + CALLERS * _CALLER_CELLS, _CALLER_CELLS):
            if cells[entry]:
                yield int(cells[entry + 1]), int(cells[entry + 2])
