"""The pool of 32 KiB buffers into which every socket is read."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

BUFFER_SIZE = 32 * 1024


class BufferPool:
    """Every read of an event loop goes into `current`, which is free again when the read's callback returns.

    Only a buffer that a transport could not flush at once is *lent*: the transport keeps a reference, not a copy, and
    gives it back when it has flushed (`take_back`). Meanwhile another buffer is current. Up to ``capacity`` buffers are
    made and kept; beyond that one is still made, counted in `fallbacks` and thrown away when it returns: a
    shortage costs memory, never a request.
    """

    __slots__ = ("_free", "allocations", "capacity", "current", "fallbacks", "gets", "outstanding", "puts")

    def __init__(self, capacity: int = 1024) -> None:
        self._free: list[memoryview] = []
        self.capacity = capacity
        self.gets = 0
        """Times that a buffer was needed."""
        self.puts = 0
        self.allocations = 0
        """Buffers made, the fallbacks included; all other gets were reuse."""
        self.fallbacks = 0
        self.outstanding = 0
        """Buffers on loan now."""
        self.current = self._get()

    def lend(self) -> memoryview:
        """Give `current` away, until `take_back`; another one takes its place."""
        lent = self.current
        self.outstanding += 1
        self.current = self._get()
        return lent

    def take_back(self, buffer: memoryview) -> None:
        """A lent buffer was flushed."""
        self.puts += 1
        self.outstanding -= 1
        if len(self._free) < self.capacity:
            self._free.append(buffer)

    def forget(self, count: int) -> None:
        """``count`` lent buffers will not come back: their transport died with them."""
        self.outstanding -= count

    def _get(self) -> memoryview:
        self.gets += 1
        if self._free:
            return self._free.pop()
        self.allocations += 1
        if self.outstanding > self.capacity:
            self._fall_back()
        return memoryview(bytearray(BUFFER_SIZE))

    def _fall_back(self) -> None:
        self.fallbacks += 1
        if self.fallbacks & (self.fallbacks - 1) == 0:  # at powers of two: a warning, not a flood
            _log.warning("all %d relay buffers are on loan; %d were made beyond them", self.capacity, self.fallbacks)
