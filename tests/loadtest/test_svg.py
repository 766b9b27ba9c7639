"""Charts: XML that says what it was told, with axes in round numbers."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from load.svg import HEIGHT, WIDTH, Axis, chart

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("largest", "top", "step"), [(0.0, 1, 0.5), (math.nan, 1, 0.5), (4.5, 5, 1), (47, 50, 10), (1000, 1200, 200)]
)
def test_an_axis_has_round_steps_and_room(largest: float, top: float, step: float) -> None:
    axis = Axis.up_to(largest)
    assert (axis.top, axis.step) == (pytest.approx(top), pytest.approx(step))
    assert max(axis.steps()) == pytest.approx(axis.top)


def test_an_axis_of_time_ends_with_it() -> None:
    axis = Axis.as_far_as(29.6)
    assert (axis.top, list(axis.steps())) == (29.6, [0, 10, 20])
    assert Axis.as_far_as(0.0).top == 1


def lines_of(svg: str) -> list[list[tuple[float, float]]]:
    found = ET.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, p.split(","))) for p in line.attrib["points"].split()] for line in found]  # type: ignore[misc]


def test_higher_values_are_higher_and_later_ones_further_right() -> None:
    ((first, second),) = lines_of(chart("t", "ms", {"p99": [(0, 1.0), (10, 2.0)]}))
    assert first[0] < second[0] <= WIDTH
    assert 0 <= second[1] < first[1] <= HEIGHT


def test_what_is_no_number_is_a_gap() -> None:
    assert len(lines_of(chart("t", "ms", {"p99": [(0, 1.0), (1, math.nan), (2, 1.0)]}))) == 2


def test_an_empty_chart_is_one_too() -> None:
    assert lines_of(chart("t", "ms", {"p99": []})) == []


def test_words_marks_and_bounds_are_there_and_escaped() -> None:
    svg = chart("a < b", "ms", {"p&q": [(0, 1.0)]}, [(1.0, "killed")], bound=50)
    texts = [element.text for element in ET.fromstring(svg).iter() if element.text]
    assert {"a < b", "p&q", "killed", "bound 50"} <= set(texts)
