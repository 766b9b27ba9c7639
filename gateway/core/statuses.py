"""Sets of statuses, as settings write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LAST: Final = 599


def statuses(ranges: Iterable[str]) -> frozenset[int]:
    """The statuses in ``ranges``, each of them as in ``503`` or ``500-599``.

    What is above 599 is no status of HTTP, and counts as 599 (RFC 9110 section 15: as a 5xx).
    """
    found = set[int]()
    for text in ranges:
        first, _, last = text.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found.union(range(_LAST, 1000)) if _LAST in found else found)
