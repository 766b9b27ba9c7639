"""What a data plane can be asked to do (`DataPlane`), and the records that it takes and gives.

All of them are plain, frozen records and dictionaries with fixed keys, so that a channel can carry them as JSON.
Nothing of the data plane itself is imported here, because the control process needs the records alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

from gateway.config.records import Credentials, Document
from gateway.ipc.calls import Calls
from gateway.ipc.explanation import Explanation
from gateway.ipc.tokens import AccessToken, Wanted


@dataclass(frozen=True, slots=True)
class InForce:
    """``generation``: the number of the configuration that is applied; ``addresses``: host and port of each listener.

    ``secure``: those among them where TLS is spoken.
    """

    generation: int
    addresses: tuple[tuple[str, int], ...]
    secure: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """``generation``: the number of the configuration that is still applied, 0: none. ``changed``: what was prepared is
    another one.
    """

    generation: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Health:
    """``draining``: no new connections are accepted. ``wanted``: addresses of key sets to be fetched again.

    ``shedding``: the share of the new requests that is refused because the process has too much to do. ``tokens``: the
    access tokens that calls need.
    """

    draining: bool
    wanted: tuple[str, ...]
    shedding: float = 0.0
    tokens: tuple[Wanted, ...] = ()


class Report(TypedDict):
    """The state of one process of a data plane."""

    version: str
    """Of the gateway's code that it runs."""
    generation: int
    draining: bool
    connections: int
    """Of callers."""
    in_flight: int
    """Exchanges that run."""
    loop_lag: float
    """Seconds: how late the timers of the event loop rang at worst, of late."""
    shedding: NotRequired[float]
    """As in `Health`. A worker of an older version does not send it."""


class ProxyState(TypedDict):
    """What an operator wants to know of a proxy at a moment."""

    in_flight: int
    """Permits in use; without a limiter, live exchanges."""
    waiting: int
    streams: int
    """Live exchanges."""
    breaker: str
    """closed, open, half_open or off"""
    connections_open: int
    connections_idle: int


# `from` is no name that a class may have.
Transition = TypedDict("Transition", {"at": float, "from": str, "to": str, "reason": str})
"""The breaker went from one state to another."""


class BreakerPulse(TypedDict):
    """How a breaker stands. Times are seconds of the epoch; ``since`` 0: from the start."""

    breaker: str
    """closed, open, half_open or off"""
    since: float
    history: list[Transition]
    """Oldest first."""


class Refusals(TypedDict):
    next: int
    """What to give as ``since`` the next time."""
    items: list[dict[str, object]]
    """Lines of the access log, oldest first."""


class Inspection(Protocol):
    """What an operator wants to know of a data plane, or of several. Behind a channel every method may raise
    `ChannelError`.
    """

    async def state(self) -> Mapping[str, ProxyState]:
        """What runs now, by the name of each active proxy."""
        ...

    async def reset_breaker(self, name: str, by: str) -> bool:
        """Close the breaker of a proxy; False when there is none. ``by``: the name of who does it, for the log."""
        ...

    async def breakers(self) -> Mapping[str, BreakerPulse]:
        """How the breakers stand, by proxy."""
        ...

    async def explain(self, name: str) -> Explanation | None:
        """Why a proxy's protections stand as they stand; None when no such proxy is active."""
        ...

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        """The log line of a recent exchange; of one that runs, its proxy, phase, protocols and age in seconds."""
        ...

    async def refusals(self, since: int, most: int) -> Refusals:
        """The log lines of refusals and failures after the first ``since``: the newest ``most`` of them."""
        ...


class DataPlane(Inspection, Calls, Protocol):
    """A data plane, in this process or behind a channel. Behind a channel every method may raise `ChannelError`.

    The channel carries exactly these methods, by the types of their annotations (`gateway.ipc.channel.operations`).

    A configuration is applied in two steps, so that several data planes apply it all or not at all: each prepares it,
    and when none has refused, each commits it.
    """

    async def ping(self) -> Health: ...

    async def prepare(self, document: Document) -> Prepared:
        """Get ready to serve ``document``: what can fail is done now. What was prepared before is given up.

        Raises OSError (behind a channel `RefusedError`) when it cannot be served.
        """
        ...

    async def commit(self, generation: int) -> InForce:
        """Apply what was prepared as configuration ``generation``; where nothing has changed, this is only the number.

        Raises OSError when nothing was prepared.
        """
        ...

    async def abandon(self) -> None:
        """Give up what was prepared: another data plane has refused it."""
        ...

    async def identify(self, credentials: Credentials) -> None:
        """Accept these credentials from now on, and no others."""
        ...

    async def supply(self, tokens: Mapping[str, AccessToken]) -> None:
        """Calls of connections use these access tokens from now on, by TRN, and no others."""
        ...

    async def take_used(self) -> Mapping[str, float]:
        """The digests of tokens used since the last call, and when (seconds of the epoch)."""
        ...

    async def sample(self) -> int:
        """Bring the counters in the shared map up to date; the id of the data plane's process."""
        ...

    async def report(self) -> Report: ...

    async def usage(self) -> Mapping[str, int]:
        """What the data plane's process uses, as `gateway.workers.resources.Resources.report`."""
        ...
