"""A trial run leaves the committed reports alone; only a run that is asked to records."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import reports
from meta.sources import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of loadtest/ that may be written to; the gateway is the installed one."""
    shutil.copytree(ROOT / "loadtest", tmp_path / "loadtest", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{checkout / 'loadtest'}:{checkout}", "PYTHONDONTWRITEBYTECODE": "1"}
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=checkout, env=environment, capture_output=True, text=True, timeout=100, check=False)


def contents(checkout: Path) -> dict[str, bytes]:
    folder = checkout / "loadtest"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (("loadtest/tuning.py", "bursts", "--scale", "0.05"), "tuning/report.json"),
        (("-m", "load", "flapping", "--duration", "3", "--rate", "10"), "flapping/report.md"),
    ],
)
def test_a_trial_writes_below_build_alone(checkout: Path, arguments: tuple[str, ...], report: str) -> None:
    before = contents(checkout)
    done = run(checkout, *arguments)
    assert done.returncode in {0, 1}, done.stderr
    assert (checkout / "build/results" / report).stat().st_size > 100
    assert str(checkout / "build/results") in done.stdout
    assert contents(checkout) == before


@pytest.mark.timeout(120)
def test_what_is_recorded_replaces_the_committed_report(checkout: Path) -> None:
    before = contents(checkout)
    done = run(checkout, "-m", "load", "flapping", "--duration", "3", "--rate", "10", "--record")
    assert done.returncode in {0, 1}, done.stderr
    changed = {name for name, text in contents(checkout).items() if before.get(name) != text}
    assert "results/flapping/report.md" in changed
    assert {name.split("/")[1] for name in changed} == {"flapping"}
    assert not (checkout / "build").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("loadtest/tuning.py", "bursts", "--record"), "only a run of all experiments"),
        (("loadtest/tuning.py", "--scale", "0.5", "--record"), "only a run of all experiments"),
        (("loadtest/tuning.py", "--record", "--folder", "x"), "--folder"),
        (("-m", "loadtest.peers", "--targets", "gateway", "--record"), "only a run of all targets"),
        (("-m", "loadtest.peers", "--cases", "get", "--record"), "only a run of all targets"),
        (("-m", "loadtest.peers", "--record", "--out", "x"), "--out"),
        (("-m", "load", "flapping", "--record", "--results", "x"), "--results"),
    ],
)
def test_a_part_is_not_recorded(checkout: Path, arguments: tuple[str, ...], why: str) -> None:
    before = contents(checkout)
    refused = run(checkout, *arguments)
    assert refused.returncode == 2
    assert why in refused.stderr
    assert contents(checkout) == before


@pytest.mark.parametrize("target", ["load SCENARIO=steady", "peers", "tuning"])
@pytest.mark.parametrize(("record", "asked"), [("", False), ("RECORD=1", True), ("RECORD=0", False)])
def test_make_asks_only_when_told(tmp_path: Path, target: str, record: str, asked: bool) -> None:
    line = ["make", "--dry-run", *target.split(), *record.split()]
    told = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert told.rstrip().endswith("--record") == asked


def test_both_folders_are_where_git_expects_them() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert (reports.RECORDED, reports.TRIAL) == (ROOT / "loadtest/results", ROOT / "build/results")
    assert "build/" in ignored
