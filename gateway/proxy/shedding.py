"""Measures how much this process has to do, for the machine that sheds load, and logs when that begins and ends."""

from __future__ import annotations

import logging
import pathlib
import resource
from collections.abc import Callable
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.core.limits import Limits
from gateway.policy.overload import Overload

_log = logging.getLogger("gateway")

_STATM: Final = pathlib.Path("/proc/self/statm")
_LOOK_SECONDS: Final = 1.0
"""Between two looks at the memory, which changes slower than the lag of the loop."""


def resident() -> int:
    """Bytes of memory that this process has now (RSS, proc(5)); 0: not known."""
    try:
        return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


class Shedding:
    """Gives the machine what `gateway.observe.loop_lag` measures, and the memory. Each worker has one of its own."""

    def __init__(self, size: Callable[[], int] = resident, clock: Clock = monotonic) -> None:
        """``size``: the memory in bytes."""
        self.overload = Overload()
        self._size = size
        self._clock = clock
        self._limits = Limits()
        self._memory = 0
        self._looked_at = -_LOOK_SECONDS
        self._on = False

    def configure(self, limits: Limits) -> None:
        """Apply the limits of a configuration."""
        self._limits = limits
        self.overload.configure(limits.shed_loop_lag, limits.shed_memory, shadow=limits.shed_mode == "shadow")
        self._tell()

    def on_lag(self, lag: float) -> None:
        """The event loop was late by ``lag`` seconds just now."""
        if not self._limits.sheds:
            return
        now = self._clock()
        if self._limits.shed_memory and now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._memory = self._size()
        self.overload.measure(now, lag, self._memory)
        self._tell(lag)

    @property
    def share(self) -> float:
        """Of the new requests that are refused."""
        return 0.0 if self.overload.shadow else self.overload.share

    def _tell(self, lag: float = 0.0) -> None:
        on = self.overload.share > 0.0
        if on == self._on:
            return
        self._on = on
        if not on:
            _log.info("overloaded no longer: no new request is refused for it")
            return
        what = "would be refused, were it not in shadow mode" if self.overload.shadow else "is refused"
        _log.warning(
            "overloaded: a share of the new requests %s (503 overloaded), because of limits.%s; the event loop is "
            "%.2f s late, the memory is %d MiB",
            what,
            self.overload.cause,
            lag,
            self._memory >> 20,
        )
