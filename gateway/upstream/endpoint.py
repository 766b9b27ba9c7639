"""One address of an upstream, live: its connections, the breaker that judges it, and how it stands among others."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.policy.breaker import Breaker
from gateway.policy.group import Condition
from gateway.policy.member import Member
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one generation of the configuration borrows; the parts are shared with others that have the same origin."""

    origin: Origin
    pool: Pool
    breaker: Breaker | None
    condition: Condition

    @property
    def member(self) -> Member:
        """What the group of its upstream chooses."""
        return self.condition.member
