"""The attacks of `make attacks`, shortly: the worker's memory stays bounded, and the good client gets its responses.

Times are not judged: they need a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from meta.sources import ROOT

SHORT = ("--pairs", "1", "--seconds", "1.5", "--rate", "50", "--judge", "memory")


def attacks(*arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    line = [*before, sys.executable, str(ROOT / "loadtest/attacks.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "names",
    [("pipeline-unread", "large-heads"), ("deaf-echo", "tiny-chunks")],
    ids="+".join,
)
def test_the_worker_stays_small(names: tuple[str, ...], tmp_path: Path) -> None:
    done = attacks(*names, *SHORT, "--out", str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["attack"] for one in report["attacks"]] == list(names)
    assert all(one["connections"] > 0 for one in report["attacks"]), "the attack came through"
    assert done.returncode == 0, done.stdout + done.stderr
    if len(os.sched_getaffinity(0)) > 1:
        shared = [one["attack"] for one in report["attacks"] if set(one["worker_on"]) & set(one["others_on"])]
        assert not shared, "the worker shared a core with the attacker: its times would be the kernel's"


def test_times_are_not_judged_on_a_single_core(tmp_path: Path) -> None:
    one_core = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    refused = attacks("silent", "--out", str(tmp_path), before=one_core)
    assert refused.returncode == 1
    assert "--judge memory" in refused.stderr
    assert not list(tmp_path.iterdir()), "nothing was measured"


def test_an_unknown_attack_is_refused_with_the_names() -> None:
    refused = attacks("nothing")
    assert refused.returncode == 2
    assert "slow-reader" in refused.stderr
