"""One timer a connection that is moved without being re-armed.

``call_later`` and ``cancel`` cost a microsecond and more; a connection moves its deadline several times a request and
hardly ever reaches it. So the timer stays where it is, and when it fires too early it is armed again for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic


def _nothing() -> None:
    """What a closed timer calls."""


class LazyTimer:
    """Calls ``expire`` once when the time of the newest `arm` is reached and no `disarm` came in between."""

    __slots__ = ("_expire", "_handle", "_loop", "expires_at", "fires_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._handle: asyncio.TimerHandle | None = None
        self.fires_at = inf
        """When the timer of the event loop fires; infinite while there is none. Until then ``expires_at`` may be set
        instead of a call of `arm`, which would do nothing else."""
        self.expires_at = 0.0
        """Absolute monotonic time in seconds; 0.0 = disarmed."""

    def arm(self, at: float) -> None:
        """Expire at the absolute time ``at``, instead of any time set before."""
        self.expires_at = at
        if at < self.fires_at:
            if self._handle is not None:
                self._handle.cancel()
            self._set(at)

    def disarm(self) -> None:
        self.expires_at = 0.0

    def close(self) -> None:
        """Disarm permanently, cancel the timer, and drop the reference to the owner, because ``expire`` is its method.
        Otherwise only the garbage collector frees the two.
        """
        self.expires_at = 0.0
        self._expire = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self.fires_at = inf

    def _set(self, at: float) -> None:
        self.fires_at = at
        self._handle = self._loop.call_later(max(0.0, at - monotonic()), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self.fires_at = inf
        at = self.expires_at
        if not at:
            return
        # A timer may fire within its resolution of a millisecond before its time.
        if monotonic() < at - 0.001:
            self._set(at)
            return
        self.expires_at = 0.0
        try:
            self._expire()
        except Exception as error:
            # The exception handler cuts the connection: without a timer it could stay open forever.
            owner = getattr(self._expire, "__self__", None)
            self._loop.call_exception_handler({"message": "a timeout failed", "exception": error, "protocol": owner})
