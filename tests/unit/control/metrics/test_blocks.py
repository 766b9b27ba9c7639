"""Blocks hold slabs that the same maps have, and masks fit their sizes."""

from __future__ import annotations

from gateway.control.metrics.blocks import TOGETHER, Segment, together
from gateway.observe.counters import SLAB_CELLS, CounterMap

FULL = (1 << 64) - 1


def test_slabs_of_the_same_maps_stand_together() -> None:
    one, two = CounterMap(), CounterMap()
    both = [(number * SLAB_CELLS, [(one, number, True), (two, number + 7, False)]) for number in range(TOGETHER + 1)]
    blocks = together([*both, (9000 * SLAB_CELLS, [(two, 5, False)])])
    assert [len(block.bases) for block in blocks] == [TOGETHER, 1, 1]
    assert blocks[0].parts(3) == both[3][1]
    assert blocks[1].rows == [(one, [TOGETHER], True), (two, [TOGETHER + 7], False)]
    assert blocks[2].parts(0) == [(two, 5, False)]
    assert together([]) == []


def test_masks_have_all_bits_of_the_cells_that_count() -> None:
    segment = Segment({20: "counter", 21: "float", 22: "gauge", 24: "same"})
    assert (segment.first, segment.end, segment.width, segment.floats) == (20, 25, 5, [1])
    counter, gauge, same = (FULL << 64 * place for place in (0, 2, 4))
    assert segment.masks(1) == (counter | gauge, counter, same)
    assert segment.masks(3)[1] == counter | counter << 64 * 5 | counter << 64 * 10
    for slabs in range(1, 20):  # sizes that come and go are not all kept
        assert segment.masks(slabs)[2].bit_length() == 64 * 5 * slabs
    assert len(segment._masks) < 8
