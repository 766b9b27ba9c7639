"""The experiments of the tuning guide: a small one is really run, and what is reckoned from rounds is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from experiments.report import markdown
from experiments.trial import Column, in_rounds, percentile, rows

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "loadtest/results/tuning"


async def test_each_setting_has_its_turn_and_none_is_always_first() -> None:
    order: list[str] = []

    async def measure(name: str) -> dict[str, float]:
        order.append(name)
        return {"x": len(order)}

    found = await in_rounds(["a", "b"], 2, measure)
    assert order == ["a", "b", "b", "a"]
    assert found == [{"a": {"x": 1}, "b": {"x": 2}}, {"b": {"x": 3}, "a": {"x": 4}}]


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    rounds = [{"a": {"x": a}, "b": {"x": b}} for a, b in ((10.0, 20.0), (100.0, 110.0), (10.0, 30.0))]
    first, second = rows([Column("x", ratio=True)], rounds)
    assert (first.setting, first.cells["x"]) == ("a", [10.0, 10.0, 100.0, 1.0])
    assert (second.setting, second.cells["x"]) == ("b", [30.0, 20.0, 110.0, 2.0])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], share) == expected


def test_the_report_is_made_from_the_figures() -> None:
    assert (RESULTS / "report.md").read_text() == markdown(json.loads((RESULTS / "report.json").read_text()))


@pytest.mark.timeout(120)
def test_a_queue_serves_the_bursts_that_a_limit_alone_refuses(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "loadtest/tuning.py"), "bursts", "--scale", "0.2", "--folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    report = json.loads((tmp_path / "report.json").read_text())
    refused = [row["cells"]["refused %"][0] for row in report["experiments"]["bursts"]["rows"]]
    assert refused[0] > 50
    assert refused[-1] < refused[0]
    assert (tmp_path / "report.md").read_text() == markdown(report)
