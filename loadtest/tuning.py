"""What settings are worth: short experiments with a real gateway, one setting against the other in the same run.

    python loadtest/tuning.py [NAME ...] [--scale 1.0] [--record | --folder FOLDER]

Each experiment runs its settings in turns, in an order that changes from round to round, and reports medians with the
least and the most of the rounds. Upstream and callers are in this process. Loopback only; bounded in count and time.
Writes report.md and report.json; `make docs` takes the figures of docs/ from the latter, once they are recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine
import reports
import uvloop
from experiments import capacity, cost, failure, overload
from experiments.report import markdown
from experiments.trial import Experiment, rows

ALL = (*cost.EXPERIMENTS, *overload.EXPERIMENTS, *failure.EXPERIMENTS, *capacity.EXPERIMENTS)
LIMIT = 120.0
"""Seconds after which one experiment is given up."""


async def measured(experiment: Experiment, scale: float) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT):
        rounds = await experiment.run(scale)
    return {
        "title": experiment.title,
        "method": experiment.method.strip(),
        "rounds": len(rounds),
        "columns": [asdict(column) for column in experiment.columns],
        "rows": [asdict(row) for row in rows(experiment.columns, rounds)],
    }


async def measured_all(chosen: list[Experiment], scale: float) -> dict[str, Any]:
    found = {}
    for experiment in chosen:
        began = time.monotonic()
        print(f"{experiment.name} ...", end=" ", flush=True)
        found[experiment.name] = await measured(experiment, scale)
        print(f"{time.monotonic() - began:.0f} s")
    return found


def circumstances() -> dict[str, str]:
    """What the figures were measured on, and of."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return machine.described("aiohttp", "uvloop") | {"commit": machine.commit(), "date": date}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *(one.name for one in ALL)], help="all, unless named")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every duration and count")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--record", action="store_true", help="write the committed report, not one below build/")
    where.add_argument("--folder", type=Path, help="where the report goes")
    options = parser.parse_args()
    if options.record and (options.names or options.scale != 1.0):
        parser.error("only a run of all experiments at their own length is recorded; leave out the names and --scale")
    folder = options.folder or reports.folder(record=options.record) / "tuning"
    chosen = [one for one in ALL if not options.names or one.name in options.names]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measured_all(chosen, options.scale))
    report = {"machine": circumstances(), "scale": options.scale, "experiments": found}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(report))
    print(f"written to {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
