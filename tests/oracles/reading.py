"""What an upstream makes of the bytes that reach it, and a caller of those that come back.

The upstream is of the usual tolerant kind: it takes a bare LF for the end of a line, the first Content-Length, and
anything with ``chunked`` in it for chunked. What is smuggled past a strict proxy would be seen by such a one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import hpack
from harness.frames import take_frames
from harness.message import FIELD_LINE, REQUEST_LINE

from gateway.wire.h2.codes import DATA, GOAWAY, HEADERS, PING, RST_STREAM
from oracles.attack import PING_MARK

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding[ \t]*:.*chunked")
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]+)[^\n]*\n")
_H2C = re.compile(rb"(?im)^upgrade[ \t]*:.*h2c")


@dataclass(frozen=True)
class Message:
    """A request or a response as it was read."""

    head: bytes
    body: bytes
    whole: bool

    @property
    def odd(self) -> bool:
        """A head of a request that a strict recipient would reject, or that switches to HTTP/2."""
        first, *lines = self.head.split(b"\r\n")
        plain = REQUEST_LINE.fullmatch(first) and all(FIELD_LINE.fullmatch(line) for line in lines)
        return not plain or _H2C.search(self.head) is not None

    @property
    def status(self) -> int:
        found = re.match(rb"HTTP/1\.[01] (\d{3})\b", self.head)
        return int(found[1]) if found else 0


def messages(raw: bytes, *, responses: bool = False, ended: str = "") -> list[Message]:
    """All messages in ``raw``; the last may not be whole. ``ended``: how the connection ended, ``eof`` or ``reset``."""
    found: list[Message] = []
    while raw := raw.lstrip(b"\r\n"):
        end = _HEAD_END.search(raw)
        if end is None:
            found.append(Message(raw, b"", whole=False))
            break
        head, rest = raw[: end.start()], raw[end.end() :]
        body, size, whole = _body(head, rest, responses=responses, ended=ended)
        found.append(Message(head, body, whole))
        if not whole:
            break
        raw = rest[size:]
    return found


def _body(head: bytes, rest: bytes, *, responses: bool, ended: str) -> tuple[bytes, int, bool]:
    """The body, the bytes that it takes, and whether it is whole."""
    if responses and re.match(rb"HTTP/1\.[01] (1\d\d|204|304)\b", head):
        return b"", 0, True
    if _CHUNKED.search(head):
        return _chunks(rest)
    if (length := _LENGTH.search(head)) is not None:
        size = int(length[1])
        return rest[:size], size, len(rest) >= size
    if responses:
        return rest, len(rest), ended == "eof"
    return b"", 0, True


def _chunks(rest: bytes) -> tuple[bytes, int, bool]:
    body, at = b"", 0
    while (line := _CHUNK.match(rest, at)) is not None:
        size = int(line[1], 16)
        if size == 0:
            return _trailers(rest, line.end(), body)
        body += rest[line.end() : line.end() + size]
        at = line.end() + size
        if len(rest) < at:
            break
        at += 2 if rest[at : at + 2] == b"\r\n" else 1
    return body, len(rest), False


def _trailers(rest: bytes, at: int, body: bytes) -> tuple[bytes, int, bool]:
    while (end := rest.find(b"\n", at)) >= 0:
        line, at = rest[at:end], end + 1
        if line in (b"", b"\r"):
            return body, at, True
    return body, len(rest), False


@dataclass
class Streams:
    """What came on one connection of HTTP/2."""

    statuses: dict[int, int] = field(default_factory=dict)
    resets: dict[int, int] = field(default_factory=dict)
    goaway: int | None = None
    marked: bool = False
    """The mark at the end was acknowledged."""


def streams(raw: bytes) -> Streams:
    found, decoder = Streams(), hpack.Decoder()
    for frame in take_frames(bytearray(raw)):
        if frame.kind == HEADERS and not frame.flags & 0x28:  # no padding and no priority, which no server sends
            fields = dict(decoder.decode(frame.payload, raw=True))
            found.statuses.setdefault(frame.ident, int(fields.get(b":status", b"0")))  # type: ignore[call-overload]
        elif frame.kind == RST_STREAM:
            found.resets[frame.ident] = frame.number
        elif frame.kind == GOAWAY:
            found.goaway = frame.number
        elif frame.kind == PING and frame.payload == PING_MARK.payload:
            found.marked = True
    return found


def requests_on_streams(raw: bytes) -> int:
    """Requests that an upstream of HTTP/2 reads to their end, in the bytes behind the preface."""
    frames = take_frames(bytearray(raw))
    return sum(frame.kind in (DATA, HEADERS) and frame.ended for frame in frames)
