"""Who waits for a permit, in the order of arrival: the queue in front of a limiter.

It knows nothing of time, permits or tasks: a waiter is any hashable token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)


class WaitQueue(Generic[W]):
    """First come, first served, with room for ``max_waiting``; every operation is O(1), leaving from the middle too.

    ``max_waiting`` may be changed at any time: those who wait keep their place, newcomers meet the new bound; 0 admits
    no one. ``waiters`` is to be read, oldest first.
    """

    __slots__ = ("max_waiting", "waiters")

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        # Not a dict: taking the first key of one rescans the entries deleted before it, which adds up to O(n^2).
        self.waiters: OrderedDict[W, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.waiters)

    @property
    def full(self) -> bool:
        return len(self.waiters) >= self.max_waiting

    def join(self, waiter: W) -> bool:
        """Take the last place; False when there is none."""
        if self.full:
            return False
        self.waiters[waiter] = None
        return True

    def leave(self, waiter: W) -> None:
        """Give the place up, wherever it is; harmless for one who does not wait (any more)."""
        self.waiters.pop(waiter, None)

    def pop(self) -> W | None:
        """Remove and return the waiter that has waited longest; None when the queue is empty."""
        return self.waiters.popitem(last=False)[0] if self.waiters else None
