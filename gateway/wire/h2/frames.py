"""Single frames (RFC 9113 4 and 6): how they are written, and what is in the payload of those with an inner form."""

from __future__ import annotations

from struct import Struct
from typing import Final

from gateway.wire.h2.codes import (
    CONTINUATION,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PADDED,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    H2Error,
)

HEAD: Final = Struct(">HBBBI")
"""The upper 16 and the lower 8 bits of the size, type, flags, stream."""
HEAD_SIZE: Final = 9
WORD: Final = Struct(">I")
_PAIR: Final = Struct(">HI")
_MAX_SETTINGS: Final = 32
_LARGEST_FRAME_SIZE: Final = (1 << 24) - 1


def frame(kind: int, flags: int, ident: int, payload: bytes) -> bytes:
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, ident) + payload


def settings(pairs: list[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join([_PAIR.pack(key, value) for key, value in pairs]))


def rst_stream(ident: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, ident, WORD.pack(code))


def window_update(ident: int, step: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, ident, WORD.pack(step))


def goaway(last: int, code: int, details: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, WORD.pack(last) + WORD.pack(code) + details.encode())


def header_frames(ident: int, block: bytes, *, ended: bool) -> bytes:
    """HEADERS, and CONTINUATION for what one frame does not hold."""
    flags = END_STREAM if ended else 0
    if len(block) <= MAX_FRAME:
        return frame(HEADERS, flags | END_HEADERS, ident, block)
    parts = [block[start : start + MAX_FRAME] for start in range(0, len(block), MAX_FRAME)]
    out = [frame(HEADERS, flags, ident, parts[0])]
    out += [frame(CONTINUATION, 0, ident, part) for part in parts[1:-1]]
    out.append(frame(CONTINUATION, END_HEADERS, ident, parts[-1]))
    return b"".join(out)


def stripped(flags: int, payload: bytes) -> bytes:
    """The fragment of a HEADERS frame without padding and priority."""
    start = padding = 0
    if flags & PADDED:
        if not payload:
            raise H2Error(FRAME_SIZE_ERROR, "a padded frame has no length of its padding")
        start, padding = 1, payload[0]
    if flags & WITH_PRIORITY:
        start += 5
        if len(payload) < start:
            raise H2Error(FRAME_SIZE_ERROR, "HEADERS end within their priority")
    if start + padding > len(payload):
        raise H2Error(PROTOCOL_ERROR, "the padding is longer than its frame")
    return payload[start : len(payload) - padding]


def settings_in(payload: bytes) -> list[tuple[int, int]]:
    """Of a SETTINGS frame, each value in its range (RFC 9113 6.5.2). Raises `H2Error`."""
    if len(payload) > 6 * _MAX_SETTINGS:
        raise H2Error(ENHANCE_YOUR_CALM, "there are too many settings in one frame")
    pairs: list[tuple[int, int]] = list(_PAIR.iter_unpack(payload))
    for key, value in pairs:
        if key == ENABLE_PUSH and value > 1:
            raise H2Error(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise H2Error(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
        if key == MAX_FRAME_SIZE and not MAX_FRAME <= value <= _LARGEST_FRAME_SIZE:
            raise H2Error(PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range")
    return pairs
