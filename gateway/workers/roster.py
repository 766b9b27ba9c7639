"""Who serves at this moment: a table in shared memory, which the supervisor writes and the control process reads.

Three things the control process writes, and the supervisor reads, which knows no configuration and no reasons:

- which process shall be replaced, by its id, so that a request reaches no other process;
- that an upgrade shall begin;
- the names of the environment variables that new workers keep. They stand below the table: their length in bytes, and
  the names, with line breaks.

A *slot* is a worker that the configuration asks for: it has a listening socket of each address. A *place* is where a
process of a slot runs, with a channel and a map of counters of its own. A slot has two places, ``slot`` and
``slot + workers``, so that a new process can get ready while the one before it still serves.

    a place    process id, 0: none; when it was started; the id of a process that shall be replaced, 0: none
    a slot     how many processes were started; 1 while each of them ends soon after its start; how many replacements
               of a single worker were begun
    all        the `FORMAT` that an upgrade would hand over, 0: none is possible; 1 while an upgrade is wanted, which
               the control process sets and the supervisor clears

A number of 8 bytes is written and read whole; the process id is written last.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Final

from gateway.launch import MOST_WORKERS

FORMAT: Final = 1
"""To be raised when processes of two versions could not live side by side: other data of
`gateway.workers.takeover`, another layout of the page, the roster or the counters, other messages of the channel."""
_CELL: Final = 8
_PID, _SINCE, _STARTS, _LOOPING, _UNWANTED, _RECYCLED = range(6)
_COLUMNS: Final = 6 * 2 * MOST_WORKERS
"""Six columns, each with a cell for every place; those of a slot use the cell of its first place."""
_FORMAT, _ORDER, _LENGTH = range(_COLUMNS, _COLUMNS + 3)
_NAMES: Final = (_COLUMNS + 3) * _CELL
"""Where the names of variables begin, in bytes."""
_ROOM: Final = 1 << 20
"""Bytes for them. Memory is used for those that are there."""


@dataclass(frozen=True, slots=True)
class Seated:
    """A process that runs. ``since``: when it was started, in seconds of the epoch."""

    place: int
    slot: int
    pid: int
    since: float


def count_of(workers: int) -> int:
    """The number of workers for the setting ``workers``; 0: one for each core that this process may use."""
    return workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def create() -> int:
    """The descriptor of a new table, which children may inherit."""
    descriptor = os.memfd_create("gateway-roster")
    os.ftruncate(descriptor, _NAMES + _ROOM)
    return descriptor


class Roster:
    """A table, by its descriptor; None: one of this process alone. ``workers``: how many slots it has."""

    def __init__(self, workers: int, descriptor: int | None = None, clock: Callable[[], float] = time) -> None:
        self.workers = workers
        self._map = mmap.mmap(-1 if descriptor is None else descriptor, _NAMES + _ROOM)
        self._ints = memoryview(self._map).cast("q")
        self._floats = memoryview(self._map).cast("d")
        self._clock = clock

    def places_of(self, slot: int) -> tuple[int, int]:
        return slot, slot + self.workers

    def slot_of(self, place: int) -> int:
        return place % self.workers

    # -- the supervisor writes

    def take(self, place: int, pid: int) -> None:
        """A process was started there."""
        self._floats[_cell(_SINCE, place)] = self._clock()
        self._ints[_cell(_STARTS, self.slot_of(place))] += 1
        self._ints[_cell(_PID, place)] = pid

    def leave(self, place: int) -> None:
        """The process there has ended."""
        self._ints[_cell(_PID, place)] = 0

    def note_looping(self, place: int, *, looping: bool) -> None:
        """Whether the processes of the slot end soon after their start, again and again."""
        self._ints[_cell(_LOOPING, self.slot_of(place))] = looping

    def offer(self, handed_over: int) -> None:
        """The supervisor can be upgraded in place, and would hand over this format."""
        self._ints[_FORMAT] = handed_over

    def take_order(self) -> bool:
        """Whether the control process wants an upgrade; True once."""
        wanted = bool(self._ints[_ORDER])
        self._ints[_ORDER] = 0
        return wanted

    def unwanted(self, place: int, pid: int) -> bool:
        """Whether the control process wants that process at ``place`` to be replaced."""
        return pid > 0 and self._ints[_cell(_UNWANTED, place)] == pid

    def note_recycled(self, place: int) -> None:
        """The replacement of the process there was begun: the request is fulfilled."""
        self._ints[_cell(_UNWANTED, place)] = 0
        self._ints[_cell(_RECYCLED, self.slot_of(place))] += 1

    # -- the control process writes

    def order_upgrade(self) -> None:
        """The supervisor's program shall be replaced by the installed one."""
        self._ints[_ORDER] = 1

    def ask_to_recycle(self, place: int, pid: int) -> None:
        """The process ``pid`` at ``place`` shall be replaced, as soon as no other replacement is under way."""
        self._ints[_cell(_UNWANTED, place)] = pid

    def keep_variables(self, names: Sequence[str]) -> None:
        """The environment variables that workers keep from their next start on. Raises OSError for too many."""
        text = "\n".join(names).encode()
        if len(text) > _ROOM:
            raise OSError(f"worker_env: the names have {len(text)} bytes, and there is room for {_ROOM}; write fewer")
        self._ints[_LENGTH] = 0  # a worker that starts in this moment has none rather than parts of names
        self._map[_NAMES : _NAMES + len(text)] = text
        self._ints[_LENGTH] = len(text)

    # -- both read

    def variables(self) -> tuple[str, ...]:
        """The names that `keep_variables` has got last."""
        text = self._map[_NAMES : _NAMES + self._ints[_LENGTH]].decode()
        return tuple(text.split("\n")) if text else ()

    # -- the control process reads

    @property
    def offered(self) -> int:
        """The format that the supervisor would hand over; 0: it cannot be upgraded in place."""
        return self._ints[_FORMAT]

    def seated(self) -> list[Seated]:
        """The processes that run, by place."""
        found = []
        for place in range(2 * self.workers):
            pid = self._ints[_cell(_PID, place)]
            if pid:
                found.append(Seated(place, self.slot_of(place), pid, self._floats[_cell(_SINCE, place)]))
        return found

    def newest(self, seated: Seated) -> bool:
        """Whether no other process of the slot was started after this one."""
        return all(each.since <= seated.since for each in self.seated() if each.slot == seated.slot)

    def pids(self) -> dict[int, int]:
        """The ids of the processes that run, by place."""
        return {each.place: each.pid for each in self.seated()}

    def starts(self, slot: int) -> int:
        return self._ints[_cell(_STARTS, slot)]

    def looping(self, slot: int) -> bool:
        return bool(self._ints[_cell(_LOOPING, slot)])

    def recycled(self, slot: int) -> int:
        """How many replacements of this worker alone were begun."""
        return self._ints[_cell(_RECYCLED, slot)]

    def close(self) -> None:
        self._ints.release()
        self._floats.release()
        self._map.close()


def _cell(column: int, place: int) -> int:
    return column * 2 * MOST_WORKERS + place
