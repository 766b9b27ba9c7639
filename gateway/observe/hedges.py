"""What the metrics count of a hedge."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.core.hedge import RESULTS, WITHHELD, Hedge
from gateway.observe import families


def hedge_cells(hedge: Hedge) -> Iterator[int]:
    """The cells of a proxy in which ``hedge`` counts once."""
    if hedge.sent:
        yield families.HEDGES + RESULTS.index(hedge.result)
    if hedge.withheld:
        yield families.HEDGES_WITHHELD + WITHHELD.index(hedge.withheld)
    if hedge.shadowed:
        yield families.SHADOW_HEDGES
