from __future__ import annotations

import pytest

from gateway.core.hedge import WITHHELD, Hedge
from gateway.observe import families
from gateway.observe.hedges import hedge_cells


def hedge(**facts: object) -> Hedge:
    made = Hedge()
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("found", "cells"),
    [
        (hedge(), []),
        (hedge(sent=True, won=True), [families.HEDGES]),
        (hedge(sent=True), [families.HEDGES + 1]),
        (hedge(shadowed=True), [families.SHADOW_HEDGES]),
        *((hedge(withheld=word), [families.HEDGES_WITHHELD + at]) for at, word in enumerate(WITHHELD)),
    ],
)
def test_each_fact_counts_once(found: Hedge, cells: list[int]) -> None:
    assert list(hedge_cells(found)) == cells
