"""The attacks of `make attacks`, shortly: the worker's memory stays bounded, and the good client gets its responses.

Times are not judged: they need a machine that does nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from meta.sources import ROOT

SHORT = ("--pairs", "1", "--seconds", "1.5", "--rate", "50", "--judge", "memory")


def attacks(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(ROOT / "loadtest/attacks.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "names",
    [("pipeline-unread", "refused-unread"), ("read-ahead", "deaf-echo"), ("large-heads", "silent"), ("tiny-chunks",)],
    ids="+".join,
)
def test_the_worker_stays_small(names: tuple[str, ...], tmp_path: Path) -> None:
    done = attacks(*names, *SHORT, "--out", str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["attack"] for one in report["attacks"]] == list(names)
    assert all(one["connections"] > 0 for one in report["attacks"]), "the attack came through"
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_attack_is_refused_with_the_names() -> None:
    refused = attacks("nothing")
    assert refused.returncode == 2
    assert "slow-reader" in refused.stderr
