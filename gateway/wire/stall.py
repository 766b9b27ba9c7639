"""A caller that is too slow to take what is written: neither a permit nor a close waits for it without a bound.

Made when bytes first wait for the caller, because on most connections they never do.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from time import monotonic

from gateway.core.limits import Limits
from gateway.wire.pace import Pace
from gateway.wire.timer import LazyTimer

_TICK = 10.0
"""Seconds between two looks at how much a caller that keeps us waiting has taken."""
_TCP_INFO_BYTES = 128
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
"""Where struct tcp_info of linux/tcp.h has tcpi_bytes_acked."""


class StallWatch:
    """Calls ``on_stall`` when the caller takes nothing for ``limits.body_timeout``, or takes less than the floor."""

    __slots__ = ("_acked", "_limits", "_moved_at", "_on_stall", "_pace", "_transport", "_unsent", "timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        limits: Limits,
        on_stall: Callable[[], None],
    ) -> None:
        self.timer = LazyTimer(loop, self._look)
        self._transport = transport
        self._limits = limits
        self._on_stall = on_stall
        self._pace = Pace(limits.min_body_rate)
        self._unsent = 0
        """Bytes that waited for the caller when last looked at."""
        self._acked = -1
        """Bytes that the caller's host had acknowledged when last looked at; -1: not known."""
        self._moved_at = 0.0
        """When the caller was last seen to take bytes."""

    def begin(self, now: float) -> None:
        """Bytes wait for the caller from now on."""
        self._moved_at = now
        self._unsent = self._transport.get_write_buffer_size()
        self._pace.begin(now)
        self.timer.arm(now + min(_TICK, self._limits.body_timeout))

    def end(self, now: float) -> None:
        """The caller has taken all."""
        self._pace.pause(now)
        self.timer.disarm()

    def close(self) -> None:
        self.timer.close()

    def _look(self) -> None:
        now = monotonic()
        unsent, acked = self._transport.get_write_buffer_size(), self._bytes_acked()
        moved = acked - self._acked if self._acked >= 0 else self._unsent - unsent
        if moved > 0 or unsent < self._unsent:
            self._moved_at = now
        self._unsent, self._acked = unsent, acked
        body_timeout = self._limits.body_timeout
        if now - self._moved_at >= body_timeout - 0.001 or self._pace.too_slow(moved, now):
            self._on_stall()
        else:
            self.timer.arm(min(now + _TICK, self._moved_at + body_timeout))

    def _bytes_acked(self) -> int:
        """Bytes that the caller's host has taken so far, by the kernel's own account; -1 where it keeps none."""
        raw = self._transport.get_extra_info("socket")
        if raw is None:
            return -1
        try:
            info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return -1
        return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]) if len(info) == _TCP_INFO_BYTES else -1
