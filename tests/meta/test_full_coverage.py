"""What `make coverage` demands has teeth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from meta.full_coverage import WHOLE, gaps
from meta.sources import ROOT

SOURCE = """\
def sign(x):
    if x < 0:
        return -1
    if x:
        x = 1
    return x
"""


def report_on(folder: Path, call: str) -> dict[str, Any]:
    """What coverage says of a module under the name of the first of `WHOLE` when ``call`` was made."""
    file = folder / WHOLE[0]
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    (folder / "use.py").write_text(f"import runpy\nsign = runpy.run_path({WHOLE[0]!r})['sign']\n{call}\n")
    for arguments in (["run", "--branch", "--include=gateway/*", "use.py"], ["json", "-q", "-o", "report.json"]):
        subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=folder, check=True)
    measured = json.loads((folder / "report.json").read_text())
    whole: dict[str, Any] = {"missing_lines": [], "missing_branches": []}
    return {"files": dict.fromkeys(WHOLE, whole) | measured["files"]}


@pytest.mark.covers("T055")
@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("sign(-1), sign(0), sign(1)", []),
        ("sign(-1), sign(1)", ["never goes on to line 6"]),
        ("sign(0), sign(1)", ["never run", "never goes on to line 3"]),
    ],
)
def test_a_line_and_a_branch_that_are_left_out_are_told(tmp_path: Path, call: str, found: list[str]) -> None:
    told = list(gaps(report_on(tmp_path, call)))
    assert [gap.split(": ")[1] for gap in told] == found
    assert all(gap.startswith(f"{WHOLE[0]}:") for gap in told)


def test_a_module_that_was_not_measured_is_a_gap() -> None:
    assert list(gaps({"files": {}})) == [f"{file}: not measured" for file in WHOLE]


def test_every_policy_and_its_layer_are_among_them() -> None:
    policies = [path for path in (ROOT / "gateway/policy").glob("*.py") if path.name != "__init__.py"]
    layers = [path for path in (ROOT / "gateway/proxy/layers").glob("*.py") if "gateway.policy" in path.read_text()]
    assert {path.relative_to(ROOT).as_posix() for path in (*policies, *layers)} <= set(WHOLE)
    assert all((ROOT / file).is_file() for file in WHOLE)
