"""Figures of the tuning guide, from what `make tuning` measured last."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "loadtest/results/tuning/report.json"

sys.path.append(str(ROOT / "loadtest"))

from experiments.report import measured_on, section  # noqa: E402 - from a folder that was just added


def regions() -> dict[str, str]:
    report = json.loads(REPORT.read_text())
    return {"measured-on": measured_on(report)} | {name: section(one) for name, one in report["experiments"].items()}
