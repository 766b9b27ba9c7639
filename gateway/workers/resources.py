"""What this process uses of the machine: its memory and its descriptors."""

from __future__ import annotations

import asyncio
import math
import pathlib
import resource
from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock, monotonic

LATER: Final = 0.25
"""Seconds from a report until the memory is read for the next one: the scrape that wanted it is over by then."""
KEPT: Final = 120.0
"""Seconds for which what was read is good enough; Prometheus scrapes more often."""

_SMAPS: Final = pathlib.Path("/proc/self/smaps_rollup")
_DESCRIPTORS: Final = pathlib.Path("/proc/self/fd")


def proportional_memory() -> int:
    """The proportional set size in bytes; 0: the system does not report it."""
    try:
        with _SMAPS.open() as rows:
            return next((int(row.split()[1]) << 10 for row in rows if row.startswith("Pss:")), 0)
    except OSError:
        return 0


class Resources:
    """Reports the resources of this process. No other one of the same user can read them after `confinement.seal`.

    The kernel walks all pages of a process for its proportional size, which takes milliseconds. So a report has the
    size that was read after the report before it: a scrape would wait for it in all processes at once.
    """

    def __init__(self, clock: Clock = monotonic, read: Callable[[], int] = proportional_memory) -> None:
        """``read`` runs in a thread."""
        self._clock = clock
        self._read = read
        self._memory = 0
        self._read_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def report(self) -> dict[str, int]:
        """Bytes of the proportional set size, open descriptors and their limit; 0: the system does not report it."""
        if self._clock() - self._read_at > KEPT:
            self._keep(await asyncio.to_thread(self._read))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER, self._read_again)
        return {
            "proportional_memory_bytes": self._memory,
            "open_fds": _open_descriptors(),
            "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }

    def close(self) -> None:
        """Read nothing for a next report."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_again(self) -> None:
        self._timer = None
        reading = asyncio.get_running_loop().run_in_executor(None, self._read)
        reading.add_done_callback(lambda done: None if done.cancelled() else self._keep(done.result()))

    def _keep(self, memory: int) -> None:
        self._memory, self._read_at = memory, self._clock()


def _open_descriptors() -> int:
    try:
        # Linux says how many there are since 6.2 (proc_pid_fd(5)); before, the size is 0, and the names are counted.
        return _DESCRIPTORS.stat().st_size or len(list(_DESCRIPTORS.iterdir()))
    except OSError:
        return 0
