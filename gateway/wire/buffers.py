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

    One read of HTTP/2 feeds several sinks. Each that could not flush its part has a loan of its own (`lend_again`), and
    the buffer is free when the last of them has flushed.

    What is kept of bodies, to be sent again, counts in the same budget (`keep`): it gets what loans have left of it.
    """

    __slots__ = (
        "_free",
        "_newest_loan",
        "_shared",
        "allocations",
        "capacity",
        "current",
        "fallbacks",
        "gets",
        "kept",
        "outstanding",
        "puts",
    )

    def __init__(self, capacity: int = 1024) -> None:
        self._free: list[memoryview] = []
        self._newest_loan: memoryview | None = None
        self._shared: dict[int, int] = {}
        """Loans besides the first of the buffers that have several, by the identity of the memory."""
        self.capacity = capacity
        self.gets = 0
        """Times that a buffer was needed."""
        self.puts = 0
        self.allocations = 0
        """Buffers made, the fallbacks included; all other gets were reuse."""
        self.fallbacks = 0
        self.outstanding = 0
        """Loans of buffers now."""
        self.kept = 0
        """Bytes of bodies that are kept."""
        self.current = self._get()

    def lend(self) -> memoryview:
        """Give `current` away, until `take_back`; another one takes its place."""
        self._newest_loan = lent = self.current
        self.outstanding += 1
        self.current = self._get()
        return lent

    def lend_again(self, piece: memoryview) -> memoryview | None:
        """The buffer that ``piece`` lies in, lent once more, when that is the one that was lent last; else None.

        For a read of which an earlier part was lent. Within its callback no other read can have made a newer loan.
        """
        lent = self._newest_loan
        if lent is None or lent.obj is not piece.obj:
            return None
        self.outstanding += 1
        self._shared[id(lent.obj)] = self._shared.get(id(lent.obj), 0) + 1
        return lent

    def take_back(self, buffer: memoryview) -> None:
        """A lent buffer was flushed."""
        self.puts += 1
        self.outstanding -= 1
        if self._is_lent_elsewhere(buffer):
            return
        if len(self._free) < self.capacity:
            self._free.append(buffer)

    def forget(self, buffers: list[memoryview]) -> None:
        """These loans do not end: their transport died with them. Who shares such a buffer still gives it back."""
        self.outstanding -= len(buffers)
        for buffer in buffers:
            self._is_lent_elsewhere(buffer)

    def keep(self, size: int) -> bool:
        """Whether so many bytes of a body may be kept, until `let_go`."""
        if self.kept + size > (self.capacity - self.outstanding) * BUFFER_SIZE:
            return False
        self.kept += size
        return True

    def let_go(self, size: int) -> None:
        """So many bytes are kept no longer."""
        self.kept -= size

    def _is_lent_elsewhere(self, buffer: memoryview) -> bool:
        """Whether there is a loan besides the one that ends now; it is one less afterwards."""
        if buffer is self._newest_loan:
            self._newest_loan = None  # it may be current again: then a piece of it is no part of the read that was lent
        if not self._shared:
            return False
        more = self._shared.pop(id(buffer.obj), 0)
        if more > 1:
            self._shared[id(buffer.obj)] = more - 1
        return more > 0

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
