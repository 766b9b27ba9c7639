"""One address of an upstream, live: its connections, and the breaker that judges it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.policy.breaker import Breaker
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one generation of the configuration borrows; the parts are shared with others that have the same origin."""

    origin: Origin
    pool: Pool
    breaker: Breaker | None
