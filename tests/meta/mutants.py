"""The mutants that survived `mutmut run`, held against those that docs/mutants.md explains.

    python tests/meta/mutants.py

tells each survivor without an explanation and each explanation without a survivor, and fails when there is one. A
mutant is known by what it changes, since mutmut's own numbers move with every line of code.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/mutants.md"

Change = tuple[str, str]
"""Lines before and after, joined, without the space around them."""


def change(diff: Iterable[str]) -> Change:
    """Of the lines of one unified diff, its head left out."""
    lines = [line for line in diff if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return before, after


def explained(text: str) -> set[Change]:
    """The changes in the fenced diffs of a page; a blank line stands between two changes of one fence."""
    fences = re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return {change(part.splitlines()) for fence in fences for part in re.split(r"\n\s*\n", fence)}


def survivors() -> dict[Change, str]:
    """Each with mutmut's name for it."""
    found = re.findall(r"^\s*(\S+): survived$", _mutmut("results"), re.MULTILINE)
    return {change(_mutmut("show", name).splitlines()): name for name in found}


def _mutmut(*arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    alive, known = survivors(), explained(PAGE.read_text())
    for found in alive.keys() - known:
        sys.stdout.write(f"{alive[found]} survived and is not explained:\n- {found[0]}\n+ {found[1]}\n")
    for found in known - alive.keys():
        sys.stdout.write(f"explained, but it did not survive:\n- {found[0]}\n+ {found[1]}\n")
    return int(alive.keys() != known)


if __name__ == "__main__":
    sys.exit(main())
