"""The dashboards of `grafana/` as a test sees them: their panels, and what Grafana would ask Prometheus for each."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.prometheus import Prometheus

FOLDER = Path(__file__).resolve().parents[2] / "grafana/dashboards"
RATE_INTERVAL = "10s"
"""What Grafana would take for `$__rate_interval` when Prometheus scrapes each second."""


@dataclass(frozen=True)
class Question:
    """One query of one panel. ``instant``: it asks for now, and not for the time that the dashboard shows."""

    dashboard: str
    panel: str
    expr: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expr}"


@cache
def names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@cache
def load(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def panels(name: str) -> Iterator[dict[str, Any]]:
    """All panels but the titles of rows."""
    return (panel for panel in load(name)["panels"] if panel["type"] != "row")


def questions(name: str, proxy: str) -> Iterator[Question]:
    """What is asked when everything is chosen that can be, and ``proxy`` where there is one choice."""
    variables = {variable["name"]: variable.get("allValue", proxy) for variable in load(name)["templating"]["list"]}
    chosen = variables | {"__rate_interval": RATE_INTERVAL}
    for panel in panels(name):
        for target in panel["targets"]:
            expr = re.sub(r"\$(\w+)", lambda found: chosen[found[1]], target["expr"])
            yield Question(name, panel["title"], expr, target.get("instant", False))


async def unanswered(prometheus: Prometheus, proxy: str, within: float) -> list[Question]:
    """The questions of all dashboards that Prometheus has no number for, even after ``within`` seconds."""
    began = time.time()
    left = [question for name in names() for question in questions(name, proxy)]
    while left and time.time() < began + within:
        left = [question for question in left if not await _answered(prometheus, question, began)]
        await asyncio.sleep(0.1)
    return left


async def _answered(prometheus: Prometheus, question: Question, began: float) -> bool:
    if question.instant:
        numbers = [series["value"][1] for series in await prometheus.query(question.expr)]
    else:
        found = await prometheus.query_range(question.expr, began, time.time() + 1)
        numbers = [number for series in found for _, number in series["values"]]
    return any(not math.isnan(float(number)) for number in numbers)
