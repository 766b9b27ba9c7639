"""A named upstream, live: its endpoints, and the machines that choose one and that limit what all are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.config import records
from gateway.policy.adaptive import Adaptive
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.budget import RetryBudget
from gateway.policy.group import Group
from gateway.policy.latency import Latency
from gateway.policy.limiter import Limiter
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.reports import Reports
from gateway.wire.buffers import BufferPool

_BEST: Final = (State.CLOSED, State.HALF_OPEN, State.OPEN)


@dataclass(frozen=True, slots=True)
class Upstream:
    """What one generation of the configuration borrows; the limiter is shared with others of the same name."""

    settings: records.Upstream
    endpoints: tuple[Endpoint, ...]
    limiter: Limiter | None
    group: Group | None
    """None: there is one endpoint, and nothing keeps requests from it."""
    buffers: BufferPool = field(default_factory=BufferPool)
    """In whose budget bodies are kept that may have to be sent again."""
    retry_budget: RetryBudget = field(default_factory=RetryBudget)
    """Of all routes that name it."""
    latency: Latency = field(default_factory=Latency)
    """How long its responses take to begin, where routes that name it ask for it."""
    adaptive: Adaptive | None = None
    """Finds the limit of ``limiter``."""
    reports: Reports | None = None
    """What its endpoints say of themselves; None: that is not looked at."""
    breaker: Breaker | None = None
    """Judges the attempts at all of its endpoints together; None: only endpoints have breakers, if any."""

    @property
    def breakers(self) -> list[Breaker]:
        """Its own, and those of its endpoints."""
        found = [self.breaker, *[endpoint.breaker for endpoint in self.endpoints]]
        return [breaker for breaker in found if breaker is not None]

    @property
    def gate(self) -> Breaker | None:
        """The breaker that decides on a request now: its own, unless that lets requests through to endpoints whose
        breakers do not. None: there is none."""
        own, best = self.breaker, self.best
        if own is None:
            return best
        admits = own.state is State.CLOSED and best is not None and best.state is not State.CLOSED
        return best if admits else own

    @property
    def best(self) -> Breaker | None:
        """Of the breakers of its endpoints that may be chosen now, the one that lets most through: while it is closed,
        the others keep no request away. That of an endpoint that is down lets nothing through.

        Where none may be chosen, it is that of all. None: there are none.
        """
        if self.group is None:
            return _best(self.endpoints)
        eligible = self.group.eligible
        return _best([endpoint for endpoint in self.endpoints if endpoint.member in eligible] or self.endpoints)


def _best(endpoints: Sequence[Endpoint]) -> Breaker | None:
    if len(endpoints) == 1:
        return endpoints[0].breaker
    breakers = [endpoint.breaker for endpoint in endpoints if endpoint.breaker is not None]
    return min(breakers, key=lambda breaker: _BEST.index(breaker.state), default=None)
