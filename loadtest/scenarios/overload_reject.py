"""Four times what the sidecar bears, without a queue: whoever finds no permit is refused at once."""

from __future__ import annotations

from load.overload import CHARTS, Obedient, criteria, pair
from load.scenario import Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Variant

__all__ = ["Arrivals", "Obedient"]


def variants(size: Size) -> tuple[Variant, ...]:
    return pair(size, {"max_waiting": 0, "timeout": 0})


def bounds(size: Size) -> tuple[Criterion, ...]:
    """Ten permits and no queue: to be busy for nine tenths of the time they have to refuse half of what comes.

    That is Erlang's formula B, whoever comes; the queue of the other scenario is the way to have both.
    """
    return criteria(size, good=80, again=40, from_the_start=35)


SCENARIO = Scenario(
    name="overload-reject",
    sentence="four times the upstream's capacity, refused with 429 and Retry-After",
    story=(
        "A demand of four times what the sidecar bears, without a queue: whoever finds no permit is refused at "
        "once. One run has arrivals by a schedule, whose clients give up after two seconds and never come again; "
        "the other has users who think for a second, and who obey Retry-After."
    ),
    seconds=150,
    rate=400,
    variants=variants,
    criteria=bounds,
    charts=CHARTS,
)
