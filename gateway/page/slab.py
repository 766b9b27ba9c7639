"""A part of the page with one lock: changes of several cells happen whole or not at all, whenever a process dies."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.page.layout import (
    CONNECTIONS,
    HEAD,
    HELD,
    JOURNAL,
    JOURNAL_PAIRS,
    JOURNALED,
    LIMIT,
    OPEN,
    PROBES,
    PROBING,
    RING,
    RING_AT,
    SLOTS,
    TAIL,
    TOTAL,
    WAITING,
)
from gateway.page.mutex import Lock

_log = logging.getLogger("gateway")

_BITS: Final = struct.Struct("=d")
_INTEGER: Final = struct.Struct("=q")


def bits(number: float) -> int:
    """``number`` as a cell of integers has it, for a journal."""
    return int(_INTEGER.unpack(_BITS.pack(number))[0])


class Section:
    """Whether this process holds the lock of any slab, and what it does when it no longer does.

    The garbage collector may run while a lock is held, and end an exchange, which gives a permit back. With one of the
    same slab the process would wait for itself; with one of another slab two processes could wait for each other.
    """

    __slots__ = ("inside", "later")

    def __init__(self) -> None:
        self.inside = False
        self.later: list[Callable[[], object]] = []


class Slab:
    """The cells of one limiter or breaker, for the process in ``slot``.

    Whenever the lock is free:

        I1  TOTAL is the sum of HELD, PROBING that of PROBES, and CONNECTIONS that of OPEN
        I2  someone waits only when TOTAL is at least LIMIT
        I3  the waiter in a place has a permit exactly when the place is below HEAD
        I4  the journal is empty

    ``ring(slot)`` wakes the process in a slot; it is called without the lock.
    """

    __slots__ = (
        "_lock",
        "cells",
        "entries",
        "floats",
        "on_repaired",
        "recovered",
        "release",
        "ring",
        "section",
        "slot",
        "try_acquire",
    )

    def __init__(
        self,
        cells: memoryview,
        floats: memoryview[float],
        entries: memoryview,
        lock: Lock,
        slot: int,
        ring: Callable[[int], object],
        section: Section,
    ) -> None:
        """``cells`` and ``floats``: the same memory. ``entries``: the bytes of the ring. ``section``: that of all slabs
        in this process.
        """
        self.cells = cells
        self.floats = floats
        self.entries = entries
        self._lock = lock
        self.try_acquire, self.release = lock.try_acquire, lock.release
        """Of the lock, for what happens for each request, where a call less counts: `enter` and `leave` written out."""
        self.slot = slot
        self.ring = ring
        self.section = section
        self.recovered = 0
        """Holders of the lock that had died."""
        self.on_repaired: Callable[[], Callable[[], object]] | None = None
        """Does, with the lock held, what the dead one may have left undone; returns what is to be done behind it."""

    def cell(self, at: int) -> memoryview:
        """The cell ``at`` as memory of no dimension, whose index is ``()``: to read it takes 0.6 of the time."""
        return self.cells[at : at + 1].cast("B").cast("q", ())

    # -- the lock

    def enter(self) -> None:
        """Take the lock, and repair what a holder that died has left. An exception before `leave` must end the process,
        because only a death is repaired.
        """
        self.section.inside = True
        code = self.try_acquire()
        if code:
            self.settle(code)

    def settle(self, code: int) -> None:
        """What `enter` does when ``try_acquire`` has returned a ``code``."""
        if self._lock.settle(code):
            self._repair()

    def leave(self) -> None:
        """Give the lock back, and do what was put off meanwhile."""
        self.release()
        self.section.inside = False
        self.catch_up()

    def catch_up(self) -> None:
        """Do what was put off."""
        later = self.section.later
        while later:
            later.pop()()

    def put_off(self, action: Callable[[], object]) -> bool:
        """When this process holds a lock: True, and ``action`` is done when it no longer does."""
        if self.section.inside:
            self.section.later.append(action)
        return self.section.inside

    @contextmanager
    def locked(self) -> Iterator[None]:
        """`enter` and `leave`, for what is rare and computes more: a defect there ends the process."""
        self.enter()
        try:
            yield
        except BaseException:
            _log.critical("a defect while a lock of the shared page was held: the process ends", exc_info=True)
            logging.shutdown()
            os._exit(70)
        self.leave()

    def _repair(self) -> None:
        cells = self.cells
        for at in range(JOURNAL, JOURNAL + 2 * cells[JOURNALED], 2):
            self._put(cells[at], cells[at + 1])
        cells[JOURNALED] = 0
        self.recount()
        self._lock.repaired()
        self.recovered += 1
        if self.on_repaired is not None:
            self.section.later.append(self.on_repaired())

    def recount(self) -> None:
        """Compute the sums again."""
        cells = self.cells
        cells[TOTAL] = sum(cells[HELD : HELD + SLOTS])
        cells[PROBING] = sum(cells[PROBES : PROBES + SLOTS])
        cells[CONNECTIONS] = sum(cells[OPEN : OPEN + SLOTS])
        cells[WAITING] = sum(self.entries[place % RING] > 0 for place in range(cells[HEAD], cells[TAIL]))

    # -- with the lock held

    def commit(self, *pairs: tuple[int, int]) -> None:
        """Set each address to its value: all, or none when this process dies before the journal has a length."""
        cells, at = self.cells, JOURNAL
        assert len(pairs) <= JOURNAL_PAIRS
        for address, value in pairs:
            cells[at] = address
            cells[at + 1] = value
            at += 2
        cells[JOURNALED] = len(pairs)
        for address, value in pairs:
            self._put(address, value)
        cells[JOURNALED] = 0

    def _put(self, address: int, value: int) -> None:
        if address >= RING_AT:
            self.entries[address - RING_AT] = value
        else:
            self.cells[address] = value

    def check(self) -> None:
        """Raises AssertionError unless the invariants hold. For tests; the lock must be free or held here."""
        cells = self.cells
        held, probes = cells[HELD : HELD + SLOTS], cells[PROBES : PROBES + SLOTS]
        assert min(held) >= 0
        assert min(probes) >= 0
        assert cells[TOTAL] == sum(held), "I1"
        assert cells[PROBING] == sum(probes), "I1"
        assert cells[CONNECTIONS] == sum(cells[OPEN : OPEN + SLOTS]), "I1"
        waiting = sum(self.entries[place % RING] > 0 for place in range(cells[HEAD], cells[TAIL]))
        assert cells[WAITING] == waiting, "a sum that is wrong"
        assert not waiting or cells[TOTAL] >= cells[LIMIT], "I2"
        assert not cells[JOURNALED], "I4"
