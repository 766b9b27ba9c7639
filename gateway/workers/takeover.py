"""The upgrade in place: the supervisor replaces its own program by the one that is installed now (execve(2)).

The process id, the children, the sockets of callers, the page and the pipes stay; only the code is new. What the new
program has to know of them is a `Kept`, a JSON text in memory that it inherits. It starts the control process again and
replaces the workers one after the other, so that all processes run the new code and no request fails.

A program that cannot start would end everything. So the installed one is tried first, in a process of its own
(`gateway.control.trial`), and the supervisor says in the roster which `FORMAT` it will hand over.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Final, TypedDict

from gateway import __version__, launch
from gateway.observe.process_log import begin_process_log
from gateway.workers.child import Child
from gateway.workers.crew import Crew, KeptChild, keep
from gateway.workers.estate import Estate
from gateway.workers.inherited import Inherited, KeptPipes
from gateway.workers.roster import FORMAT
from gateway.workers.sockets import KeptSockets

_log = logging.getLogger("gateway")

NOTHING: Final = "-"
"""Stands for the descriptor in the arguments of a supervisor that takes over from no other program."""
_MAX_SIZE: Final = 4 << 20


class Kept(TypedDict):
    """``version``: of the program that hands over. ``estate``: the descriptors of the page."""

    format: int
    version: str
    pipes: KeptPipes
    estate: list[int]
    sockets: KeptSockets
    children: list[KeptChild]


class Takeover:
    """What the supervisor has, and the ``options`` and ``worker_env`` that it was started with."""

    def __init__(
        self, inherited: Inherited, estate: Estate, crew: Crew, options: str, worker_env: Sequence[str]
    ) -> None:
        self._inherited = inherited
        self._estate = estate
        self._crew = crew
        self._options = options
        self._worker_env = worker_env
        inherited.roster.offer(FORMAT)

    def ordered(self) -> bool:
        """Whether the control process wants an upgrade; True once."""
        return self._inherited.roster.take_order()

    def begin(self, children: Sequence[Child]) -> None:
        """Replace this program, whose ``children`` stay. Returns only when the system refuses, which is logged."""
        error = hand_over(self.kept(children), self._options, self._inherited.roster.workers, self._worker_env)
        begin_process_log()
        _log.error("the upgrade has failed, version %s serves on: %s", __version__, error)

    def kept(self, children: Sequence[Child]) -> Kept:
        """What the next program needs."""
        return {
            "format": FORMAT,
            "version": __version__,
            "pipes": self._inherited.kept(),
            "estate": [*self._estate.descriptors],
            "sockets": self._crew.sockets.kept(),
            "children": keep(children),
        }


def descriptors(kept: Kept) -> Iterator[int]:
    """All that the new program inherits."""
    pipes, sockets = kept["pipes"], kept["sockets"]
    yield from pipes["listeners"]
    for pair in pipes["pairs"]:
        yield from pair
    yield from pipes["alive"]
    yield from pipes["ready"]
    yield from pipes["counters"]
    yield pipes["roster"]
    yield from kept["estate"]
    for row in sockets["bindings"]["bound"]:
        yield from row
    for line in sockets["lines"]:
        yield line["descriptor"]
    for child in kept["children"]:
        yield from child["pulse"]


def hand_over(kept: Kept, options: str, workers: int, worker_env: Sequence[str]) -> OSError:
    """Replace this program by `gateway.workers.supervisor`, started with these arguments and ``kept``.

    Returns only when the system refuses, with its error; then everything is as before, except that the process log has
    ended.
    """
    passed = list(descriptors(kept))
    logging.shutdown()  # a thread writes the log, and no thread outlives execve(2)
    launch.hold_signals()
    try:
        with open(os.memfd_create("gateway-takeover", 0), "wb", buffering=0) as state:  # noqa: PTH123 - it has no path
            state.write(json.dumps(kept).encode())
            for descriptor in passed:
                os.set_inheritable(descriptor, True)
            given = options, str(workers), str(state.fileno()), *worker_env
            os.execv(launch.PYTHON[0], [*launch.PYTHON, "gateway.workers.supervisor", *given])  # noqa: S606 - our own
    except OSError as error:
        for descriptor in passed:
            os.set_inheritable(descriptor, False)
        launch.release_signals()
        return error


def receive(state: int) -> Kept:
    """What the program before this one has handed over. Raises ValueError for another `FORMAT`."""
    kept: Kept = json.loads(os.pread(state, _MAX_SIZE, 0))
    os.close(state)
    if kept["format"] != FORMAT:
        raise ValueError(f"the supervisor before this one has handed over format {kept['format']}, not {FORMAT}")
    for descriptor in descriptors(kept):
        os.set_inheritable(descriptor, False)
    _log.info("version %s takes over from version %s", __version__, kept["version"])
    return kept
