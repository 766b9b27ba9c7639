"""The newest exchanges, kept for whoever asks "why was this refused?" a moment later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import orjson

_KEPT: Final = 8192
_KEPT_REFUSALS: Final = 1024


class Recent:
    """Log lines in memory; refusals and failures apart, so that a flood of good answers does not wash them away."""

    def __init__(self, kept: int = _KEPT, kept_refusals: int = _KEPT_REFUSALS) -> None:
        self._lines: deque[bytes] = deque(maxlen=kept)
        self._refusals: deque[bytes] = deque(maxlen=kept_refusals)
        self.refused = 0
        """Refusals and failures so far."""

    def keep(self, lines: Iterable[bytes]) -> None:
        self._lines.extend(lines)

    def keep_refusal(self, line: bytes) -> None:
        self.refused += 1
        self._refusals.append(line)

    def find(self, request_id: str) -> dict[str, Any] | None:
        """The line of the newest exchange with this id, parsed."""
        wanted = b'"request_id":' + orjson.dumps(request_id)
        for lines in (self._lines, self._refusals):
            for line in reversed(lines):
                if wanted in line:
                    found: dict[str, Any] = orjson.loads(line)
                    return found
        return None

    def refusals(self, since: int, most: int) -> tuple[int, list[dict[str, Any]]]:
        """(`refused`, the parsed lines after the first ``since`` of them: ``most`` at most, oldest first)."""
        wanted = min(most, len(self._refusals), max(0, self.refused - since))
        return self.refused, [orjson.loads(self._refusals[i]) for i in range(-wanted, 0)]
