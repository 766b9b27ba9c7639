"""What endpoints report of themselves: how many requests they have and may have, or that they take no new ones.

    3/8      3 requests run there, and 8 may. The number in use comes first, because that is what a server has at hand:
             what it counts, and its own limit
    drain    no new requests; those that run end as they would

A report holds for ``max_age`` seconds, or until the next one: an endpoint that says nothing any more has no say. What
cannot be true is ignored and counted, so that a mistake there never takes an endpoint out.

The total bounds what the endpoint gets from this process. What others have in use there, other workers and other
gateways, is known by the difference between the report and the requests of this process, and takes places away. So each
process can go by the reports of its own responses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.core.clock import Clock
from gateway.policy.balance import Weighted
from gateway.policy.member import LEAVING, Member

MOST: Final = 1_000_000
"""No endpoint serves more requests at a time: a larger number is a mistake."""
KINDS: Final = ("capacity", "drain", "ignored")
"""What a report is counted as."""
CAPACITY, DRAIN, IGNORED = range(len(KINDS))
_FORM: Final = re.compile(rb"(\d{1,9})[ \t]*/[ \t]*(\d{1,9})")


class Said(NamedTuple):
    """``total`` 0: it wants no new requests."""

    in_use: int
    total: int


LEAVES: Final = Said(0, 0)


def understood(text: bytes) -> Said | None:
    """What the value of the field says; None: nothing that can be true."""
    bare = text.strip(b" \t")
    if bare.lower() == b"drain":
        return LEAVES
    found = _FORM.fullmatch(bare)
    if found is None:
        return None
    in_use, total = int(found[1]), int(found[2])
    return Said(in_use, total) if 0 < total <= MOST and in_use <= MOST else None


class Reported:
    """The newest report of one endpoint."""

    __slots__ = ("_taken", "at", "counts", "leaving", "others", "said")

    def __init__(self) -> None:
        self.said: Said | None = None
        """None: it has said nothing yet."""
        self.at = 0.0
        """When, on the clock of the group."""
        self.others = 0
        """Requests that ran there and were not of this process."""
        self.leaving = False
        """It was said to leave, and not yet that it is back."""
        self.counts = [0] * len(KINDS)
        self._taken = self.counts[:]

    def take_counts(self) -> list[int]:
        """Of each of `KINDS`, since the last call."""
        before, self._taken = self._taken, self.counts[:]
        return [now - then for now, then in zip(self._taken, before, strict=True)]

    def note(self, text: bytes, now: float, own: int) -> None:
        """It says ``text``, while it has ``own`` requests of this process."""
        said = understood(text)
        if said is None:
            self.counts[IGNORED] += 1
            return
        self.counts[CAPACITY if said.total else DRAIN] += 1
        self.said, self.at, self.others = said, now, max(0, said.in_use - own)


@dataclass(frozen=True, slots=True)
class ReportRules:
    """``max_age``: seconds for which a report holds. ``shadow``: it is only shown. ``scales``: of two endpoints the one
    with more places has less to do with as many requests.
    """

    max_age: float
    shadow: bool = False
    scales: bool = False


class Capacity:
    """The reports of all endpoints of an upstream."""

    __slots__ = ("_clock", "_on_change", "_reports", "rules")

    def __init__(
        self,
        reports: Mapping[Member, Reported],
        rules: ReportRules,
        clock: Clock,
        on_change: Callable[[Member, str, str], None],
    ) -> None:
        """``on_change``: called with an endpoint, ``leaving`` or ``returned``, and why in words."""
        self.rules = rules
        self._reports = reports
        self._clock = clock
        self._on_change = on_change

    def note(self, member: Member, text: bytes) -> None:
        """``member`` says ``text`` of itself; one that is no endpoint any more is not heard."""
        reported = self._reports.get(member)
        if reported is not None:
            now = self._clock()
            reported.note(text, now, member.in_flight)
            self._heed(member, reported, now)

    def age(self) -> float:
        """What is too old holds no longer. Seconds until the next report is; 0.0: none holds."""
        now = self._clock()
        for member, reported in self._reports.items():
            self._heed(member, reported, now)
        held = [each for each in self._reports.values() if self.holding(each, now) is not None]
        return min([each.at + self.rules.max_age - now for each in held], default=0.0)

    def places(self, members: Sequence[Member]) -> int:
        """Requests that ``members`` may have together; 0: not known, because one of them does not say."""
        now = self._clock()
        totals = [self.total(member, now) for member in members]
        return sum(totals) if all(totals) else 0

    def now(self, member: Member) -> int:
        """`total`, at this moment."""
        return self.total(member, self._clock())

    def total(self, member: Member, now: float) -> int:
        """Requests that it may have; 0: it does not say."""
        said = self.holding(self._reports[member], now)
        return 0 if said is None else said.total

    def weigh(self, members: Weighted, now: float) -> Weighted:
        """``members`` without those that are full, unless all are; with weights by their places where that helps."""
        if self.rules.shadow:
            return members
        totals = {member: self.total(member, now) for member, _ in members}
        roomy = [
            (member, weight)
            for member, weight in members
            if not totals[member] or member.in_flight + self._reports[member].others < totals[member]
        ]
        found = roomy or members
        if not self.rules.scales or 0 in [totals[member] for member, _ in found]:
            return found  # beside one that does not say, the numbers of the others mean nothing
        return [(member, weight * totals[member]) for member, weight in found]

    def holding(self, reported: Reported, now: float) -> Said | None:
        """What it says, while that holds."""
        return reported.said if now - reported.at < self.rules.max_age else None

    def _heed(self, member: Member, reported: Reported, now: float) -> None:
        said = self.holding(reported, now)
        leaving = said == LEAVES
        if leaving is reported.leaving:
            return
        reported.leaving = leaving
        if not self.rules.shadow:
            member.set(LEAVING, on=leaving)
            member.warm_from = 0.0 if leaving else now
        self._on_change(member, "leaving" if leaving else "returned", "its report is too old" if said is None else "")
