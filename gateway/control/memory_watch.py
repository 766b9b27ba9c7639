"""Looks at the memory of the workers, and asks the supervisor to replace one that stays above `worker_max_memory`."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import resource
import time
from collections.abc import Callable, Iterator
from typing import Final

from gateway.control.recycling import HELD_SECONDS, Process, Recycling, Verdict
from gateway.core.clock import Clock, monotonic
from gateway.ipc.fleet import Fleet
from gateway.workers.roster import Roster, Seated

_log = logging.getLogger("gateway")

_LOOK_SECONDS: Final = 1.0


def resident(pid: int) -> int:
    """Bytes of memory that a process has now (RSS, proc(5)); 0: there is no such process.

    Everyone may read this file, also of a process that `gateway.workers.confinement.seal` has closed.
    """
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


class MemoryWatch:
    """``bound``: `worker_max_memory` as it is now, in bytes, 0: none. ``size``: as `resident`.

    ``clock`` gives seconds that never go back; ``epoch`` those of the roster.
    """

    def __init__(
        self,
        plane: Fleet,
        roster: Roster,
        bound: Callable[[], int],
        *,
        size: Callable[[int], int] = resident,
        clock: Clock = monotonic,
        epoch: Clock = time.time,
    ) -> None:
        self._plane = plane
        self._roster = roster
        self._bound = bound
        self._size = size
        self._clock = clock
        self._epoch = epoch
        self._recycling = Recycling()
        self._logged = 0
        """The bound that the log names last."""

    @property
    def bound(self) -> int:
        """Bytes, 0: none."""
        return self._bound()

    def size(self, pid: int) -> int:
        """What is compared with the bound, in bytes; 0: there is no such process."""
        return self._size(pid)

    def fresh(self, slot: int) -> int:
        """What a fresh process of the worker has, in bytes, as measured by `size`; 0: not known."""
        return self._recycling.fresh(slot)

    def too_small(self, slot: int) -> bool:
        """Whether the bound is below what a fresh process of the worker has, so that none is replaced for it."""
        return self.bound > 0 and self._recycling.too_small(slot)

    async def follow(self) -> None:
        """Look once a second until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Look once, and ask for the replacement of those that stay above the bound."""
        bound = self.bound
        if bound != self._logged:
            self._logged = bound
            _log.info("worker_max_memory is %s from now on", mebibytes(bound) if bound else "off")
        for verdict in self._recycling.look(self._serving(), bound, self._clock()):
            if verdict.enough:
                _log.warning("%s", _replaced(verdict, bound))
                self._ask(verdict.process)
            else:
                _log.error("%s", _given_up(verdict, bound))

    def _serving(self) -> Iterator[Process]:
        """The processes that have a configuration, and from which no other has taken over."""
        for worker in self._plane.workers:
            seated = self._seated(worker.place)
            if seated is not None and self._plane.follows(worker) and self._roster.newest(seated):
                age = self._epoch() - seated.since
                yield Process(seated.slot, seated.pid, age, self._size(seated.pid))

    def _seated(self, place: int) -> Seated | None:
        return next((each for each in self._roster.seated() if each.place == place), None)

    def _ask(self, process: Process) -> None:
        for place in self._roster.places_of(process.slot):
            if self._roster.pids().get(place) == process.pid:
                self._roster.ask_to_recycle(place, process.pid)


def _replaced(verdict: Verdict, bound: int) -> str:
    process = verdict.process
    before = f"; {HELD_SECONDS:g} s after it began to serve it had {mebibytes(verdict.fresh)}" if verdict.fresh else ""
    return (
        f"worker {process.slot} is replaced: its memory, {mebibytes(process.size)}, stayed above worker_max_memory, "
        f"{mebibytes(bound)}, for {HELD_SECONDS:g} s; process {process.pid} is {process.age / 60:.1f} min old{before}"
    )


def _given_up(verdict: Verdict, bound: int) -> str:
    return (
        f"worker_max_memory is too small: a fresh process of worker {verdict.process.slot} has "
        f"{mebibytes(verdict.fresh)}, and the bound is {mebibytes(bound)}; the worker is not replaced for its memory "
        "until the setting is changed: write at least twice the size of a fresh process"
    )
