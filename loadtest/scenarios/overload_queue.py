"""Four times what the sidecar bears, with a queue that empties within a second."""

from __future__ import annotations

from load.overload import CHARTS, Obedient, criteria, pair, sidecar
from load.scenario import Scenario, Size
from load.users import Arrivals
from load.variant import Variant

__all__ = ["Arrivals", "Obedient"]


def variants(size: Size) -> tuple[Variant, ...]:
    return pair(size, {"max_waiting": sidecar(size).capacity * 8, "timeout": 1})


SCENARIO = Scenario(
    name="overload-queue",
    sentence="four times the upstream's capacity, with a queue in front of it",
    story=(
        "A demand of four times what the sidecar bears, with a queue that empties within a second. One run has "
        "arrivals by a schedule, whose clients give up after two seconds and never come again; the other has users "
        "who think for a second, and who obey Retry-After."
    ),
    seconds=150,
    rate=400,
    variants=variants,
    criteria=criteria,
    charts=CHARTS,
)
