"""Bodies on the wire: a decoder for chunked, an encoder for chunked, and the rules for trailers (RFC 9112 6 and 7)."""

from __future__ import annotations

import enum
import re
from typing import NoReturn

from gateway.errors import GatewayError, Reason
from gateway.wire.fields import passes_as_trailer
from gateway.wire.grammar import CHUNK_LINE, FIELD_BYTES, TOKEN_BYTES

LAST_CHUNK = b"0\r\n\r\n"
MAX_TRAILERS = 8192
"""Bytes of a trailer section, unless a limit is set."""

_CRLF = b"\r\n"

_HEX_DIGITS = b"0123456789abcdefABCDEF"
_MAX_PLAIN_DIGITS = 8
_FRAMING_OF_A_PIECE = 64 * 5
"""A chunk has five bytes of framing and more; decoding 64 equal ones costs as much as decoding one by itself."""
_MAX_CHUNK_LINE = 256
_MAX_EXTENSIONS = 16384
_SMALL_CHUNK = 32
"""Bytes of payload below which a chunk that is followed by another in the same read is joined with it."""
_WINDOW = 2048
"""Bytes that `ChunkedDecoder` looks at together for chunks that are whole and plainly written."""
_SIZES = {b"%x" % size: size for size in range(1, 256)} | {b"%X" % size: size for size in range(1, 256)}
"""Sizes of small chunks by what stands in their lines."""
_RUNS: dict[bytes, re.Pattern[bytes]] = {}
"""By the line of a chunk of less than 16 bytes: such chunks, one behind the other. There are 176 such lines at most."""


class _State(enum.IntEnum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILERS = 3


_SIZE, _DATA, _DATA_END, _TRAILERS = _State  # bound once: Python 3.11 takes 0.13 us to look a member up


class ChunkedDecoder:
    """Decodes a chunked body, however the bytes are split; chunk extensions are checked and dropped.

    ``bad`` is the reason of the `GatewayError` that broken framing raises. After `done` is True no more may be fed;
    `trailers` then holds the trailer lines that may travel on.
    """

    __slots__ = (
        "_bad",
        "_extensions",
        "_left",
        "_line",
        "_max_trailers",
        "_state",
        "_trailer_bytes",
        "done",
        "pieces",
        "trailers",
    )

    def __init__(self, bad: Reason, max_trailers: int = MAX_TRAILERS) -> None:
        """``max_trailers``: bytes that the trailer section may have."""
        self._bad = bad
        self._max_trailers = max_trailers
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._extensions = 0
        self._trailer_bytes = 0
        self.done = False
        self.pieces = 0
        """What the cost of the last `feed` is in proportion to: chunks that it took one by one, and a 64th of those
        that it took as a run of equal ones.
        """
        self.trailers: list[bytes] = []

    def feed(self, data: memoryview, out: list[memoryview]) -> int:
        """Append the payload found in ``data`` to ``out``; return how many bytes belong to this body.

        Payload of many small chunks is joined, and then no part of ``data``.
        """
        position, end, self.pieces = 0, len(data), 0
        while position < end and not self.done:
            if self._state is _SIZE and not self._line:
                position = self._take_plain(data, position, out)
                if self._state is _SIZE and position < end:
                    position = self._take_line(data, position)
            elif self._state is _DATA:
                stop = min(position + self._left, end)
                out.append(data[position:stop])
                self._left -= stop - position
                position = stop
                if not self._left:
                    self._state = _DATA_END
            else:
                position = self._take_line(data, position)
        return position

    def whole_chunks(self, data: bytes) -> int:
        """Size of the payload when ``data`` is nothing but whole chunks, plainly written; -1 when it needs `feed`.

        The common case of a streamed response, recognised in a tenth of the time: such bytes may travel on unchanged.
        The last chunk, without trailers, may be among them: `done` is then True.
        """
        if self._state is not _SIZE or self._line:
            return -1
        end = len(data)
        stop = data.find(_CRLF, 0, _MAX_PLAIN_DIGITS + 2)
        size = _SIZES.get(data[:stop], 0)
        if size and stop + size + 4 == end and data.endswith(_CRLF):  # one chunk, as a token of a stream is
            return size
        payload, position, size = 0, 0, -1
        while position < end:
            stop = data.find(b"\r\n", position, position + _MAX_PLAIN_DIGITS + 2)
            digits = data[position:stop]
            if stop <= position or digits.translate(None, _HEX_DIGITS):
                return -1
            size = int(digits, 16)
            position = stop + size + 4
            # Many small chunks are left to `feed`, which takes them together: here each costs as much as a large one.
            if data[position - 2 : position] != b"\r\n":
                return -1
            if size < _SMALL_CHUNK and position < end and (not size or position != end - len(LAST_CHUNK)):
                return -1
            payload += size
        self.done = not size
        return payload

    def _take_plain(self, data: memoryview, position: int, out: list[memoryview]) -> int:
        """Take the whole chunks without extensions that ``data`` has from ``position`` on, and the line of one that is
        not whole; return where they end.

        A chunk of one byte costs six on the wire. Taken line by line it would cost a hundred times as much as the
        network does.
        """
        while True:
            pieces: list[bytes] = []
            taken, self._left = _plain_chunks(bytes(data[position : position + _WINDOW]), pieces)
            if pieces:
                payload = b"".join(pieces)
                out.append(memoryview(payload))
                self.pieces += len(pieces) + (taken - len(payload)) // _FRAMING_OF_A_PIECE
            position += taken
            if self._left:
                self._state = _DATA
                return position
            if taken < _WINDOW // 2:
                return position

    def _take_line(self, data: memoryview, position: int) -> int:
        if self._state is _DATA_END and not self._line and data[position] != 0x0D:
            self._refuse("A chunk is longer than its size")
        limit = self._max_trailers if self._state is _TRAILERS else _MAX_CHUNK_LINE
        window = bytes(data[position : position + limit + 2])
        before = self._line
        # A CR that ended the bytes before may be completed by the LF that begins these.
        joined = before + window
        stop = joined.find(b"\r\n", max(len(before) - 1, 0))
        if stop < 0:
            if len(joined) > limit or b"\n" in joined:
                self._refuse("A chunk's line is too long or not ended by CRLF")
            self._line = joined
            return position + len(window)
        self._line = b""
        self._on_line(joined[:stop])
        return position + stop + 2 - len(before)

    def _on_line(self, line: bytes) -> None:
        if self._state is _SIZE:
            self._on_size(line)
        elif self._state is _DATA_END:
            if line:
                self._refuse("A chunk is longer than its size")
            self._state = _SIZE
        elif line:
            self._on_trailer(line)
        else:
            self.done = True

    def _on_size(self, line: bytes) -> None:
        self.pieces += 1
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            self._refuse("A chunk's size or extension is not valid")
        self._extensions += len(match[2])
        if self._extensions > _MAX_EXTENSIONS:
            self._refuse("The chunk extensions are too long")
        self._left = int(match[1], 16)
        self._state = _DATA if self._left else _TRAILERS

    def _on_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        colon = line.find(b":")
        name = line[:colon].lower()
        if colon < 1 or name.translate(None, TOKEN_BYTES) or line.translate(None, FIELD_BYTES):
            self._refuse("A trailer line is not of the form name:value")
        if self._trailer_bytes > self._max_trailers:
            self._refuse("The trailers are too long")
        if passes_as_trailer(name):
            self.trailers.append(line)

    def _refuse(self, details: str) -> NoReturn:
        raise GatewayError(self._bad, details)


def _plain_chunks(window: bytes, pieces: list[bytes]) -> tuple[int, int]:
    """Append the payload of the chunks that stand whole at the start of ``window``.

    Returns how many bytes they are, and 0. When the line of one more chunk is there, the bytes include it, and its size
    is returned instead of the 0.
    """
    position, end = 0, len(window)
    while position < end:
        stop = window.find(_CRLF, position, position + _MAX_PLAIN_DIGITS + 2)
        if stop <= position:
            return position, 0
        digits = window[position:stop]
        size = _SIZES.get(digits, 0)
        if not size:
            if digits.translate(None, _HEX_DIGITS):
                return position, 0
            size = int(digits, 16)
            if not size:
                return position, 0
        begin = stop + 2
        next_chunk = begin + size + 2
        if next_chunk > end:
            return begin, size
        if window[next_chunk - 2 : next_chunk] != _CRLF:
            return position, 0
        if size < 16 and window.startswith(window[position:begin], next_chunk):
            run = _run_of(window[position:begin], size).match(window, position)
            assert run is not None
            pieces.append(_payload_of_run(run[0], begin - position, size))
            position = run.end()
        else:
            pieces.append(window[begin : next_chunk - 2])
            position = next_chunk
    return position, 0


def _run_of(line: bytes, size: int) -> re.Pattern[bytes]:
    pattern = _RUNS.get(line)
    if pattern is None:
        pattern = _RUNS[line] = re.compile(rb"(?s:(?:%b.{%d}\r\n)++)" % (line, size))
    return pattern


def _payload_of_run(run: bytes, line: int, size: int) -> bytes:
    """The payload of chunks that all have a line of this length, and this size."""
    stride = line + size + 2
    if size == 1:
        return run[line::stride]
    payload = bytearray(len(run) // stride * size)
    for column in range(size):
        payload[column::size] = run[line + column :: stride]
    return bytes(payload)


def last_chunk(trailers: list[bytes]) -> bytes:
    """The end of a chunked body: the last chunk and the trailer section."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + b"\r\n".join(trailers) + b"\r\n\r\n"
