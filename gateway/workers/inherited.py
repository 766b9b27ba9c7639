"""Descriptors that children inherit from their supervisor, so that they survive the death of a child."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import shutil
import socket
import tempfile
from types import TracebackType
from typing import Final, Self, TypedDict

from gateway.observe import counters
from gateway.workers import handover, roster

_MAX_FOLDER: Final = 60
"""Bytes of the name of a folder for a Unix socket, whose whole path may have 107 (unix(7))."""
_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - for a folder that no one else can enter


class KeptPipes(TypedDict):
    """What `Inherited` consists of: descriptors, and a folder."""

    folder: str
    listeners: list[int]
    pairs: list[list[int]]
    alive: list[int]
    ready: list[int]
    counters: list[int]
    roster: int


class Inherited:
    """The channels' listeners, the memory of the counters, the roster, the pairs of `gateway.workers.handover`, and two
    pipes. A context: it is closed at the end.

    ``workers``: each has two places (`gateway.workers.roster`), and each place has a channel and a map of counters.
    ``kept``: those of the program before this one.
    """

    def __init__(self, workers: int = 1, kept: KeptPipes | None = None) -> None:
        kept = kept or _made(2 * workers)
        self.folder = pathlib.Path(kept["folder"])
        """Where the channels' sockets are (`channel`)."""
        self._listeners = kept["listeners"]
        self._pairs = kept["pairs"]
        self.alive, self._held = kept["alive"]
        """A pipe that ends with the supervisor."""
        self.ready, self.report_ready = kept["ready"]
        """A pipe that signals that traffic is served: its reading end, and the writing end for the child."""
        os.set_blocking(self.ready, False)
        self.counters = kept["counters"]
        """By place."""
        self.table = kept["roster"]
        self.roster = roster.Roster(workers, self.table)

    def kept(self) -> KeptPipes:
        """What the next program needs."""
        return {
            "folder": str(self.folder),
            "listeners": self._listeners,
            "pairs": self._pairs,
            "alive": [self.alive, self._held],
            "ready": [self.ready, self.report_ready],
            "counters": self.counters,
            "roster": self.table,
        }

    def listener(self, place: int) -> int:
        return self._listeners[place]

    def handover(self, slot: int) -> tuple[int, int]:
        """The ends of the slot's pair, that which gives and that which takes."""
        giving, taking = self._pairs[slot]
        return giving, taking

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.roster.close()
        pipes = (self.alive, self._held, self.ready, self.report_ready)
        for descriptor in (*pipes, self.table, *self.counters, *self._listeners, *itertools.chain(*self._pairs)):
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)


def channel(folder: pathlib.Path, place: int) -> pathlib.Path:
    """The path of the channel's socket of ``place``."""
    return folder / f"channel-{place}"


def _made(places: int) -> KeptPipes:
    folder = private_folder()
    return {
        "folder": str(folder),
        "listeners": [_listener(channel(folder, place)) for place in range(places)],
        "pairs": [[end.detach() for end in handover.pair()] for _ in range(places // 2)],
        "alive": [*os.pipe()],
        "ready": [*os.pipe()],
        "counters": [counters.create() for _ in range(places)],
        "roster": roster.create(),
    }


def _listener(path: pathlib.Path) -> int:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener.detach()


def private_folder() -> pathlib.Path:
    """A new folder for a Unix socket, that no one else can enter. Raises OSError when there is no place for one.

    ``TMPDIR`` may be missing, read-only, or too long for the address of a socket.
    """
    for place in (os.environ.get("TMPDIR", ""), *_FOLDERS):
        if place and len(os.fsencode(place)) <= _MAX_FOLDER:
            with contextlib.suppress(OSError):
                return pathlib.Path(tempfile.mkdtemp(prefix="gateway-", dir=place))
    raise OSError(f"no folder for a socket; make one of {', '.join(_FOLDERS)} writable, or set TMPDIR to a short one")
