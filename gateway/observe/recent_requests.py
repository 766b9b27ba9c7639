"""The newest exchanges, kept so that "why was this refused?" can be explained a moment later."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

import orjson

_KEPT: Final = 8192
_KEPT_BYTES: Final = 8 << 20
_KEPT_REFUSALS: Final = 1024
_KEPT_REFUSALS_BYTES: Final = 2 << 20
_LINE_COST: Final = 64
"""What Python adds to the text of a line: its object and its place in the ring."""


class Ring:
    """The newest lines, bounded by number and by bytes: the client chooses how long its lines are.

    The newest line stays even when it alone is above the bound.
    """

    __slots__ = ("_lines", "_most", "_most_bytes", "_size")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._lines: deque[bytes] = deque()
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def size(self) -> int:
        """Bytes of memory that the lines take."""
        return self._size

    def append(self, line: bytes) -> None:
        self.extend([line])

    def extend(self, lines: Sequence[bytes]) -> None:
        kept = self._lines
        kept.extend(lines)
        number = len(kept)
        size = self._size + sum(map(len, lines)) + _LINE_COST * len(lines)
        while number > 1 and (size > self._most_bytes or number > self._most):
            size -= len(kept.popleft()) + _LINE_COST
            number -= 1
        self._size = size

    def newest(self, number: int) -> list[bytes]:
        """Oldest first."""
        found = list(islice(reversed(self._lines), number))
        found.reverse()
        return found

    def containing(self, text: bytes) -> bytes | None:
        """The newest line that contains ``text``."""
        for line in reversed(self._lines):
            if text in line:
                return line
        return None


class Recent:
    """Log lines in memory; refusals and failures apart, so that a flood of good responses does not evict them."""

    def __init__(
        self,
        kept: int = _KEPT,
        kept_refusals: int = _KEPT_REFUSALS,
        kept_bytes: int = _KEPT_BYTES,
        kept_refusals_bytes: int = _KEPT_REFUSALS_BYTES,
    ) -> None:
        self._lines = Ring(kept, kept_bytes)
        self._refusals = Ring(kept_refusals, kept_refusals_bytes)
        self.refused = 0
        """Refusals and failures so far."""

    def keep(self, lines: Sequence[bytes]) -> None:
        self._lines.extend(lines)

    def keep_refusal(self, line: bytes) -> None:
        self.refused += 1
        self._refusals.append(line)

    def find(self, request_id: str) -> dict[str, object] | None:
        """The line of the newest exchange with this id, parsed."""
        wanted = b'"request_id":' + orjson.dumps(request_id)
        line = self._lines.containing(wanted) or self._refusals.containing(wanted)
        if line is None:
            return None
        found: dict[str, object] = orjson.loads(line)
        return found

    def refusals(self, since: int, most: int) -> tuple[int, list[dict[str, object]]]:
        """(`refused`, the parsed lines after the first ``since`` of them: ``most`` at most, oldest first)."""
        wanted = min(most, len(self._refusals), max(0, self.refused - since))
        return self.refused, [orjson.loads(line) for line in self._refusals.newest(wanted)]
