"""Time that goes by what is done: a microsecond for each look at the clock, however slow the machine.

Under valgrind a request takes a hundred times as long. Timers, and so the size of a batch of log lines, would then be
other ones, and differ with what else the machine does; the count of instructions with them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

import uvloop

LOOK = 1e-6
"""Seconds for each look: a request looks some twenty times, and takes some twenty microseconds and more."""
Ts = TypeVarTuple("Ts")
EPOCH = 1_800_000_000.0


def install() -> None:
    """Before the modules are imported that take their clock from `time`."""
    time.monotonic = itertools.count(1000.0, LOOK).__next__
    time.time = itertools.count(EPOCH, LOOK).__next__


class Loop(uvloop.Loop):
    """uvloop, whose timers fire in `turn`, by the clock of `install`."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, asyncio.TimerHandle, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return time.monotonic()

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._due, (when, next(self._numbers), handle, callback, args))
        return handle

    def turn(self) -> None:
        """Run what is due."""
        now = self.time()
        while self._due and self._due[0][0] <= now:
            _, _, handle, callback, args = heapq.heappop(self._due)
            if not handle.cancelled():
                self.call_soon(callback, *args)
