"""Who of those that wait in this process is next: by priority, fair over callers, the oldest or the newest first.

It gives no permits and knows no time of its own. `gateway.policy.limiter` asks it whenever a place of this process was
given a permit, so that which process gets a permit is decided by the order of arrival, and which request by this line.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.policy.codel import Codel, OrderSwitch

W = TypeVar("W", bound=Hashable)

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2
PRIORITIES: Final = ("high", "normal", "low")
"""The words for them."""
MOST_PASSED: Final = 8
"""So many of higher priority are admitted before one of a lower priority that waits. So the lowest class gets at least
a ninth of the permits: enough that no request starves, too little to be felt by the others.
"""


class Rank(NamedTuple):
    """What decides when a request is next. ``caller``: fair over its values; all the same: the order of arrival."""

    priority: int = NORMAL
    caller: Hashable = None


ANY: Final = Rank()
"""Of a request about which nothing is known."""


class _Place(NamedTuple):
    since: float
    rank: Rank


class Lane(Generic[W]):
    """Those of one priority. Every operation is O(1); what it remembers of a caller goes with his last waiter."""

    __slots__ = ("_callers", "_most", "_sizes", "passed", "places", "switch")

    def __init__(self, codel: Codel) -> None:
        self.places: OrderedDict[W, _Place] = OrderedDict()
        """All of them, the oldest first."""
        self.switch = OrderSwitch(codel)
        self.passed = 0
        """How many of a higher priority were admitted since it was its turn."""
        self._callers: OrderedDict[Hashable, OrderedDict[W, None]] = OrderedDict()
        """The next caller first; of each his waiters, the oldest first."""
        self._sizes: dict[int, OrderedDict[Hashable, None]] = {}
        """The callers with so many waiters."""
        self._most = 0
        """The most waiters that one caller has."""

    def __len__(self) -> int:
        return len(self.places)

    def size_of(self, caller: Hashable) -> int:
        """How many of ``caller`` wait."""
        return len(self._callers.get(caller, ()))

    @property
    def callers(self) -> int:
        return len(self._callers)

    @property
    def most(self) -> int:
        return self._most

    def oldest(self, now: float) -> float:
        """Seconds that the oldest has waited; 0.0: no one waits."""
        return now - next(iter(self.places.values())).since if self.places else 0.0

    def add(self, waiter: W, place: _Place) -> None:
        caller = place.rank.caller
        self.places[waiter] = place
        own = self._callers.setdefault(caller, OrderedDict())
        own[waiter] = None
        self._count(caller, len(own) - 1, len(own))

    def remove(self, waiter: W) -> None:
        caller = self.places.pop(waiter).rank.caller
        own = self._callers[caller]
        del own[waiter]
        self._count(caller, len(own) + 1, len(own))
        if not own:
            del self._callers[caller]

    def take(self) -> W:
        """Remove and return the next waiter; his caller is the last in the next round."""
        caller, own = next(iter(self._callers.items()))
        self._callers.move_to_end(caller)
        waiter = next(reversed(own) if self.switch.newest_first else iter(own))
        self.remove(waiter)
        return waiter

    def order(self) -> Iterator[W]:
        """Those who wait, as `take` would return them."""
        newest_first = self.switch.newest_first
        turns = deque(reversed(own) if newest_first else iter(own) for own in self._callers.values())
        while turns:
            turn = turns.popleft()
            for waiter in turn:
                yield waiter
                turns.append(turn)
                break

    def take_from_longest(self) -> W:
        """Remove and return the newest waiter of the caller who has the most."""
        caller = next(iter(self._sizes[self._most]))
        waiter = next(reversed(self._callers[caller]))
        self.remove(waiter)
        return waiter

    def _count(self, caller: Hashable, before: int, after: int) -> None:
        sizes = self._sizes
        if before:
            sizes[before].pop(caller)
            if not sizes[before]:
                del sizes[before]
        if after:
            sizes.setdefault(after, OrderedDict())[caller] = None
        # A caller who had the most alone has one less now.
        self._most = after if after > self._most or (before == self._most and before not in sizes) else self._most


class WaitingLine(Generic[W]):
    """All who wait in this process. A waiter is any hashable token."""

    __slots__ = ("_lane_of", "lanes")

    def __init__(self, codel: Codel = Codel()) -> None:  # noqa: B008 - frozen
        self.lanes: tuple[Lane[W], ...] = tuple(Lane(codel) for _ in PRIORITIES)
        self._lane_of: dict[W, Lane[W]] = {}

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, waiter: W) -> bool:
        return waiter in self._lane_of

    def configure(self, codel: Codel) -> None:
        """Change the rules in place; those who wait stay where they are."""
        for lane in self.lanes:
            lane.switch.configure(codel)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many wait of each of `PRIORITIES`."""
        return tuple([len(lane) for lane in self.lanes])

    @property
    def newest_first(self) -> bool:
        """Whether in any class the newest goes first."""
        return True in [lane.switch.newest_first for lane in self.lanes]

    def add(self, waiter: W, rank: Rank, now: float) -> None:
        """``waiter`` comes to wait."""
        lane = self.lanes[rank.priority]
        if not lane:
            lane.passed = 0
            lane.switch.observe(0.0, now)
        lane.add(waiter, _Place(now, rank))
        self._lane_of[waiter] = lane

    def remove(self, waiter: W) -> None:
        """``waiter`` waits no longer; harmless for one who does not wait (any more)."""
        lane = self._lane_of.pop(waiter, None)
        if lane is not None:
            lane.remove(waiter)

    def take(self, now: float) -> W:
        """Remove and return the next one; at least one has to wait."""
        at = _next([len(lane) for lane in self.lanes], [lane.passed for lane in self.lanes])
        for lane in self.lanes[at + 1 :]:
            lane.passed += 1
        lane = self.lanes[at]
        lane.passed = 0
        lane.switch.observe(lane.oldest(now), now)
        waiter = lane.take()
        del self._lane_of[waiter]
        return waiter

    def order(self) -> Iterator[W]:
        """All who wait, in the order in which `take` would return them if no one came or left."""
        left, passed = [len(lane) for lane in self.lanes], [lane.passed for lane in self.lanes]
        turns = [lane.order() for lane in self.lanes]
        for _ in range(len(self)):
            at = _next(left, passed)
            for lower in range(at + 1, len(passed)):
                passed[lower] += 1
            passed[at] = 0
            left[at] -= 1
            yield next(turns[at])

    def too_old(self, now: float) -> Iterator[W]:
        """Those who are to wait no longer, the oldest first. Each has to be removed before the next is asked for."""
        for lane in self.lanes:
            while lane.switch.newest_first and lane and lane.switch.too_old(lane.oldest(now)):
                yield next(iter(lane.places))

    def displace(self, rank: Rank) -> W | None:
        """Remove and return the one who has to make way for one with ``rank`` when there is no place left; None: no
        one has to.

        It is the newest one of the caller with the most waiters: of a lower priority, as long as one of that stays
        there, because else the lower one would starve; or of the same priority, when that caller still has no less
        than the newcomer's.
        """
        lane = self._yielding(rank)
        if lane is None:
            return None
        victim = lane.take_from_longest()
        del self._lane_of[victim]
        return victim

    def yields_to(self, rank: Rank) -> bool:
        """Whether `displace` would find one."""
        return self._yielding(rank) is not None

    def _yielding(self, rank: Rank) -> Lane[W] | None:
        for lane in reversed(self.lanes[rank.priority + 1 :]):
            if len(lane) > 1:
                return lane
        own = self.lanes[rank.priority]
        return own if own.most > own.size_of(rank.caller) + 1 else None

    def ahead(self, rank: Rank) -> int:
        """How many of those who wait now are admitted before a newcomer with ``rank``, at the least."""
        lane = self.lanes[rank.priority]
        own = 0
        if not lane.switch.newest_first:
            mine = lane.size_of(rank.caller)
            others = lane.callers - (mine > 0)
            # With one caller that is the whole lane. Of each other caller at least one is next before.
            own = mine + others
        passing = MOST_PASSED * (own + 1) - (lane.passed if lane else 0)
        return own + min(passing, sum([len(higher) for higher in self.lanes[: rank.priority]]))


def _next(waiting: Sequence[int], passed: Sequence[int]) -> int:
    """The lowest class that has been passed too often, else the highest in which one waits. ``waiting``, ``passed``: of
    each class."""
    due = [at for at, count in enumerate(waiting) if count and passed[at] >= MOST_PASSED]
    if due:
        return due[-1]
    return next(at for at, count in enumerate(waiting) if count)
