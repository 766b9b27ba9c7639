"""What is remembered to spare work, and may be forgotten at any time."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """A dictionary that `put` keeps at ``most`` entries: the one that was put longest ago makes room.

    Reading does not renew an entry, because a plain look-up is as fast as it gets. Callers choose the keys of most of
    these, so without a bound they would choose how much memory they take.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> None:
        """Add or renew ``key``."""
        self.pop(key, None)
        if len(self) >= self._most:
            del self[next(iter(self))]
        self[key] = value
