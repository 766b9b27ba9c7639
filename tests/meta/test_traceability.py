"""Every requirement is shown by something, every mark means one, and docs/traceability.md is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from meta import traceability
from meta.traceability import (
    PAGE,
    ROOT,
    Mark,
    Requirement,
    kind_of,
    marked,
    marks,
    marks_of,
    once_each,
    requirements,
    verdicts,
)

NUMBERS = {"FR": 30, "NFR": 6, "SC": 6, "EC": 6, "T": 68}
"""How many the specifications have of each kind, numbered from 1; tasks that were put between others have a letter."""
BETWEEN = ["T010a", "T010b", "T016a", "T031a", "T031b", "T034a", "T038a", "T060a", "T060b", "T060c", "T060d"]
FEATURES_OF_ACTIONS = 46
EACH = pytest.mark.parametrize(("id_", "entry"), requirements().items(), ids=list(requirements()))
HELD = "held"
"""The verdict of a report of loadtest/ about a criterion."""
HERE = ROOT / "tests/meta/test_example.py"


@pytest.mark.covers("T068")
def test_none_is_left_out() -> None:
    expected = {
        f"{kind}{number:03}" if kind == "T" else f"{kind}-{number:03}"
        for kind, most in NUMBERS.items()
        for number in range(1, most + 1)
    }
    actions = {id_ for id_ in requirements() if kind_of(id_) == "ACT"}
    assert set(requirements()) - actions == expected.union(BETWEEN)
    assert actions == {f"ACT-{number:02}" for number in range(1, FEATURES_OF_ACTIONS + 1)}
    assert {kind_of(id_) for id_ in requirements()} == traceability.KINDS.keys()


@pytest.mark.covers("T068")
@EACH
def test_each_is_shown(id_: str, entry: Requirement) -> None:
    """By a test, a report, a document or a deviation with its reason; or it says which report it waits for."""
    assert entry.shown or entry.awaits or marks_of(id_), f"nothing shows {id_}: {entry.says}"


@EACH
def test_what_an_entry_names_is_there(id_: str, entry: Requirement) -> None:
    for file in (*entry.where, *filter(None, [entry.report, entry.document])):
        assert (ROOT / file).is_file(), f"{id_} names {file}"


@EACH
def test_a_report_says_that_it_holds(id_: str, entry: Requirement) -> None:
    """In each row of its tables that names the id; what does not hold is a deviation, and says why."""
    if entry.report:
        told = verdicts(ROOT / entry.report, id_)
        assert told, f"no table of {entry.report} has a row for {id_}"
        assert set(told) == {HELD} or entry.deviation, f"{entry.report}: {told}"


@EACH
def test_nothing_is_waited_for_that_is_there(id_: str, entry: Requirement) -> None:
    assert not entry.awaits or not (ROOT / entry.awaits).is_file(), f"{id_}: make `awaits` a `report` or `document`"


def test_a_requirement_that_stands_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"A-01: stands twice in requirements\.yaml"):
        once_each("A-01: {says: one}\nA-02: {says: two}\nA-01: {says: three}")


def test_each_mark_means_a_requirement() -> None:
    unknown = [(test.file, test.name, id_) for test in marked() for id_ in test.ids if id_ not in requirements()]
    assert not unknown


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == traceability.page(), "run `make traceability`"


def test_marks_are_found_wherever_they_may_stand() -> None:
    text = """
pytestmark = [pytest.mark.covers("A"), pytest.mark.timeout(3)]
@pytest.mark.covers("B", "C")
@pytest.mark.parametrize("x", [1])
async def test_it(x): ...
@pytest.mark.covers("D")
class TestThis:
    pytestmark = pytest.mark.covers("E")
    @pytest.mark.covers("F")
    def test_that(self): ...
"""
    file = "tests/meta/test_example.py"
    assert marks(text, HERE) == [
        Mark(file, "all of it", ("A",)),
        Mark(file, "test_it", ("B", "C")),
        Mark(file, "TestThis", ("D",)),
        Mark(file, "TestThis", ("E",)),
        Mark(file, "TestThis.test_that", ("F",)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.covers('A')\ndef helper(): ...",
        "EACH = pytest.mark.covers('A')",
        "@pytest.mark.covers()\ndef test_a(): ...",
        "@pytest.mark.covers(*IDS)\ndef test_a(): ...",
        "@pytest.mark.covers(id='A')\ndef test_a(): ...",
    ],
)
def test_a_mark_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"covers takes ids|where no test is"):
        marks(text, HERE)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("| p99 of all | SC-002 | at most 50 ms | 12 | held |", ["held"]),
        (
            "| p99 | SC-002, T061 | 50 ms | 12 | held |\n| longest | SC-002 | 90 ms | 99 | BROKEN |",
            ["held", "BROKEN"],
        ),
        ("SC-002 is not looked at", []),
        ("| p99 | NFR-SC-002 | 50 ms | 12 | held |", []),
        ("| p99 | SC-0022 | 50 ms | 12 | held |", []),
    ],
)
def test_a_report_shows_what_its_tables_name(tmp_path: Path, lines: str, told: list[str]) -> None:
    report = tmp_path / "report.md"
    report.write_text(f"# Steady\n\n{lines}\n\nThe end.\n")
    assert verdicts(report, "SC-002") == told
