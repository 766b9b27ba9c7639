"""Lets the supervisor detect a hung child: while its event loop runs, a child writes to a pipe four times a second.

A hung process keeps its sockets: only its silence distinguishes it from one that works. The supervisor counts checks
without a beat, not time: when the supervisor itself was stopped for a while (Ctrl-Z in a terminal stops the whole
group), no child is killed for the silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final

PERIOD: Final = 0.25
"""Seconds between two beats, and between two checks."""
_ENDING_LOOKS: Final = 60
"""15 seconds: after the event loop a process still waits for the readers of its logs."""
_BEAT: Final = b"."
_LAST_BEAT: Final = b"!"


class Pulse:
    """The supervisor's end, with the pipe. ``starting`` and ``running``: how many checks without a beat mean a hang,
    before and after the first beat of a process. After its last beat, which says that its event loop has ended, it has
    another, longer time: no traffic waits for it any more.
    """

    def __init__(self, starting: int, running: int, ends: Sequence[int] = ()) -> None:
        """``ends``: of a pipe that exists already, as from `ends`."""
        self._reader, self.writer = ends or os.pipe()
        for descriptor in (self._reader, self.writer):
            os.set_blocking(descriptor, False)  # only we hold the ends, and neither may block on the other
        self._starting = starting
        self._running = running
        self._allowed = starting
        self.began()

    def began(self) -> None:
        """A new process was started: discard the beats of the one before."""
        self._drain()
        self._allowed = self._starting
        self._silent = 0

    @property
    def ends(self) -> list[int]:
        """The descriptors of the pipe: for reading, for writing."""
        return [self._reader, self.writer]

    @property
    def silent(self) -> int:
        """Checks since the last beat."""
        return self._silent

    def hangs(self) -> bool:
        """Check once, at every `PERIOD`; True when the child has been silent for too long."""
        beats = self._drain()
        if beats:
            self._allowed = _ENDING_LOOKS if _LAST_BEAT in beats else self._running
            self._silent = 0
            return False
        self._silent += 1
        return self._silent >= self._allowed

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)

    def _drain(self) -> bytes:
        found = b""
        with contextlib.suppress(BlockingIOError):
            while beats := os.read(self._reader, 4096):
                found += beats
        return found


@contextlib.contextmanager
def beating(descriptor: int) -> Iterator[None]:
    """The child's end: beat while the context lasts and the event loop runs; the last beat says that it has ended."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def write(mark: bytes) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone, or has not read for hours
            os.write(descriptor, mark)

    def beat() -> None:
        nonlocal timer
        write(_BEAT)
        timer = loop.call_later(PERIOD, beat)

    beat()
    try:
        yield
    finally:
        timer.cancel()
        write(_LAST_BEAT)
