from __future__ import annotations

import pytest

from gateway.observe import families
from gateway.observe.counters import FIRST, LAST, SLAB_CELLS
from gateway.observe.families import ENDPOINT, PROCESS, PROXY, UPSTREAM
from gateway.observe.sheet import Family, Histogram, Requests, Values
from gateway.policy import capacity, group, learned


def cells(family: Family) -> range:
    match family:
        case Values():
            return range(family.at, family.at + len(family.labels))
        case Histogram():
            return range(family.at, family.sum_at + 1)
        case Requests():
            return range(family.at, family.at + 2 * family.room)


def test_no_two_families_share_a_cell() -> None:
    for sheet, end in ((PROCESS, SLAB_CELLS), (PROXY, SLAB_CELLS), (ENDPOINT, LAST), (UPSTREAM, LAST)):
        taken = [cell for family in sheet.families for cell in cells(family)]
        assert len(set(taken)) == len(taken)
        assert min(taken) >= FIRST
        assert max(taken) < end


def test_every_family_follows_the_conventions() -> None:
    shown = [*PROCESS.families, *PROXY.families, *UPSTREAM.families, *ENDPOINT.families]
    assert len({family.name for family in shown}) == len(shown)
    for family in shown:
        assert family.name.startswith("gateway_")
        assert family.help.endswith(".")
        counter = isinstance(family, Requests) or (isinstance(family, Values) and family.kind == "counter")
        assert family.name.endswith("_total") == counter


@pytest.mark.covers("T038a")
def test_buckets_rise_and_streams_reach_ten_minutes() -> None:
    for family in [*PROCESS.families, *PROXY.families]:
        if isinstance(family, Histogram):
            assert list(family.bounds) == sorted(set(family.bounds))
    assert families.STREAM.bounds[-1] == 600
    assert families.DURATION.bounds == (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def test_words_that_another_room_decides_are_those_of_that_room() -> None:
    assert families.ENDPOINT_CHANGES_BY == group.CAUSES
    assert families.REPORTS == capacity.KINDS
    assert families.DECISION_CAUSES == learned.CAUSES
