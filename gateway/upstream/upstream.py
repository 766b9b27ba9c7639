"""A named upstream: its endpoint, its connections and the machines that protect it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.document import Proxy
from gateway.policy.breaker import Breaker
from gateway.policy.limiter import Limiter
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Upstream:
    """What one generation of a proxy borrows; the parts are shared with other generations of the same name."""

    settings: Proxy
    endpoint: Origin
    pool: Pool
    limiter: Limiter | None
    breaker: Breaker | None
