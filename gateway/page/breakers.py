"""The numbers of a breaker, shared by all workers: a `gateway.policy.breaker_store.BreakerStore`.

A closed circuit without failures is read, and takes no lock; one with a window takes it once for each attempt. What
counted, and what moved it, stands in two rings of records, so that any worker can explain what another one did.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.core.outcome import Outcome
from gateway.page.layout import (
    CELL,
    FAILURES,
    KEPT_MOVES,
    KEPT_OUTCOMES,
    MOVES,
    NEXT_MOVE,
    NEXT_OUTCOME,
    OUTCOMES,
    PROBES,
    PROBING,
    RECORD_CELLS,
    SINCE,
    SLOTS,
    WINDOW,
    WORD,
)
from gateway.page.slab import Slab, bits
from gateway.policy.breaker_rules import RULES, Figures, figures_of
from gateway.policy.breaker_store import CLOSED, STATE_OF, BreakerNumbers, Judged, Move, State
from gateway.policy.window import Sample, Tally, Window

_OUTCOMES: Final = tuple(Outcome)
_AT: Final = 1
_FACTS: Final = 2
"""Of a result: its outcome, its status and the lengths of its texts. Of a move: the word before, and lengths."""
_TEXT: Final = 3
_ROOM: Final = (RECORD_CELLS - _TEXT) * CELL
"""Bytes of text in a record."""
_NO_WORKER: Final = 0xFF
"""The byte of the worker, when there is one alone."""
_FIRST_TEXT: Final = 40
"""Bytes of them that the first of two texts may have."""


class PageBreakerStore:
    """For the process in ``slab.slot``."""

    __slots__ = ("_bytes", "_cells", "_mine", "_window", "_worker", "numbers", "slab")

    def __init__(self, slab: Slab, worker: int) -> None:
        """``worker``: the number by which operators know this process; -1: it needs none."""
        self.slab = slab
        self._worker = worker
        self._cells = slab.cells
        self.numbers: Sequence[int] = slab.cells[WORD : FAILURES + 1]
        """As `BreakerStore.numbers`: the cells follow one another."""
        self._bytes = slab.cells.cast("B")
        self._mine = PROBES + slab.slot
        self._window = Window(slab.cells, WINDOW)

    # -- what is read without the lock

    @property
    def word(self) -> int:
        return self._cells[WORD]

    @property
    def since(self) -> float:
        return self.slab.floats[SINCE]

    @property
    def failures(self) -> int:
        return self._cells[FAILURES]

    @property
    def probes(self) -> int:
        return self._cells[PROBING]

    @property
    def outcomes(self) -> list[Judged]:
        return self._outcomes_of(self.word)

    @property
    def moves(self) -> list[Move]:
        found = []
        end = int(self._cells[NEXT_MOVE])
        for number in range(max(0, end - KEPT_MOVES), end):
            move = self._move(number)
            if move is not None:
                found.append(move)
        return found

    # -- what changes

    def begin(self, now: float) -> None:
        """As `BreakerStore.begin`."""
        if self._cells[WORD]:
            return
        slab = self.slab
        slab.enter()
        if not self._cells[WORD]:
            self._window.clear()
            slab.commit((FAILURES, 0), (SINCE, bits(now)), (WORD, 1 << 2 | CLOSED))
        slab.leave()

    def enter(
        self,
        word: int,
        state: int,
        now: float,
        cause: str,
        by: str = "",
        after: float = 0.0,
        figures: Figures | None = None,
    ) -> bool:
        """As `BreakerStore.enter`."""
        cells, slab = self._cells, self.slab
        slab.enter()
        moved = bool(cells[WORD] == word and not (after and now - slab.floats[SINCE] < after))
        if moved:
            new = ((word >> 2) + 1) << 2 | state
            self._note_move(new, word, now, cause, by, figures)
            # Their holders learn by the word that they are void.
            for probes in range(PROBES, PROBES + SLOTS):
                if cells[probes]:
                    slab.commit((probes, 0), (PROBING, cells[PROBING] - cells[probes]))
            failures = 0 if state == CLOSED else int(cells[FAILURES])
            slab.commit((FAILURES, failures), (SINCE, bits(now)), (WORD, new))
        slab.leave()
        return moved

    def keep(self, word: int, judged: Judged) -> None:
        """As `BreakerStore.keep`."""
        cells, slab = self._cells, self.slab
        if slab.put_off(partial(self.keep, word, judged)):
            return
        slab.enter()
        if cells[WORD] == word:
            self._note_outcome(word, judged, self._worker)
        slab.leave()

    def fail(self, word: int) -> int:
        """As `BreakerStore.fail`."""
        cells, slab = self._cells, self.slab
        slab.enter()
        failures = 0
        if cells[WORD] == word:
            cells[FAILURES] = failures = int(cells[FAILURES]) + 1
        slab.leave()
        return failures

    def forgive(self, word: int) -> None:
        """As `BreakerStore.forgive`."""
        slab = self.slab
        slab.enter()
        if self._cells[WORD] == word:
            self._cells[FAILURES] = 0
        slab.leave()

    def count(self, word: int, width: int, sample: Sample) -> Tally | None:
        """As `BreakerStore.count`."""
        cells, slab, tally = self._cells, self.slab, None
        slab.enter()
        if cells[WORD] == word:
            before = int(cells[FAILURES])
            run = before + 1 if sample.failed else 0
            if run != before:
                cells[FAILURES] = run
            tally = self._window.add(word, width, sample, run)
        slab.leave()
        return tally

    def tally(self, now: float) -> Tally:
        """As `BreakerStore.tally`."""
        return self._window.tally(self.word, now, self.failures)

    def take_probe(self, word: int, most: int) -> bool:
        """As `BreakerStore.take_probe`."""
        cells, slab = self._cells, self.slab
        if cells[PROBING] >= most:
            return False
        slab.enter()
        taken = bool(cells[WORD] == word and cells[PROBING] < most)
        if taken:
            slab.commit((self._mine, cells[self._mine] + 1), (PROBING, cells[PROBING] + 1))
        slab.leave()
        return taken

    def end_probe(self, word: int) -> None:
        """As `BreakerStore.end_probe`."""
        cells, slab = self._cells, self.slab
        if slab.put_off(partial(self.end_probe, word)):
            return
        slab.enter()
        if cells[WORD] == word and cells[self._mine]:
            slab.commit((self._mine, cells[self._mine] - 1), (PROBING, cells[PROBING] - 1))
        slab.leave()

    def hand_over(self) -> BreakerNumbers:
        """As `BreakerStore.hand_over`."""
        cells, slab = self._cells, self.slab
        with slab.locked():
            probes = int(cells[self._mine])
            numbers = BreakerNumbers(
                self.word, self.since, self.failures, probes, self.outcomes, self.moves, self._window.saved()
            )
            cells[self._mine] = cells[WORD] = 0
            self._window.clear()
            slab.recount()
        return numbers

    def take_over(self, numbers: BreakerNumbers) -> None:
        """As `BreakerStore.take_over`."""
        cells, slab = self._cells, self.slab
        with slab.locked():
            cells[WORD] = 0  # should this process die here, the next one begins
            cells[NEXT_OUTCOME] = cells[NEXT_MOVE] = 0
            # Each move began the next generation.
            new = ((numbers.word >> 2) - len(numbers.moves)) << 2
            for move in numbers.moves:
                old, new = new & ~STATE_OF | move.old, ((new >> 2) + 1) << 2 | move.new
                for judged in move.outcomes:
                    self._note_outcome(old, judged, judged.worker)
                self._note_move(new, old, move.at, move.cause, move.by, move.figures)
            for judged in numbers.outcomes:
                self._note_outcome(numbers.word, judged, judged.worker)
            cells[FAILURES], slab.floats[SINCE], cells[self._mine] = numbers.failures, numbers.since, numbers.probes
            slab.recount()
            self._window.load(numbers.window)
            cells[WORD] = numbers.word

    # -- the rings

    def _note_outcome(self, word: int, judged: Judged, worker: int) -> None:
        cells = self._cells
        number = int(cells[NEXT_OUTCOME])
        facts = _OUTCOMES.index(judged.outcome) | judged.status << 4 | (worker & _NO_WORKER) << 16
        texts = judged.reason.encode()[:_FIRST_TEXT], judged.request_id
        self._note(OUTCOMES + number % KEPT_OUTCOMES * RECORD_CELLS, word, judged.at, facts, texts)
        cells[NEXT_OUTCOME] = number + 1

    def _note(self, at: int, word: int, when: float, facts: int, texts: tuple[bytes, bytes]) -> None:
        """Write a record. Its word comes last: without one a reader skips it, and so does one whose writer died."""
        cells = self._cells
        first, second = texts[0], texts[1][: _ROOM - len(texts[0])]
        cells[at] = 0
        self.slab.floats[at + _AT] = when
        cells[at + _FACTS] = facts | len(first) << 48 | len(second) << 56
        start = (at + _TEXT) * CELL
        self._bytes[start : start + len(first) + len(second)] = first + second
        cells[at] = word

    def _texts(self, at: int) -> tuple[bytes, bytes]:
        facts = int(self._cells[at + _FACTS])
        first, second = facts >> 48 & 0xFF, facts >> 56 & 0x7F
        start = (at + _TEXT) * CELL
        text = bytes(self._bytes[start : start + first + second])
        return text[:first], text[first:]

    def _note_move(self, new: int, old: int, now: float, cause: str, by: str, figures: Figures | None) -> None:
        number = int(self._cells[NEXT_MOVE])
        second = by if figures is None else figures.text  # a move by a rule has none who made it
        texts = cause.encode()[:_FIRST_TEXT], second.encode()[: _ROOM - _FIRST_TEXT]
        self._note(MOVES + number % KEPT_MOVES * RECORD_CELLS, new, now, old & 0xFFFF_FFFF, texts)
        self._cells[NEXT_MOVE] = number + 1

    def _move(self, number: int) -> Move | None:
        at = MOVES + number % KEPT_MOVES * RECORD_CELLS
        cells = self._cells
        new, old, when = int(cells[at]), int(cells[at + _FACTS]) & 0xFFFF_FFFF, float(self.slab.floats[at + _AT])
        first, second = self._texts(at)
        if not new or cells[at] != new:  # it is being replaced
            return None
        states = State(old & STATE_OF), State(new & STATE_OF)
        cause, by = first.decode(), second.decode(errors="replace")
        figures = figures_of(by) if cause in RULES else None
        outcomes = tuple(self._outcomes_of(old))
        return Move(when, *states, cause, "" if figures is not None else by, outcomes, figures)

    def _outcomes_of(self, word: int) -> list[Judged]:
        cells, found = self._cells, []
        end = int(cells[NEXT_OUTCOME])
        for number in range(max(0, end - KEPT_OUTCOMES), end):
            at = OUTCOMES + number % KEPT_OUTCOMES * RECORD_CELLS
            if cells[at] != word:
                continue
            when, facts = float(self.slab.floats[at + _AT]), int(cells[at + _FACTS])
            reason, request_id = self._texts(at)
            if cells[at] == word:
                outcome, status = _OUTCOMES[facts & 0xF], facts >> 4 & 0xFFF
                worker = facts >> 16 & _NO_WORKER
                seen_by = -1 if worker == _NO_WORKER else worker
                found.append(Judged(when, outcome, reason.decode(), status, request_id, seen_by))
        return found
