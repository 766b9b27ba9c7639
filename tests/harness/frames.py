"""Frames of HTTP/2 as a test reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass

import hpack

from gateway.wire.h2.codes import DATA, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE
from gateway.wire.h2.encoder import field

Fields = list[tuple[bytes, bytes]]

GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/a")]
POST: Fields = [(b":method", b"POST"), *GET[1:]]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    ident: int
    payload: bytes

    @property
    def ended(self) -> bool:
        """It has END_STREAM."""
        return self.kind in (DATA, HEADERS) and self.flags & 1 == 1

    @property
    def number(self) -> int:
        """The last number in the payload: the code of RST_STREAM or GOAWAY, the step of WINDOW_UPDATE."""
        assert self.kind in (RST_STREAM, GOAWAY, WINDOW_UPDATE)
        start = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[start : start + 4], "big")


def block(fields: Fields) -> bytes:
    return b"".join(field(*pair) for pair in fields)


def take_frames(data: bytearray) -> list[Frame]:
    """The frames that stand whole at the beginning of ``data``, which are removed from it."""
    found: list[Frame] = []
    while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
        size = int.from_bytes(data[:3], "big")
        ident = int.from_bytes(data[5:9], "big")
        found.append(Frame(data[3], data[4], ident, bytes(data[9 : 9 + size])))
        del data[: 9 + size]
    return found


class Reader:
    """The header blocks of one side of a connection."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()

    def fields(self, frame: Frame) -> dict[bytes, bytes]:
        assert frame.kind == HEADERS
        return dict(self._decoder.decode(frame.payload, raw=True))  # type: ignore[arg-type]
