"""How much the process itself holds everybody up: how late its timers ring, and how long garbage collection takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from gateway.observe import families
from gateway.observe.metrics import Metrics

_PERIOD: Final = 0.1
_DECAY: Final = 0.966


def _no_one(_: float) -> None:
    pass


class LoopLag:
    """Watches from `start` to `close`. ``on_lag`` is called with each delay, in seconds."""

    def __init__(
        self, metrics: Metrics, loop: asyncio.AbstractEventLoop, on_lag: Callable[[float], None] = _no_one
    ) -> None:
        self._on_lag = on_lag
        self._metrics = metrics
        self._loop = loop
        self._due = 0.0
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.worst = 0.0
        """The highest delay of late, in seconds: it halves within 2 seconds."""

    def start(self) -> None:
        gc.callbacks.append(self._on_collection)
        self._again()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(self._on_collection)

    def _again(self) -> None:
        self._due = monotonic() + _PERIOD
        self._timer = self._loop.call_later(_PERIOD, self._on_timer)

    def _on_timer(self) -> None:
        lag = max(0.0, monotonic() - self._due)
        self.worst = max(lag, self.worst * _DECAY)
        self._metrics.observe(families.LOOP_LAG, lag)
        self._on_lag(lag)
        self._again()

    def _on_collection(self, phase: str, _: Mapping[str, int]) -> None:
        now = monotonic()
        if phase == "start":
            self._began = now
        else:
            self._metrics.observe(families.GC_PAUSE, now - self._began)
