"""Where a run writes its report: below build/, or among the committed ones when that is asked for.

A trial run must leave the checkout as it is; a figure is published by decision (`RECORD=1`), after a look at it.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "loadtest/results"
TRIAL = ROOT / "build/results"


def folder(*, record: bool) -> Path:
    """The folder that has a folder for each report."""
    return RECORDED if record else TRIAL
