"""What a scenario is: data, so that it can be listed, scaled, run and judged by one machinery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from load.findings import Findings
from load.variant import Variant


@dataclass(frozen=True, slots=True)
class Size:
    """How large this run is: ``seconds`` of load in the longest variant, ``rate`` requests a second."""

    seconds: float
    rate: float


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
