"""What a scenario is: data, so that it can be listed, scaled, run and judged by one machinery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from work import Behaviour

if TYPE_CHECKING:
    from load.findings import Findings
    from load.stand import Stand


@dataclass(frozen=True, slots=True)
class Size:
    """How large this run is: ``seconds`` of load in the longest variant, ``rate`` requests a second."""

    seconds: float
    rate: float


async def leave_alone(stand: Stand) -> None:
    """Most variants are not disturbed."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One run: a fresh sidecar, a fresh gateway with one proxy ``p`` at ``/``, and ``users`` of one class.

    ``disturb`` runs beside the load, and is cancelled at its end.
    """

    name: str
    user: str
    """A class of the scenario's module."""
    users: int
    seconds: float
    rate: float
    proxy: Mapping[str, Any] = field(default_factory=dict)
    sidecar: Behaviour = field(default_factory=Behaviour)
    limits: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 5.0
    stored: bool = False
    """The proxy stands in the database, where the API can change it."""
    disturb: Callable[[Stand], Awaitable[None]] = leave_alone


@dataclass(frozen=True, slots=True)
class Criterion:
    """One promise. ``measure`` gives a number in ``unit``, which has to be within the bounds; nan never is."""

    name: str
    shows: str
    """What the specification calls it, or "" when it is the scenario's own."""
    measure: Callable[[Findings], float]
    how: str
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    needs: float = 0.0
    """Seconds that the scenario has to last for this to mean anything; in a shorter one it is not judged."""

    @property
    def bound(self) -> str:
        least = None if self.at_least is None else f"at least {self.at_least:g}"
        most = None if self.at_most is None else f"at most {self.at_most:g}"
        return " and ".join(filter(None, (least, most))) + f" {self.unit}".rstrip()

    def holds(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture: ``lines`` maps a legend to the points (seconds, value) of it."""

    name: str
    title: str
    unit: str
    lines: Callable[[Findings], Mapping[str, list[tuple[float, float]]]]
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """``sentence`` is what the list says; ``story`` is the paragraph of the report."""

    name: str
    sentence: str
    story: str
    seconds: float
    rate: float
    variants: Callable[[Size], tuple[Variant, ...]]
    criteria: Callable[[Size], tuple[Criterion, ...]]
    charts: tuple[Chart, ...]
    table: Callable[[Findings], list[tuple[str, ...]]] | None = None
    """A comparison of the scenario's own; the first row is the head."""
