"""What the project says speaks of the project alone: no path of one machine, no note to self."""

from __future__ import annotations

import re

import pytest
from meta.sources import ROOT, text_files

# In pieces, so that this file does not contain what it forbids.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.*-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+"]) + r")/",
    "a note to self": r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b",
    "a number of a ticket": r"(?i)\bis" + r"sue[ #]+\d+",
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_forbidden_words(kind: str) -> None:
    pattern = re.compile(FORBIDDEN[kind])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{kind}: {found}"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a path of one machine", "see /wo" + "rk/notes.md"),
        ("a path of one machine", "'/ro" + "ot/.cache/x'"),
        ("a note to self", "# TO" + "DO: later"),
        ("a number of a ticket", "as Is" + "sue 12 says"),
    ],
)
def test_the_patterns_see_what_they_are_for(kind: str, line: str) -> None:
    assert re.search(FORBIDDEN[kind], line)


def test_the_patterns_leave_plain_speech_alone() -> None:
    for line in ("frame" + "work/rules", "net" + "work/", "the root/ of a tree"):
        assert not [kind for kind, pattern in FORBIDDEN.items() if re.search(pattern, line)], line
