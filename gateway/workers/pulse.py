"""Lets the supervisor detect a hung child: while its event loop runs, a child writes to a pipe four times a second.

A hung process keeps its sockets: only its silence distinguishes it from one that works. The supervisor counts checks
without a beat, not time: when the supervisor itself was stopped for a while (Ctrl-Z in a terminal stops the whole
group), no child is killed for the silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Final

PERIOD: Final = 0.25
"""Seconds between two beats, and between two checks."""


class Pulse:
    """The supervisor's end, with the pipe. ``starting`` and ``running``: how many checks without a beat mean a hang,
    before and after the first beat of a process.
    """

    def __init__(self, starting: int, running: int) -> None:
        self._reader, self.writer = os.pipe()
        for descriptor in (self._reader, self.writer):
            os.set_blocking(descriptor, False)  # only we hold the ends, and neither may block on the other
        self._starting = starting
        self._running = running
        self.began()

    def began(self) -> None:
        """A new process was started: discard the beats of the one before."""
        self._drain()
        self._beaten = False
        self._silent = 0

    @property
    def silent(self) -> int:
        """Checks since the last beat."""
        return self._silent

    def hangs(self) -> bool:
        """Check once, at every `PERIOD`; True when the child has been silent for too long."""
        if self._drain():
            self._beaten = True
            self._silent = 0
            return False
        self._silent += 1
        return self._silent >= (self._running if self._beaten else self._starting)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)

    def _drain(self) -> bool:
        found = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                found = True
        return found


@contextlib.contextmanager
def beating(descriptor: int) -> Iterator[None]:
    """The child's end: beat while the context lasts and the event loop runs."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal timer
        with contextlib.suppress(OSError):  # the supervisor is gone, or has not read for hours
            os.write(descriptor, b".")
        timer = loop.call_later(PERIOD, beat)

    beat()
    try:
        yield
    finally:
        timer.cancel()
