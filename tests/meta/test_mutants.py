"""docs/mutants.md explains changes to code that is there, and is read as it is written."""

from __future__ import annotations

from meta.mutants import PAGE, change, explained
from meta.sources import ROOT


def test_each_explained_mutant_is_one_of_the_code() -> None:
    files = (path for room in ("policy", "proxy/layers") for path in (ROOT / "gateway" / room).glob("*.py"))
    lines = {line.strip() for path in files for line in path.read_text().splitlines()}
    found = explained(PAGE.read_text())
    assert found
    assert not [before for before, _ in found if before not in lines]


def test_a_page_is_read_change_by_change() -> None:
    text = "# T\n\n```diff\n-a = 1\n+a = 2\n\n-b\n+c\n```\n\nBecause.\n\n```python\n-no = 1\n```\n"
    assert explained(text) == {("a = 1", "a = 2"), ("b", "c")}


def test_a_diff_of_several_lines_is_one_change() -> None:
    diff = ["--- a.py", "+++ a.py", "@@ -1 +1,3 @@", " def f():", "-    g(1, 2)", "+    g(", "+        1,", "+    )"]
    assert change(diff) == ("g(1, 2)", "g( 1, )")
