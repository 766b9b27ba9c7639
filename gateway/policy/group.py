"""The endpoints of one upstream as a whole: who may be chosen now, who is, and what the attempts say of each.

An endpoint may be chosen unless an operator drains it, it reports that it leaves, checks say that it is down, or its
failures have ejected it. Three rules keep these from doing harm:

    max_share  at most this share of the endpoints is ejected at a time, but always one of several may be. The only
               endpoint never is: there is no better one
    panic      when the share of those that are neither down nor ejected falls below this, all are used: they would
               otherwise bring the few that are left down too. Those that an operator drains stay out
    leaving    those that report it are used when there is no other: they respond, until they stop

Times are readings of the group's clock in seconds. Everything is of this process: each worker has its own opinion, made
of its own attempts and checks, so that a bad endpoint costs each of them a few requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.core.outcome import Outcome
from gateway.policy.balance import Balance, Weighted
from gateway.policy.capacity import Capacity, Reported, ReportRules
from gateway.policy.ejection import Ejection, EjectionRules, Standing
from gateway.policy.health import Checked, Health
from gateway.policy.member import AWAY, DRAINED, EJECTED, LEAVING, LOST, PROBATION, UNHEALTHY, Member

COLD: Final = 0.1
"""The share of its weight with which an endpoint begins a slow start."""
_SHORTEST: Final = 1e-6
"""Seconds: 0.0 says that nothing is known."""
_SMOOTHING: Final = 0.1
"""Of the typical time of an attempt: what a new one counts."""

CAUSES: Final = ("down", "up", "ejected", "probation", "proved", "leaving", "returned")
"""What changes for an endpoint: by checks (down, up), by its attempts (ejected, proved), by time (probation), by its
own report or the age of that (leaving, returned)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """``ejection`` None: none is ejected. ``shadow``: ejections are only counted. ``checks_shadow``: so are results of
    checks. ``reporting`` None: what endpoints report is not looked at.
    """

    ejection: EjectionRules | None = None
    shadow: bool = False
    max_share: float = 0.5
    panic: float = 0.5
    slow_start: float = 0.0
    healthy_after: int = 2
    unhealthy_after: int = 3
    reporting: ReportRules | None = None
    checks_shadow: bool = False


class Condition:
    """One endpoint: its numbers, the two machines that judge it, and what it reports."""

    __slots__ = ("checked", "ejection", "member", "reported")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.checked = Checked()
        self.ejection = Ejection()
        self.reported = Reported()


OnChange = Callable[[Member, str, str], None]
"""Called with an endpoint, one of `CAUSES`, and why in words; should not raise."""


OnPanic = Callable[[bool], None]
"""Called when all endpoints are used from now on, and when they are no longer; should not raise."""


def _nothing(member: Member, cause: str, why: str) -> None:
    """There is no listener."""


class Group:
    """``conditions``: of all endpoints, one at least. Those of the configuration before may be among them."""

    def __init__(
        self,
        conditions: Sequence[Condition],
        balance: Balance,
        rules: Rules,
        clock: Clock = monotonic,
        on_change: OnChange = _nothing,
        on_panic: OnPanic = lambda panics: None,
    ) -> None:
        self.conditions = conditions
        self.rules = rules
        self.clock = clock
        self.typical = 0.0
        """Seconds that an attempt takes that succeeds; 0.0: none has."""
        self.panics = 0
        """Choices among all, because too few were well."""
        self.held_back = 0
        """Ejections that ``max_share`` has prevented."""
        self._taken = (0, 0)
        self._serving: list[Group] = [self]
        """The one that serves now. Groups that followed one another share it, so none keeps those between alive."""
        self._said_panic = False
        self._balance = balance
        self._on_change = on_change
        self._on_panic = on_panic
        self._members = [each.member for each in conditions]
        self._of = {each.member: each for each in conditions}
        reports = {each.member: each.reported for each in conditions}
        self.capacity = None if rules.reporting is None else Capacity(reports, rules.reporting, clock, on_change)
        """None: what they report is not looked at."""

    def take_over(
        self,
        before: Group | None,
        settings: Sequence[tuple[int, bool]],
        *,
        checks: bool,
        known: Collection[Condition] = (),
    ) -> None:
        """Serve from now on, instead of ``before``, if there was one: what is known of the endpoints stays.

        ``settings``: of each endpoint its weight, and whether it is drained. ``checks``: there are active ones.
        ``known``: those that were there before, where a single one needed no group.
        """
        if before is not None:
            known = before.conditions
            self.typical = before.typical
            self._said_panic = before._said_panic  # noqa: SLF001 - its end has yet to be reported
            self._serving = before._serving  # noqa: SLF001 - attempts that began with it go on
            self._serving[0] = self
        enforced = self.rules.ejection is not None and not self.rules.shadow
        for condition, (weight, drained) in zip(self.conditions, settings, strict=True):
            member = condition.member
            member.weight = weight
            member.set(DRAINED, on=drained)
            if not checks:
                condition.checked = Checked()
            member.set(UNHEALTHY, on=self._keeps_away(condition.checked))
            # An ejection of shadow mode keeps nothing from it: there is no flag that would end with it.
            only_counted = condition.ejection.state is not Standing.ACTIVE and not member.out & (EJECTED | PROBATION)
            if not enforced or only_counted or len(self.conditions) == 1:
                condition.ejection = Ejection()
                member.set(EJECTED | PROBATION, on=False)
            if self.capacity is None or self.capacity.rules.shadow:
                condition.reported.leaving = False
                member.set(LEAVING, on=False)
            if known and condition not in known:
                member.warm_from = self.clock()

    def take_counts(self) -> tuple[int, int]:
        """``panics`` and ``held_back`` since the last call."""
        now, before = (self.panics, self.held_back), self._taken
        self._taken = now
        return now[0] - before[0], now[1] - before[1]

    @property
    def usable(self) -> bool:
        """Whether a request would find an endpoint."""
        return bool(self.eligible)

    @property
    def eligible(self) -> list[Member]:
        """Those among which the next choice is. To look at them is no choice, so nothing is counted."""
        self.expire()
        return self._eligible(panicking=self.panicking)

    @property
    def panicking(self) -> bool:
        """Whether all are used now, because too few are well."""
        there = [member for member in self._members if not member.out & AWAY]
        lost = sum([1 for member in there if member.out & LOST])
        return lost > 0 and len(there) - lost < self.rules.panic * len(there)

    def expire(self) -> None:
        """End the ejections whose time is over, as the next choice does, because an explanation cannot wait for one."""
        now = self.clock()
        for member in self._members:
            if member.out & EJECTED:
                self._expire(self._of[member], now)

    def choose(self, key: bytes, tried: Collection[object] = (), passed: Collection[object] = ()) -> Member | None:
        """The one that gets the next attempt; None: none may get it. `begin` must follow.

        ``tried``: those that this request has tried already; they are chosen again when there is no other. ``passed``:
        those that are not chosen at all. ``key`` as in `Balance`.
        """
        now = self.clock()
        candidates = self._candidates(now)
        if passed:
            candidates = [member for member in candidates if member not in passed]
        if tried:
            candidates = [member for member in candidates if member not in tried] or candidates
        if not candidates:
            return None
        weighted: Weighted
        if self.rules.slow_start:
            weighted = [(member, self._warmed(member, now)) for member in candidates]
        else:
            weighted = [(member, float(member.weight)) for member in candidates]
        if self.capacity is not None:
            weighted = self.capacity.weigh(weighted, now)
        return self._balance.choose(weighted, key, now)

    def _candidates(self, now: float) -> list[Member]:
        members = self._members
        out = 0
        for member in members:
            out |= member.out
            if member.out & EJECTED:
                self._expire(self._of[member], now)
        if not out and not self._said_panic:  # nearly always
            return members
        panicking = self.panicking
        if panicking is not self._said_panic:
            self._said_panic = panicking
            self._on_panic(panicking)
        if panicking:
            self.panics += 1
        return self._eligible(panicking=panicking)

    def _eligible(self, *, panicking: bool) -> list[Member]:
        members = self._members
        if panicking:
            return [member for member in members if not member.out & AWAY]
        well = [member for member in members if not member.out & (LOST | AWAY)]
        if not well:  # rather one that wants to leave than none
            well = [member for member in members if not member.out & (LOST | DRAINED)]
        # One on probation that has a request gets no second one, unless there is no other. Those that it had before do
        # not count: a stream of hours would keep it away.
        return [member for member in well if not (member.out & PROBATION and member.trials)] or well

    def _warmed(self, member: Member, now: float) -> float:
        """The weight of one that came back not long ago grows from a tenth."""
        if not member.warm_from:
            return float(member.weight)
        share = (now - member.warm_from) / self.rules.slow_start
        if share >= 1.0:
            member.warm_from = 0.0
            return float(member.weight)
        return member.weight * max(COLD, share)

    def begin(self, member: Member) -> float:
        """An attempt begins at ``member``; what `end` needs."""
        member.in_flight += 1
        if member.out & PROBATION:
            member.trials += 1
        return self.clock()

    def end(self, member: Member, began: float, outcome: Outcome, *, made: bool = True) -> None:
        """The attempt that ``began`` then is over, and says ``outcome`` of its endpoint.

        ``made``: False for one that was rejected before anything was sent; its outcome is IGNORED.
        """
        member.leave()
        if made and outcome is Outcome.IGNORED:
            member.ignored += 1
        # The one that serves now judges, because it has the rules that hold now.
        self._serving[0]._ended(member, began, outcome)  # noqa: SLF001 - as above

    def _ended(self, member: Member, began: float, outcome: Outcome) -> None:
        now = self.clock()
        member.attempts += outcome is not Outcome.IGNORED
        if outcome is Outcome.FAILURE:
            member.failures += 1
            if not self.typical:
                member.owe(math.inf)
            elif now - began < self.typical:
                member.owe(began + self.typical)
        elif outcome is Outcome.SUCCESS:
            self._learn(now - began)
        rules = self.rules.ejection
        condition = self._of.get(member)
        if rules is None or condition is None:
            return
        if self.rules.shadow:  # it was not passed over meanwhile, so that no choice has seen the end of its time
            self._expire(condition, now)
        elif began < condition.ejection.since:  # it says nothing about the endpoint as it stands now
            return
        before = condition.ejection.state
        if before is Standing.PROBATION and member.trials:
            member.trials -= 1
        why = condition.ejection.note(outcome, now, rules)
        if why:
            self._eject(condition, now, rules, why)
        elif before is Standing.PROBATION and condition.ejection.state is Standing.ACTIVE:
            if not self.rules.shadow:
                member.set(PROBATION, on=False)
                member.warm_from = now
            self._on_change(member, "proved", "")

    def _learn(self, seconds: float) -> None:
        """An attempt that succeeded took so long."""
        if self.typical:
            self.typical += (seconds - self.typical) * _SMOOTHING
            return
        self.typical = max(seconds, _SHORTEST)
        for each in self._members:
            each.forgive()  # what failed before it was known how long an attempt takes

    def check(self, member: Member, why: str) -> None:
        """An active check of ``member`` has ended: ``why`` it failed, empty when it did not."""
        if self._serving[0] is not self:  # the other has its own checks, or none
            return
        now = self.clock()
        checked = self._of[member].checked
        if not checked.note(why, now, self.rules.healthy_after, self.rules.unhealthy_after):
            return
        down = checked.state is Health.DOWN
        if not self.rules.checks_shadow:
            member.set(UNHEALTHY, on=down)
            member.warm_from = 0.0 if down else now
        self._on_change(member, "down" if down else "up", why)

    def _keeps_away(self, checked: Checked) -> bool:
        return checked.state is Health.DOWN and not self.rules.checks_shadow

    @property
    def serving(self) -> Group:
        """The one that serves now, instead of this one or one that has taken over from it."""
        return self._serving[0]

    def places(self) -> int:
        """Requests that the endpoints together say that they may have; 0: not known, because one of them says nothing.

        Those that get none do not count.
        """
        out = AWAY if self.panicking else AWAY | LOST
        there = [member for member in self._members if not member.out & out]
        return 0 if self.capacity is None else self.capacity.places(there)

    def _expire(self, condition: Condition, now: float) -> None:
        if condition.ejection.expire(now):
            member = condition.member
            member.set(EJECTED, on=False)
            member.set(PROBATION, on=not self.rules.shadow)
            member.trials = 0
            self._on_change(member, "probation", "")

    def _eject(self, condition: Condition, now: float, rules: EjectionRules, why: str) -> None:
        others = [each for each in self.conditions if each is not condition]
        away = sum([1 for each in others if each.ejection.state is Standing.EJECTED]) + 1
        if not others:
            return
        if away > max(1.0, self.rules.max_share * len(self.conditions)):
            self.held_back += 1
            return
        condition.ejection.eject(now, rules, why)
        condition.member.ejections += 1
        if not self.rules.shadow:
            condition.member.set(PROBATION, on=False)
            condition.member.set(EJECTED, on=True)
        self._on_change(condition.member, "ejected", why)
