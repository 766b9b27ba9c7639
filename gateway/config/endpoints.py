"""The records of where an upstream is, and of which of its endpoints get requests: as `gateway.config.records`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.config.protections import Mode

Balance = Literal["least_request", "round_robin", "random", "ring_hash"]
"""How one of several endpoints is chosen."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an upstream, ``http://`` or ``https://``, with an optional base path.

    ``drain``: it gets no new requests. ``expand_dns``: each address of its name is an endpoint; the name is resolved
    when its answer is no longer valid, at the latest after ``dns_interval`` seconds. ``address``: the one that this
    endpoint is; "": whatever the name leads to.
    """

    url: str
    weight: int = 1
    drain: bool = False
    expand_dns: bool = False
    dns_interval: float = 30.0
    address: str = ""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Active checks of all endpoints. ``jitter``: share of ``interval``; ``expect_status``: ``503``, ``200-299``."""

    enabled: bool = False
    path: str = "/health"
    interval: float = 10.0
    jitter: float = 0.1
    timeout: float = 5.0
    healthy_after: int = 2
    unhealthy_after: int = 3
    expect_status: tuple[str, ...] = ("200-299",)
    expect_body: str = ""
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class Ejection:
    """Endpoints that fail get no requests for a time. ``consecutive_failures``, ``failure_rate`` 0: no such rule."""

    enabled: bool = False
    consecutive_failures: int = 5
    failure_rate: float = 0.0
    window: float = 30.0
    minimum_requests: int = 20
    base_time: float = 30.0
    max_time: float = 300.0
    max_share: float = 0.5
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What endpoints report of themselves in the field ``header``. ``max_age``: seconds for which a report holds.
    ``forward``: callers get the field too.
    """

    enabled: bool = False
    header: str = "X-Capacity"
    max_age: float = 10.0
    forward: bool = False
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that the gateway shows to an upstream: PEM texts, and what the certificate says.

    ``key`` is not encrypted. ``name``: the first name in it; "": none. ``expires_at`` is seconds since the epoch.
    """

    chain: str = field(repr=False)
    key: str = field(repr=False)
    name: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS with an ``https://`` upstream. Its certificate is verified always.

    ``ca``: the authorities that sign it, PEM; "": those of the system. ``server_name``: the name that is asked for
    (SNI) and that the certificate must hold; "": the host of the URL.
    """

    ca: str = field(default="", repr=False)
    certificate: ClientCertificate | None = None
    server_name: str = ""
