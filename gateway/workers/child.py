"""One child process of the supervisor: how it is started, whether it runs, when it is restarted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from gateway import launch
from gateway.core.clock import Clock
from gateway.workers.adopted import Adopted, Running
from gateway.workers.pulse import Pulse
from gateway.workers.roster import Roster
from gateway.workers.sockets import OwnedSockets

FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
_SETTLED_SECONDS: Final = 10.0
"""A child that ran this long starts again at once when it dies; others after longer and longer pauses."""
_LOOP_DEATHS: Final = 4
"""So many deaths one after the other, each soon after the start, are a crash loop: nothing gets better by itself."""


_SILENT_LOOKS: Final = 2


class Backoff:
    """How long to wait before the next start."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._pause = 0.0
        self._started_at = clock()
        self.deaths = 0
        """Those since a process last ran for a while."""

    def started(self) -> None:
        self._started_at = self._clock()

    @property
    def looping(self) -> bool:
        """Each of the last processes has ended soon after its start."""
        return self.deaths >= _LOOP_DEATHS

    def settle(self) -> bool:
        """True when the process that runs has just ended a crash loop by running for a while."""
        if not self.looping or self._clock() - self._started_at < _SETTLED_SECONDS:
            return False
        self.deaths = 0
        self._pause = 0.0
        return True

    def pause(self) -> float:
        """Seconds to wait after the death that was just seen."""
        if self._clock() - self._started_at >= _SETTLED_SECONDS:
            self._pause, self.deaths = 0.0, 0
        self.deaths += 1
        pause, self._pause = self._pause, min(max(self._pause * 2, FIRST_PAUSE), _LONGEST_PAUSE)
        return pause


@dataclass(slots=True, eq=False)
class Child:
    """An entry of the supervisor's list. ``descriptors``: what the process inherits; ``env``: None for our own."""

    name: str
    command: Sequence[str]
    descriptors: Sequence[int] = ()
    env: Mapping[str, str] | None = field(default=None, repr=False)
    pulse: Pulse | None = None
    sockets: OwnedSockets | None = None
    """Of a worker: the listening sockets that it uses. Each process gets a line to them as its last argument."""
    serves: bool = False
    """It serves traffic: at the end it drains, and its exit code is the gateway's."""
    place: int = 0
    """Of a worker, in ``roster``."""
    roster: Roster | None = None
    leaving: bool = field(default=False, init=False)
    """Another process has taken over from it: it is not started again."""
    listens: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    """Of a worker: the process that runs accepts connections."""
    renewing: bool = field(default=False, init=False)
    """It was asked to end, and starts again at once."""
    process: Running | None = field(default=None, init=False)
    _backoff: Backoff = field(default_factory=Backoff, init=False, repr=False)

    def start(self) -> None:
        """Raises OSError when the system cannot start a process."""
        self._backoff.started()
        self.listens.clear()
        if self.pulse is not None:
            self.pulse.began()
        with contextlib.ExitStack() as stack:
            lines = () if self.sockets is None else (stack.enter_context(self._line(self.sockets)),)
            stack.enter_context(launch.held())  # a signal that comes while the child still imports waits
            self.process = subprocess.Popen(  # noqa: S603 - our own modules
                [*self.command, *map(str, lines)],
                pass_fds=(*self.descriptors, *lines),
                stdin=subprocess.DEVNULL,
                env=self.env,
            )
        if self.roster is not None:
            self.roster.take(self.place, self.process.pid)

    def adopt(self, pid: int) -> None:
        """The process runs already, or has just ended: the program before this one has started it.

        Raises ChildProcessError when it is no child of this process.
        """
        self.process = Adopted(pid)

    def _line(self, sockets: OwnedSockets) -> contextlib.AbstractContextManager[int]:
        slot = 0 if self.roster is None else self.roster.slot_of(self.place)
        return sockets.line(slot, self.listens.set)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def hangs(self) -> bool:
        """Check the pulse once; True when the child has been silent for too long."""
        return self.process is not None and self.pulse is not None and self.pulse.hangs()

    @property
    def silent(self) -> bool:
        """It has not beaten for half a second: it is busy, or was stopped."""
        return self.pulse is not None and self.pulse.silent >= _SILENT_LOOKS

    def kill(self) -> None:
        """Kill it; its unread beats are discarded."""
        self.signal(signal.SIGKILL)
        if self.pulse is not None:
            self.pulse.began()

    def ended(self) -> int | None:
        """The exit code (negative: a signal) of a process that has ended, reported once; None while it runs."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        if self.roster is not None:
            self.roster.leave(self.place)
        return code

    def pause(self) -> float:
        """Seconds to wait before the next start."""
        pause = self._backoff.pause()
        self._note_looping()
        return pause

    @property
    def crash_loop(self) -> int:
        """How many processes have ended, each soon after its start; 0: that is no crash loop."""
        return self._backoff.deaths if self._backoff.looping else 0

    def settled(self) -> bool:
        """True once when the process that runs has lasted for a while after a crash loop."""
        if self.process is None or not self._backoff.settle():
            return False
        self._note_looping()
        return True

    @property
    def unwanted(self) -> bool:
        """The control process wants the process that runs to be replaced."""
        return (
            self.process is not None
            and self.roster is not None
            and not self.leaving
            and self.roster.unwanted(self.place, self.process.pid)
        )

    def note_recycled(self) -> None:
        """That replacement was begun."""
        if self.roster is not None:
            self.roster.note_recycled(self.place)

    def _note_looping(self) -> None:
        if self.roster is not None:
            self.roster.note_looping(self.place, looping=self._backoff.looping)
