"""Four times what the sidecar bears, without a queue: whoever finds no permit is refused at once."""

from __future__ import annotations

from load.overload import CHARTS, Obedient, criteria, pair
from load.scenario import Scenario, Size, Variant
from load.users import Arrivals

__all__ = ["Arrivals", "Obedient"]


def variants(size: Size) -> tuple[Variant, ...]:
    return pair(size, {"max_waiting": 0, "timeout": 0})


SCENARIO = Scenario(
    name="overload-reject",
    sentence="four times the upstream's capacity, refused with 429 and Retry-After",
    story=(
        "A demand of four times what the sidecar bears, without a queue: whoever finds no permit is refused at "
        "once. One run has arrivals by a schedule, whose clients give up after two seconds and never come again; "
        "the other has users who think for a second, and who obey Retry-After."
    ),
    seconds=60,
    rate=400,
    variants=variants,
    criteria=criteria,
    charts=CHARTS,
)
