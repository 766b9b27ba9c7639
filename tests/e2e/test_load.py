"""The load scenarios, scaled down, by the real runner: whether they run, see what they should, and judge."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from meta.sources import ROOT


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "loadtest")}
    line = [sys.executable, "-m", "load", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=150, check=False)


def verdicts(report: str) -> dict[str, str]:
    """Name of the criterion -> held, BROKEN or not judged."""
    rows = re.findall(r"^\| (.+?) \|.*\| (held|BROKEN|not judged) \|$", report, re.MULTILINE)
    return dict(rows)


def test_each_scenario_is_in_the_list_with_a_sentence() -> None:
    listed = dict(re.findall(r"^  (\S+) +(\S.*)$", load().stdout, re.MULTILINE))
    modules = {path.stem.replace("_", "-") for path in (ROOT / "loadtest/scenarios").glob("*.py")}
    assert listed.keys() == modules
    row = r"^\| \[`([a-z-]+)`\]\(results/\1/report\.md\) \|"
    told = re.findall(row, (ROOT / "loadtest/README.md").read_text(), re.MULTILINE)
    assert set(told) == modules


def test_an_unknown_scenario_is_refused_with_the_names() -> None:
    refused = load("nothing")
    assert refused.returncode == 2
    assert "overload-queue" in refused.stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("scenario", "arguments", "sure"),
    [
        ("flapping", ("--duration", "8", "--rate", "20"), {"Times that the breaker opened"}),
        (
            "streams",
            ("--duration", "5", "--rate", "6"),
            {"Streams that broke", "From a client's leaving to the end of the sidecar's work, P99"},
        ),
    ],
)
def test_a_scenario_runs_judges_and_reports(
    tmp_path: Path, scenario: str, arguments: tuple[str, ...], sure: set[str]
) -> None:
    """``sure`` are criteria that do not hang on the pace of the machine."""
    done = load(scenario, *arguments, "--results", str(tmp_path))
    assert done.returncode in {0, 1}, done.stderr
    folder = tmp_path / scenario
    found = verdicts((folder / "report.md").read_text())
    assert {name: found.get(name) for name in sure} == dict.fromkeys(sure, "held"), done.stdout
    assert (done.returncode == 1) == ("BROKEN" in found.values())
    for picture in re.findall(r"\]\((\S+\.svg)\)", (folder / "report.md").read_text()):
        assert list(ET.parse(folder / picture).iter("{http://www.w3.org/2000/svg}polyline")), picture
    for table in folder.glob("*.csv"):
        assert len(list(csv.reader(table.read_text().splitlines()))) > 4, table
