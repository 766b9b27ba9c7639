"""What the control plane knows of what runs, and of who asks."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypedDict

from gateway.admin.errors import unavailable
from gateway.config.networks import Destinations
from gateway.ipc.messages import Refusals, Transition
from gateway.store.audit import Author

_ANYWHERE = Destinations()
"""Without a file there is no listener to spare, and the built-in list alone."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``name`` stands in the audit trail. ``digest``: of the token, when one was shown."""

    name: str
    superuser: bool
    digest: str = ""
    scope: str | None = None
    """All that the token is good for: "metrics"; None: everything that its owner may."""
    credential: str = ""
    """The id of the token or login that was shown."""
    session: bool = False
    """It was a login, and no token."""
    owner: str | None = None
    """The id of the superuser who logged in, or with whom the token ends."""
    client: str = field(default="", compare=False)
    """The address from which the request came."""

    @property
    def author(self) -> Author:
        return Author(self.name, self.client, self.credential)


@dataclass(frozen=True, slots=True)
class Applied:
    """``generation``: the configuration that is in force; ``error``: why a newer one is not, or empty."""

    generation: int
    error: str = ""


class Latency(TypedDict):
    """A histogram: ``counts`` has one more than ``bounds``, for what was slower than the last of them."""

    bounds: list[float]
    counts: list[int]


class Standing(TypedDict):
    """How a proxy stands at a moment."""

    in_flight: int
    limit: int
    """0: none."""
    waiting: int
    queue_limit: int
    streams: int
    breaker: str
    """closed, open, half_open or off"""
    breaker_since: float
    """Seconds of the epoch; 0 when it has been so from the start."""
    breaker_history: list[Transition]
    """Oldest first."""
    pool_open: int
    pool_idle: int


class ProxyPulse(Standing):
    """How a proxy stands, and counters of what it did since the gateway's start."""

    requests: int
    errors: int
    """What failed at the upstream or in the gateway, answers of the upstream's own of 500 and above included."""
    refused: int
    """What the gateway turned away."""
    shadowed: int
    """What would have been refused, were the protection enforced."""
    latency: Latency
    bytes_in: int
    bytes_out: int


class Pulse(TypedDict):
    at: float
    """Seconds of the epoch."""
    reachable: bool
    """False while the worker can not be asked; there are no proxies then."""
    generation: int
    proxies: Mapping[str, ProxyPulse]


class Live(Protocol):
    """What keeps the data plane current, and watches it; the data plane itself is a `DataPlane` beside it."""

    async def apply(self) -> Applied:
        """A change was committed: put it in force, and say so when it is."""
        ...

    def applied(self) -> Applied:
        """How the last reload went, whoever asked for it."""
        ...

    async def metrics(self, *, open_metrics: bool) -> str:
        """All metrics as text."""
        ...

    async def pulse(self) -> Pulse:
        """What all proxies do now."""
        ...

    async def refusals(self, since: int) -> Refusals:
        """Exchanges that were refused or failed after ``since``; 0: the newest 50."""
        ...


ELSEWHERE: Final = "only the gateway that runs knows; name its admin listener with --server"
"""Why a store without a running gateway does not know what a data plane does."""


class NotRunning:
    """A store without a gateway, or whose gateway finds changes out by itself."""

    async def apply(self) -> Applied:
        return self.applied()

    def applied(self) -> Applied:
        return Applied(0)

    async def metrics(self, *, open_metrics: bool) -> str:
        raise unavailable(ELSEWHERE)

    async def pulse(self) -> Pulse:
        return unreachable()

    async def refusals(self, since: int) -> Refusals:
        return {"next": since, "items": []}


def unreachable(generation: int = 0) -> Pulse:
    """What is told while nobody can be asked."""
    return {"at": time.time(), "reachable": False, "generation": generation, "proxies": {}}


class Declared(Protocol):
    """What stands in the configuration file."""

    @property
    def name(self) -> str:
        """Of the file."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def template_env(self) -> Collection[str]:
        """The variables that header templates of the database's proxies may name."""
        ...

    @property
    def destinations(self) -> Destinations:
        """The addresses that upstreams may have."""
        ...

    def proxies(self) -> tuple[Mapping[str, object], ...]:
        """Its proxies, as they stand in it."""
        ...


@dataclass(frozen=True, slots=True)
class Undeclared:
    """No configuration file."""

    env: Mapping[str, str]
    name: str = ""
    template_env: Collection[str] = ()
    destinations: Destinations = _ANYWHERE

    def proxies(self) -> tuple[Mapping[str, object], ...]:
        return ()
