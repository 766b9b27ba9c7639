"""A group of endpoints to be tried alone, with a clock that is turned by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence

from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.balance import Balance, RoundRobin
from gateway.policy.ejection import EjectionRules
from gateway.policy.group import Condition, Group, Rules
from gateway.policy.member import Member

SUCCESS, FAILURE, IGNORED = Outcome
EJECTION = EjectionRules(consecutive_failures=3, base_time=10.0, max_time=30.0)
"""What `GroupScene` ejects by."""


def members(*weights: int) -> list[Member]:
    """Endpoints named a, b, c …"""
    return [Member(chr(ord("a") + at), weight) for at, weight in enumerate(weights)]


def weighted(several: Sequence[Member]) -> list[tuple[Member, float]]:
    return [(member, float(member.weight)) for member in several]


def dice(seed: int = 1) -> random.Random:
    return random.Random(seed)


class GroupScene:
    """Endpoints of weight 1 unless ``settings`` say more, and what changed for them: (name, cause, why)."""

    def __init__(
        self,
        count: int,
        rules: Rules | None = None,
        *,
        balance: Balance | None = None,
        clock: Clock | None = None,
        settings: Sequence[tuple[int, bool]] | None = None,
        checks: bool = True,
    ) -> None:
        self.clock = clock or Clock()
        self.changes: list[tuple[str, str, str]] = []
        self.panics: list[bool] = []
        """Each time that all are used from then on, and no longer."""
        self.conditions = [Condition(member) for member in members(*[1] * count)]
        self.group = self.made(rules or Rules(EJECTION), balance or RoundRobin())
        self.group.take_over(None, settings or [(1, False)] * count, checks=checks)

    def made(self, rules: Rules, balance: Balance | None = None, conditions: Sequence[Condition] = ()) -> Group:
        """One more group, of the same endpoints unless told."""
        return Group(
            conditions or self.conditions, balance or RoundRobin(), rules, self.clock, self._changed, self.panics.append
        )

    def _changed(self, member: Member, cause: str, why: str) -> None:
        self.changes.append((member.name, cause, why))

    @property
    def members(self) -> list[Member]:
        return [each.member for each in self.conditions]

    def chosen(self, times: int = 10) -> set[str]:
        """Who is chosen, one after the other."""
        found = [self.group.choose(b"") for _ in range(times)]
        return {"-" if member is None else member.name for member in found}

    def attempt(self, member: Member, outcome: Outcome, seconds: float = 0.0) -> None:
        began = self.group.begin(member)
        self.clock.now += seconds
        self.group.end(member, began, outcome)

    def fail(self, member: Member, times: int = 3) -> None:
        for _ in range(times):
            self.attempt(member, FAILURE)
