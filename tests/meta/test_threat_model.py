"""docs/threat-model.md covers each room, and what it says is shown by tests that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest
from meta.sources import ROOT

TEXT = (ROOT / "docs/threat-model.md").read_text()
SECTIONS = {
    title: re.findall(r"(?m)^\| ([A-Z]): (.+?) \| (.+?) \|(.*)\|$", body)
    for title, body in re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", TEXT)
}
ROOMS = {path.parent.name for path in (ROOT / "gateway").glob("*/__init__.py")} | {"errors"}
JUDGED = ROOMS | {"The process", "What is installed"}
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT)))


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text()


def test_each_room_has_a_section_and_no_other() -> None:
    assert set(SECTIONS) - {"Who and what"} == JUDGED


@pytest.mark.parametrize("room", sorted(JUDGED))
def test_each_room_is_looked_at_from_all_six_sides(room: str) -> None:
    assert {letter for letter, *_ in SECTIONS[room]} == set("STRIDE")


@pytest.mark.parametrize("room", sorted(JUDGED))
def test_each_threat_is_shown_by_a_test_or_accepted_with_the_reason(room: str) -> None:
    lines = re.search(rf"(?ms)^## {re.escape(room)}\n(.*?)(?=^## |\Z)", TEXT)
    assert lines
    assert len(SECTIONS[room]) == len(re.findall(r"(?m)^\| [A-Z]: ", lines[1])), "a row is malformed"
    without = [
        threat
        for _, threat, mitigation, shown in SECTIONS[room]
        if not re.search(r"`tests/[^`]+::test_\w+`", shown) and not re.match(r"accepted: \S+ \S+", mitigation)
    ]
    assert not without


@pytest.mark.parametrize("named", NAMED)
def test_each_named_test_exists(named: str) -> None:
    path, _, function = named.partition("::")
    assert (ROOT / path).is_file()
    assert re.search(rf"(?m)^ *(?:async )?def {re.escape(function)}\(", source(path))


def test_there_is_enough_to_hold() -> None:
    assert len(NAMED) > 100


def test_who_reports_a_weakness_finds_the_way() -> None:
    policy = source("SECURITY.md")
    assert "docs/threat-model.md" in policy
    assert "../SECURITY.md" in TEXT
    assert "SECURITY.md" in source("README.md")
