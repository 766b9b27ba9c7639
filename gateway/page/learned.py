"""What an adaptive limit has learnt, in the slab of its limiter: a `gateway.policy.learned.LearnedStore`.

A process that dies while it writes leaves some of the numbers old and some new. Each of them is one that held, and they
are measurements, so nothing is repaired.
"""

from __future__ import annotations

import math
from array import array
from typing import Final

from gateway.page.layout import DECISION_CELLS, DECISIONS, LEARNED, LOAD_CELLS, LOADS, SAMPLES, SLOTS, USERS
from gateway.page.slab import Slab
from gateway.policy.learned import CAUSES, KEPT_DECISIONS, KEPT_SAMPLES, Change, Decision, Learned, Load

_WHOLE: Final = ("limit", "proved", "misjudged")
_PARTS: Final = (
    *("changed_at", "raised_at", "rest_until", "rest", "looked_at", "sampled_at"),
    *("timely", "late", "dropped", "span", "area", "begins", "slow"),
)
_COUNT: Final = LEARNED + len(_WHOLE)
"""How many samples there are, and then how many decisions."""
_PARTS_AT: Final = _COUNT + 2
_BOUND: Final = _PARTS_AT + len(_PARTS)


class PageLearnedStore:
    """In the slab of the limiter, for the process in ``slab.slot``."""

    __slots__ = ("_cells", "_floats", "slab")

    def __init__(self, slab: Slab) -> None:
        self.slab = slab
        self._cells = slab.cells
        self._floats = slab.floats

    @property
    def bound(self) -> float:
        """As `LearnedStore.bound`."""
        return self._floats[_BOUND] or math.inf

    def update(self, load: Load, change: Change) -> None:
        """As `LearnedStore.update`."""
        cells = self._cells
        with self.slab.locked():
            mine = LOADS + self.slab.slot * LOAD_CELLS
            cells[mine : mine + LOAD_CELLS] = array("q", load)
            learned = self._load()
            self._save(learned, change(learned, self._sum()))

    def read(self) -> Learned:
        """As `LearnedStore.read`."""
        with self.slab.locked():
            return self._load()

    def write(self, learned: Learned, bound: float) -> None:
        """As `LearnedStore.write`."""
        with self.slab.locked():
            self._save(learned, bound)

    # -- with the lock held

    def _sum(self) -> Load:
        """Of the processes that live."""
        loads = self._cells[LOADS : LOADS + SLOTS * LOAD_CELLS].tolist()
        used = [slot * LOAD_CELLS for slot, uses in enumerate(self._cells[USERS : USERS + SLOTS].tolist()) if uses]
        sent, begun, overdue = (sum([loads[at + part] for at in used]) for part in range(LOAD_CELLS))
        return Load(sent, begun, overdue)

    def _load(self) -> Learned:
        cells, floats = self._cells, self._floats
        limit, proved, misjudged, samples, decisions = cells[LEARNED:_PARTS_AT].tolist()
        learned = Learned(limit=limit, proved=bool(proved), misjudged=misjudged)
        for name, value in zip(_PARTS, floats[_PARTS_AT:_BOUND].tolist(), strict=True):
            setattr(learned, name, value)
        learned.slow = learned.slow or math.inf
        learned.samples = [*floats[SAMPLES : SAMPLES + min(samples, KEPT_SAMPLES)]]
        places = range(min(decisions, KEPT_DECISIONS))
        learned.decisions = [self._decision(DECISIONS + place * DECISION_CELLS) for place in places]
        return learned

    def _save(self, learned: Learned, bound: float) -> None:
        cells, floats = self._cells, self._floats
        whole = [learned.limit, learned.proved, learned.misjudged, len(learned.samples), len(learned.decisions)]
        cells[LEARNED:_PARTS_AT] = array("q", whole)
        floats[_PARTS_AT:_BOUND] = array("d", [getattr(learned, name) for name in _PARTS])
        floats[_BOUND] = bound
        floats[SAMPLES : SAMPLES + len(learned.samples)] = array("d", learned.samples)
        for number, decision in enumerate(learned.decisions):
            self._save_decision(DECISIONS + number * DECISION_CELLS, decision)

    def _decision(self, at: int) -> Decision:
        old, new, cause, sent, begun, overdue = self._cells[at : at + 6].tolist()
        when, *figures = self._floats[at + 6 : at + 13].tolist()
        return Decision(when, old, new, CAUSES[cause], sent, begun, overdue, *figures)

    def _save_decision(self, at: int, told: Decision) -> None:
        whole = [told.old, told.new, CAUSES.index(told.cause), told.sent, told.begun, told.overdue]
        self._cells[at : at + 6] = array("q", whole)
        figures = [told.timely, told.late, told.dropped, told.usual, told.bound, told.busy]
        self._floats[at + 6 : at + 13] = array("d", [told.at, *figures])
