"""Reads server-sent events as they pass: whether a piece of a stream brings data, and whether an event is complete.

Sources: WHATWG HTML, 9.2.5 and 9.2.6. Lines end with CRLF, LF or CR; a line that begins with a colon is a comment; an
empty line ends an event. Only the value of a ``data`` field is what a caller waits for: comments, other fields and
empty data prove that the connection is alive, and not that the work behind it goes on.
"""

from __future__ import annotations

import re
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data:"
_ENOUGH: Final = len(_BOM) + len(_DATA) + 2
"""Bytes of a line that say whether it has data: the mark of a stream's start, the name, a blank, and one more."""

_DATA_LINE: Final = re.compile(rb"^data:(?:[^ \n]| [^\n])", re.MULTILINE)
_FIELD_LINE: Final = re.compile(rb"^[^:\n]", re.MULTILINE)
_EVENT: Final = re.compile(_DATA_LINE.pattern + rb".*?\n\n", re.MULTILINE | re.DOTALL)
"""From the first data of an event to its end."""


class EventReader:
    """Of one stream; keeps a few bytes of the line that it is in."""

    __slots__ = ("_after_cr", "_first", "_has_data", "_has_fields", "_line", "_line_has_data", "count")

    def __init__(self) -> None:
        self._after_cr = False
        """The last byte was a CR: an LF that follows belongs to it."""
        self._first = True
        """No line has ended."""
        self._line = b""
        """How the line begins that has not ended."""
        self._line_has_data = False
        self._has_data = False
        """The event that has not ended has data in it."""
        self._has_fields = False
        """It has any field: what is appended would become a part of it."""
        self.count = 0
        """Events that were complete and had data."""

    @property
    def between_events(self) -> bool:
        """What is written now begins an event of its own."""
        return not self._line and not self._has_fields

    def feed(self, piece: bytes) -> bool:
        """Read ``piece``; whether it has bytes of data. Lines that are whole cost no step of Python each, because a
        back end may send very many of them at once.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return False
        self._after_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, last = piece.find(b"\n"), piece.rfind(b"\n")
        if first < 0:
            return self._extend(piece)
        brought = self._extend(piece[:first])
        self._end_line()
        if last > first:
            brought = self._take_lines(piece[first + 1 : last + 1]) or brought
        return self._extend(piece[last + 1 :]) or brought

    def _take_lines(self, lines: bytes) -> bool:
        """Whole lines; whether one of them has data."""
        empty = 0 if lines.startswith(b"\n") else lines.find(b"\n\n") + 1
        if not empty and not lines.startswith(b"\n"):  # all belong to the event that has begun
            return self._take_fields(lines)
        brought = self._take_fields(lines[:empty])
        self._end_line()
        others = lines[empty + 1 :]
        begun = others.rfind(b"\n\n") + 2
        if begun > 1:
            whole = len(_EVENT.findall(others, 0, begun))
            self.count += whole
            brought = brought or whole > 0
        else:
            begun = 0
        return self._take_fields(others[begun:].lstrip(b"\n")) or brought

    def _take_fields(self, lines: bytes) -> bool:
        """Whole lines of one event, and not its end; whether one of them has data."""
        has_data = _DATA_LINE.search(lines) is not None
        self._has_data = self._has_data or has_data
        self._has_fields = self._has_fields or _FIELD_LINE.search(lines) is not None
        return has_data

    def _extend(self, part: bytes) -> bool:
        """More of a line; whether that is data."""
        if not part:
            return False
        if not self._line_has_data:
            self._line += part[: _ENOUGH - len(self._line)]
            line = self._line.removeprefix(_BOM) if self._first else self._line
            self._line_has_data = line.startswith(_DATA) and line[len(_DATA) :] not in (b"", b" ")
        return self._line_has_data

    def _end_line(self) -> None:
        line = self._line.removeprefix(_BOM) if self._first else self._line
        self._first = False
        if not line:
            self.count += self._has_data
            self._has_data = self._has_fields = False
        elif not line.startswith(b":"):
            self._has_fields = True
            self._has_data = self._has_data or self._line_has_data
        self._line = b""
        self._line_has_data = False
