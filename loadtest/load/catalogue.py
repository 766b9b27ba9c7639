"""The scenarios that there are: one module each in `loadtest/scenarios`."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from load.scenario import Scenario

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"


def scenarios() -> dict[str, Scenario]:
    """By name, in alphabetical order. Their modules import locust, which must not replace this process's sockets."""
    os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
    found = [runpy.run_path(str(path))["SCENARIO"] for path in sorted(FOLDER.glob("*.py"))]
    return {scenario.name: scenario for scenario in found}
