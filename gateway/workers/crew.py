"""The processes of a gateway: what each is started with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from gateway.launch import PROGRAM
from gateway.workers import confinement
from gateway.workers.child import Child
from gateway.workers.inherited import Inherited
from gateway.workers.pulse import Pulse
from gateway.workers.sockets import KeptSockets, OwnedSockets

_START_LOOKS: Final = 480
"""Two minutes to start, on a busy machine."""
_WORKER_LOOKS: Final = 7
"""1.75 seconds: traffic waits for it."""
_CONTROL_LOOKS: Final = 120
"""Half a minute: no traffic waits, and the database may be moving its schema."""


CONTROL: Final = -1
"""The place of the control process, which has none among the workers."""


class KeptChild(TypedDict):
    """A child that the program before this one has started. ``pid``: 0 for one that waits for its next start."""

    place: int
    pid: int
    pulse: list[int]


def keep(children: Sequence[Child]) -> list[KeptChild]:
    """What the next program needs to know of ``children``."""
    return [
        {
            "place": child.place,
            "pid": 0 if child.process is None else child.process.pid,
            "pulse": [] if child.pulse is None else child.pulse.ends,
        }
        for child in children
    ]


class Crew:
    """``workers``: how many serve. ``options``: the `Options` of the control process as JSON, which nothing here reads.

    ``env``: the environment of the control process, None for this process's own; a worker gets the part of it that
    `confinement.environment` keeps, with the names in ``worker_env``, or with those that the control process has put
    into the roster since then. ``shared``: the descriptors of what workers share (`Estate.descriptors`). ``kept``: the
    sockets of the program before this one.
    """

    def __init__(
        self,
        inherited: Inherited,
        options: str,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        worker_env: Sequence[str] = (),
        shared: Sequence[int] = (),
        kept: KeptSockets | None = None,
    ) -> None:
        self._shared = shared
        self._inherited = inherited
        self._options = options
        self._workers = workers
        self._env = env
        if kept is None:
            inherited.roster.keep_variables(worker_env)
        self.sockets = OwnedSockets(workers, kept)

    def children(self) -> list[Child]:
        """The first processes: the workers, and last the control process."""
        return [*(self._worker(slot) for slot in range(self._workers)), self._control()]

    def adopted(self, kept: Sequence[KeptChild]) -> list[Child]:
        """The processes that the program before this one has started."""
        children = []
        for each in kept:
            place, ends = each["place"], each["pulse"]
            child = self._control(ends) if place == CONTROL else self._worker(place, ends)
            if each["pid"]:
                child.adopt(each["pid"])
            children.append(child)
        return children

    def successor(self, worker: Child) -> Child:
        """A worker for the same slot as ``worker``, in the slot's other place."""
        roster = self._inherited.roster
        first, second = roster.places_of(roster.slot_of(worker.place))
        return self._worker(first if worker.place == second else second)

    def _worker(self, place: int, ends: Sequence[int] = ()) -> Child:
        inherited = self._inherited
        slot = inherited.roster.slot_of(place)
        pulse = Pulse(_START_LOOKS, _WORKER_LOOKS, ends)
        own = (inherited.listener(place), inherited.alive, inherited.counters[place], pulse.writer)
        given = (*own, *inherited.handover(slot), *self._shared)
        return Child(
            "worker" if self._workers == 1 else f"worker {slot}",
            [*PROGRAM, "gateway.workers.worker", str(slot), str(place), *map(str, given)],
            given,
            confinement.environment(os.environ if self._env is None else self._env, inherited.roster.variables()),
            pulse,
            self.sockets,
            serves=True,
            place=place,
            roster=inherited.roster,
        )

    def _control(self, ends: Sequence[int] = ()) -> Child:
        inherited = self._inherited
        pulse = Pulse(_START_LOOKS, _CONTROL_LOOKS, ends)
        given = (inherited.alive, inherited.report_ready, pulse.writer, inherited.table, *inherited.counters)
        return Child(
            "control process",
            [*PROGRAM, "gateway.control.process", self._options, str(inherited.folder), *map(str, given)],
            given,
            self._env,
            pulse,
            place=CONTROL,
        )
