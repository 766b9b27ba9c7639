"""Frozen records of what happened, and the sinks that hear of it (logs now, metrics and explanations later)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The breaker of an upstream moved from one state to another; states are ``closed``, ``open``, ``half-open``."""

    upstream: str
    old: str
    new: str
    cause: str
    shadow: bool = False
    """It only counts, and refuses nothing."""
    endpoint: str = ""
    """Its URL, where the upstream has several; empty: it is the breaker of the upstream as a whole."""


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """An endpoint of an upstream gets requests from now on, or gets none.

    ``cause``: ``down`` and ``up`` by checks; ``ejected``, ``probation`` and ``proved`` by its requests; ``leaving`` and
    ``returned`` by its own reports. ``why`` in words. ``shadow``: the change is only counted.
    """

    upstream: str
    endpoint: str
    cause: str
    why: str
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class PanicChanged:
    """All endpoints of an upstream are used from now on, because too few are usable; or no longer."""

    upstream: str
    panics: bool


@dataclass(frozen=True, slots=True)
class LimitDecided:
    """The adaptive limit of an upstream was changed, or what is usual there is learnt again (``old`` is ``new``).

    ``cause``: one of `gateway.policy.learned.CAUSES`.
    """

    upstream: str
    old: int
    new: int
    cause: str
    shadow: bool = False
    """It only counts, and refuses nothing."""


@dataclass(frozen=True, slots=True)
class UpstreamClosed:
    """The upstream's work for a client that had left is over, ``seconds`` after that was seen."""

    upstream: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration was applied (``error`` empty), or it was rejected and the one before it stays."""

    generation: int
    source: str
    error: str


Event = BreakerChanged | EndpointChanged | LimitDecided | PanicChanged | Reloaded | UpstreamClosed


class Sink(Protocol):
    """Hears of events. Must not raise and must not block."""

    def __call__(self, event: Event, /) -> None: ...
