"""Follows the frames of a WebSocket connection, to know where one ends: a frame of our own fits in nowhere else.

RFC 6455 5.2: a frame begins with 2 to 14 bytes that say how long it is. Payload is never looked at. What is not framed
like this is not judged either, because a tunnel carries whatever the two ends have agreed on: it is only followed no
further, and then no end of a frame is known any more.
"""

from __future__ import annotations

from typing import Final

_CLOSE: Final = 8
_MAX_CONTROL: Final = 125
_OPCODES: Final = frozenset((0, 1, 2, 8, 9, 10))
"""Those that RFC 6455 defines; no extension in use has added one."""
_FIN: Final = 0x80
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80

GOING_AWAY: Final = 1001
"""RFC 6455 7.4.1: an endpoint goes away, such as a server that goes down."""


class Frames:
    """The frames of one direction. ``masked``: it is the client's, whose frames all are (RFC 6455 5.1)."""

    __slots__ = ("_header", "_left", "_masked", "closed", "headers", "lost")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._left = 0
        """Bytes of the payload that are to come."""
        self._header = b""
        """The beginning of a header that has not come whole."""
        self.lost = False
        """The bytes are no frames: nothing is known of them any more."""
        self.closed = False
        """A Close frame has begun: no other frame follows (RFC 6455 5.5.1)."""
        self.headers = 0
        """Headers that the last `follow` read: what it cost."""

    @property
    def between(self) -> bool:
        """All that was followed are whole frames, and none of them was a Close: another may come now."""
        return not (self._left or self._header or self.closed or self.lost)

    def follow(self, data: memoryview, *, to_end: bool = False) -> int:
        """Take ``data``; ``to_end``: only up to the end of the frame that it begins or goes on with.

        Returns how many bytes were taken.
        """
        size = len(data)
        self.headers = 0
        if self.lost:
            return size
        left = self._left
        if left > size:  # most bytes of large frames
            self._left = left - size
            return size
        at = left
        self._left = 0
        while at < size:
            if to_end and at and not self._header:
                return at
            at = self._begin(data, at)
            at += self._left
            if at > size:
                self._left = at - size
                return size
            self._left = 0
        return size

    def _begin(self, data: memoryview, at: int) -> int:
        """Read the header at ``at``, or the rest of one that had begun, and set ``_left``; where the payload begins."""
        before = self._header
        head = before + bytes(data[at : at + 14 - len(before)])
        length = self._length(head)
        if self.lost:
            return len(data)
        if not length:
            self._header = head
            return len(data)
        self._header = b""
        self.headers += 1
        return at + length - len(before)

    def _length(self, head: bytes) -> int:
        """Bytes of the header that ``head`` begins with, 0: there are more to come. Sets ``_left`` and ``closed``."""
        if len(head) < 2:
            return 0
        first, second = head[0], head[1]
        opcode, payload = first & _OPCODE, second & ~_MASKED
        if opcode not in _OPCODES or bool(second & _MASKED) is not self._masked:
            self.lost = True
            return 0
        if opcode >= _CLOSE and (payload > _MAX_CONTROL or not first & _FIN):  # RFC 6455 5.5
            self.lost = True
            return 0
        extended = 2 if payload == 126 else 8 if payload == 127 else 0
        length = 2 + extended + (4 if self._masked else 0)
        if len(head) < length:
            return 0
        if extended:
            payload = int.from_bytes(head[2 : 2 + extended], "big")
            # RFC 6455 5.2: the shortest form that fits, and no more than 63 bits.
            if payload < (126 if extended == 2 else 65536) or payload >> 63:
                self.lost = True
                return 0
        self._left = payload
        if opcode == _CLOSE:
            self.closed = True
        return length


def close_frame(status: int, mask: bytes = b"") -> bytes:
    """A Close frame with ``status`` and no reason; ``mask``: 4 bytes that a client's frame is masked with, none for a
    server's (RFC 6455 5.3, 5.5.1)."""
    payload = status.to_bytes(2, "big")
    if not mask:
        return b"\x88\x02" + payload
    return b"\x88\x82" + mask + bytes((payload[0] ^ mask[0], payload[1] ^ mask[1]))
