"""Heads that came on one connection, by the header blocks that they were made of.

A block that leaves the table of HPACK as it was means the same head until the table changes. A peer that sends the same
again costs one look-up.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from gateway.core.message import MAX_KEPT_HEAD, RequestHead, ResponseHead

_MAX_BLOCK: Final = 1024
_MOST: Final = 16

H = TypeVar("H", RequestHead, ResponseHead)


class HeadMemory(Generic[H]):
    """Bounded in number and bytes: the peer chooses what is in it."""

    __slots__ = ("_bytes", "unended", "whole")

    def __init__(self) -> None:
        self.whole: dict[bytes, H] = {}
        """Those of messages that ended with them."""
        self.unended: dict[bytes, H] = {}
        """All others."""
        self._bytes = 0

    def keep(self, block: bytes, head: H, *, ended: bool) -> None:
        """Remember ``head``, unless it is large; what was remembered makes room."""
        size = len(block) + sum(map(len, head.fields))
        if len(block) > _MAX_BLOCK or size > MAX_KEPT_HEAD:
            return
        memory = self.whole if ended else self.unended
        if self._bytes + size > MAX_KEPT_HEAD or len(memory) >= _MOST:
            self.forget()
        self._bytes += size
        memory[block] = head

    def forget(self) -> None:
        """The table has changed."""
        self.whole.clear()
        self.unended.clear()
        self._bytes = 0
