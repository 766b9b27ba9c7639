"""When a queue stands instead of absorbing a burst: then the newest goes first, and who is too old no longer waits.

The measure is CoDel's (RFC 8289, 3.2): the shortest wait of an interval. A burst makes some wait long; a queue in which
even the shortest wait of a whole interval is above the target has more arrivals than it can serve. First come, first
served then gives every request the longest wait of all, and the callers of many are gone when their turn comes. Newest
first serves those who are still there ("adaptive LIFO", B. Maurer, Fail at Scale, ACM Queue 13(8), 2015).

What is measured is the age of the oldest waiter when one is admitted. In the order of arrival that is the wait of the
one who is admitted. With the newest first it is what his wait would have been, so that the switch does not turn itself
off.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Order(IntEnum):
    """``RISING``: in the order of arrival, and every wait since a moment was too long."""

    FIFO = 0
    RISING = 1
    LIFO = 2


class Seen(IntEnum):
    """The age of the oldest: below the target, above it, above it for a whole interval."""

    SHORT = 0
    LONG = 1
    LASTING = 2


TABLE: Final = (
    #  SHORT        LONG          LASTING
    (Order.FIFO, Order.RISING, Order.RISING),  # FIFO
    (Order.FIFO, Order.RISING, Order.LIFO),  # RISING
    (Order.FIFO, Order.LIFO, Order.LIFO),  # LIFO
)
"""The order after each observation."""


class Codel(NamedTuple):
    """``target``: seconds of waiting that are well, 0.0: the switch is off. ``interval``: seconds until it acts."""

    target: float = 0.0
    interval: float = 0.5


class OrderSwitch:
    """Which waiter is next, the oldest or the newest."""

    __slots__ = ("_since", "order", "rules")

    def __init__(self, rules: Codel) -> None:
        self.rules = rules
        self.order = Order.FIFO
        self._since = 0.0

    @property
    def newest_first(self) -> bool:
        return self.order is Order.LIFO

    def configure(self, rules: Codel) -> None:
        """Change the rules in place; without a target the order is that of arrival at once."""
        self.rules = rules
        if not rules.target:
            self.order = Order.FIFO

    def observe(self, age: float, now: float) -> None:
        """One is admitted, or comes to wait, while the oldest has waited for ``age`` seconds (0.0: there is none)."""
        target, interval = self.rules
        if not target:
            return
        long = Seen.LASTING if now - self._since >= interval else Seen.LONG
        seen = Seen.SHORT if age < target else long
        before = self.order
        self.order = TABLE[before][seen]
        if before is Order.FIFO and self.order is Order.RISING:
            self._since = now

    def too_old(self, age: float) -> bool:
        """Whether one who has waited for ``age`` seconds is to wait no longer: more than the interval, while the newest
        goes first. In the interval at least one wait should have been below the target.
        """
        return self.order is Order.LIFO and age > self.rules.interval
