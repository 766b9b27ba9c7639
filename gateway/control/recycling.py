"""Decides which workers are replaced because their memory stays above a bound. It reads no clock, file or process.

What is compared is the resident set size (RSS). The kernel keeps it as a counter that all may read, so it costs no
time, and a worker that hangs is measured too. The proportional size (PSS) would count shared pages in parts, but only
the process itself may read it, and the kernel walks all of its pages for that, the longer the more it has. Shared
pages are a constant part of the RSS, and what a process does not give back is its own: both grow alike.

A process is known from the first look at which it serves. What it has `HELD_SECONDS` later is the size of a fresh
one, if it was young at that first look: an old one may have grown before the control process was there to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

HELD_SECONDS: Final = 5.0
"""How long the memory has to stay above the bound: the memory of a large response comes and goes."""
YOUNG_SECONDS: Final = 60.0
FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds between two replacements of a worker. The pause doubles while each process is above the bound when it is
over, and is the first one again after a process that lasted twice the pause."""


class Standing(IntEnum):
    """Of a process, with regard to the bound."""

    WITHIN = 0
    """Below the bound, or exactly at it."""
    ABOVE = 1
    """Above it since a moment."""
    DUE = 2
    """Above it for so long that it is to be replaced, as soon as the pace of its slot allows it."""
    GIVEN_UP = 3
    """The bound is too small for any process: it is reported once, and nothing is replaced."""


class Seen(IntEnum):
    """The memory of a process in one look."""

    BELOW = 0
    HIGH = 1
    """Above the bound."""
    LASTING = 2
    """Above the bound in each look for `HELD_SECONDS`."""
    HOPELESS = 3
    """The same, and a fresh process is above the bound already."""


_WITHIN, _ABOVE, _DUE, _GIVEN_UP = Standing
TABLE: Final = (
    # BELOW    HIGH       LASTING    HOPELESS
    (_WITHIN, _ABOVE, _ABOVE, _ABOVE),  # WITHIN: the time begins with the first look that is above
    (_WITHIN, _ABOVE, _DUE, _GIVEN_UP),  # ABOVE
    (_WITHIN, _DUE, _DUE, _GIVEN_UP),  # DUE
    (_GIVEN_UP, _GIVEN_UP, _GIVEN_UP, _GIVEN_UP),  # GIVEN_UP: until there is another bound, or another process
)
"""The standing after each look."""


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process that serves. ``age``: seconds since its start. ``size``: bytes."""

    slot: int
    pid: int
    age: float
    size: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about a process above the bound. ``fresh``: what it had after its start, in bytes; 0: not known.

    ``enough``: False: a fresh process is above the bound already, so it is of no use to replace it, now or later.
    """

    process: Process
    fresh: int
    enough: bool


@dataclass(slots=True)
class _Known:
    """What is remembered of a process. Moments are those of the clock."""

    pid: int
    since: float
    young: bool
    fresh: int = 0
    standing: Standing = Standing.WITHIN
    above_since: float = 0.0
    """In the standing ABOVE and DUE."""


@dataclass(slots=True)
class _Pace:
    """Of a slot: when it was replaced last, and how long it has to wait after that."""

    replaced_at: float | None = None
    pause: float = FIRST_PAUSE

    def allows(self, now: float) -> bool:
        return self.replaced_at is None or now - self.replaced_at >= self.pause

    def replaced(self, now: float) -> None:
        if self.replaced_at is not None:
            lasted = now - self.replaced_at
            self.pause = FIRST_PAUSE if lasted >= 2 * self.pause else min(2 * self.pause, LONGEST_PAUSE)
        self.replaced_at = now


class Recycling:
    """Remembers the processes between two looks. When the bound changes, only what fresh ones have is kept."""

    def __init__(self) -> None:
        self._bound = 0
        self._known: dict[int, _Known] = {}
        self._paces: dict[int, _Pace] = {}

    def look(self, processes: Iterable[Process], bound: int, now: float) -> list[Verdict]:
        """The verdicts of this look, about once a second, also without a bound. ``bound``: bytes, 0: none.
        ``processes``: one for each slot that serves, without those that only drain.
        """
        if bound != self._bound:
            self._bound = bound
            self._paces.clear()
            for known in self._known.values():
                known.standing = Standing.WITHIN
        found = [self._judge(process, self._know(process, now), now) for process in processes]
        return [verdict for verdict in found if verdict is not None]

    def fresh(self, slot: int) -> int:
        """What a fresh process of the slot has, in bytes; 0: not known, as of one that grew before the first look."""
        return self._known[slot].fresh if slot in self._known else 0

    def too_small(self, slot: int) -> bool:
        """Whether the bound is below what a fresh process of the slot has."""
        return slot in self._known and self._known[slot].standing is Standing.GIVEN_UP

    def _judge(self, process: Process, known: _Known, now: float) -> Verdict | None:
        before = known.standing
        known.standing = after = TABLE[before][self._see(process, known, now)]
        if after is before is Standing.GIVEN_UP:
            return None
        if after is Standing.GIVEN_UP:
            return Verdict(process, known.fresh, enough=False)
        if before is Standing.WITHIN:
            known.above_since = now
        if after is not Standing.DUE:
            return None
        pace = self._paces.setdefault(process.slot, _Pace())
        if not pace.allows(now):
            return None
        pace.replaced(now)
        return Verdict(process, known.fresh, enough=True)

    def _see(self, process: Process, known: _Known, now: float) -> Seen:
        if not self._bound or process.size <= self._bound:
            return Seen.BELOW
        if known.standing is Standing.WITHIN or now - known.above_since < HELD_SECONDS:
            return Seen.HIGH
        return Seen.HOPELESS if known.fresh > self._bound else Seen.LASTING

    def _know(self, process: Process, now: float) -> _Known:
        known = self._known.get(process.slot)
        if known is None or known.pid != process.pid:
            known = self._known[process.slot] = _Known(process.pid, now, process.age <= YOUNG_SECONDS)
        elif known.young and not known.fresh and now - known.since >= HELD_SECONDS:
            known.fresh = process.size
        return known
