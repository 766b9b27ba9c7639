"""The schedule of Retry-After (`gateway.policy.retry_after`), in the slab of its limiter. All methods need its lock."""

from __future__ import annotations

import math
from array import array
from typing import Final

from gateway.page.layout import DUE, SCHEDULE, SCHEDULE_CELLS
from gateway.page.slab import Slab
from gateway.policy.retry_after import SLOTS, ReturnSchedule, Saved

_WHOLE: Final = (0, 1, 2, 5, 6)
"""Of the numbers of a schedule, those that are whole."""


class PageSchedule:
    """Of the limiter in ``slab``."""

    __slots__ = ("_cells", "_floats", "_schedule")

    def __init__(self, slab: Slab) -> None:
        self._cells = slab.cells
        self._floats = slab.floats
        self._schedule = ReturnSchedule(0.0, slab.cells[DUE : DUE + SLOTS])

    def loaded(self, now: float) -> ReturnSchedule:
        """The schedule as it stands; to be saved when it was asked."""
        self._schedule.load(self._saved() if self._begun else ReturnSchedule(now).saved())
        return self._schedule

    def save(self, saved: Saved) -> None:
        """What the schedule has become."""
        for at, number in enumerate(saved):
            if at in _WHOLE:
                self._cells[SCHEDULE + at] = int(number)
            else:
                self._floats[SCHEDULE + at] = number

    def hand_over(self, arrived: int) -> tuple[Saved, list[int]]:
        """All its numbers, after so many arrivals: those of `ReturnSchedule.saved`, and those of the seconds."""
        saved = self._saved() if self._begun else Saved(0, arrived, arrived, 0.0, math.inf, 0, 0)
        return saved, self._schedule.due

    def take_over(self, saved: Saved, due: list[int]) -> None:
        """Go on with the numbers of another schedule."""
        self._cells[DUE : DUE + SLOTS] = array("q", due)
        self.save(saved)

    @property
    def _begun(self) -> bool:
        """A caller was rejected once."""
        return bool(self._cells[SCHEDULE])

    def _saved(self) -> Saved:
        found = Saved(*self._cells[SCHEDULE : SCHEDULE + SCHEDULE_CELLS].tolist())
        return found._replace(fresh=self._floats[SCHEDULE + 3], since=self._floats[SCHEDULE + 4])
