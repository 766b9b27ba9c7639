"""The pool of 32 KiB buffers into which every socket is read."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

BUFFER_SIZE = 32 * 1024


class BufferPool:
    """Lends fixed-size buffers; the last one returned is the first one lent, so that it is still in the cache.

    Up to ``capacity`` buffers are made and kept. When all are on loan a further one is made all the same, counted in
    `fallbacks` and thrown away when it returns: a shortage costs memory, never a request. Whoever hands a buffer to a
    transport returns it only when the transport has flushed it: a transport keeps a reference, not a copy.
    """

    __slots__ = ("_free", "allocations", "capacity", "fallbacks", "gets", "outstanding", "puts")

    def __init__(self, capacity: int = 1024) -> None:
        self._free: list[memoryview] = []
        self.capacity = capacity
        self.gets = 0
        self.puts = 0
        self.allocations = 0
        """Buffers made, the fallbacks included."""
        self.fallbacks = 0
        self.outstanding = 0
        """Buffers on loan now."""

    def get(self) -> memoryview:
        """A buffer of `BUFFER_SIZE` bytes with arbitrary content."""
        self.gets += 1
        self.outstanding += 1
        if self._free:
            return self._free.pop()
        self.allocations += 1
        if self.outstanding > self.capacity:
            self._fall_back()
        return memoryview(bytearray(BUFFER_SIZE))

    def put(self, buffer: memoryview) -> None:
        """Take a buffer back; one of another size is not ours and is left to the garbage collector."""
        if buffer.nbytes != BUFFER_SIZE:
            return
        self.puts += 1
        self.outstanding -= 1
        if len(self._free) < self.capacity:
            self._free.append(buffer)

    def forget(self, count: int) -> None:
        """``count`` buffers will not come back: their transport died with them."""
        self.outstanding -= count

    def _fall_back(self) -> None:
        self.fallbacks += 1
        if self.fallbacks & (self.fallbacks - 1) == 0:  # at powers of two: a warning, not a flood
            _log.warning("all %d relay buffers are on loan; %d were made beyond them", self.capacity, self.fallbacks)
