"""A named upstream, live: its endpoints, and the machine that limits what it is given."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config import records
from gateway.policy.limiter import Limiter
from gateway.upstream.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Upstream:
    """What one generation of the configuration borrows; the limiter is shared with others of the same name."""

    settings: records.Upstream
    endpoint: Endpoint
    """The only one, as long as nothing chooses among several."""
    limiter: Limiter | None
