"""How the gateway, HAProxy, nginx and Envoy bear failing endpoints, overload and stalled streams, in one run.

    PYTHONPATH=loadtest:. python -m failures [--targets a,b] [--scale 1.0] [--record | --folder FOLDER]
    PYTHONPATH=loadtest:. python -m failures --write    # report.md and pictures again, from report.json
    PYTHONPATH=loadtest:. python -m failures --part hedges --record    # one part again, and the rest as it stands

Callers, endpoints and back ends are in this process; loopback only, and bounded in time: less than five minutes. A
proxy that is not installed is left out, and the report says so. Writes report.md, report.json and pictures. Exit codes:
0 when every criterion held, 1 when one is broken, 2 when a proxy does not start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import reports
import uvloop
from failures import endpoints, hedges, overload, stall
from failures.proxies import GATEWAY, NAMES, installed
from failures.report import markdown, number, pictures, verdicts
from load.verdict import BROKEN

from loadtest.peers.server import PeerError

PARTS = {
    "endpoints": endpoints.measured,
    "overload": overload.measured,
    "stall": stall.measured,
    "hedges": hedges.measured,
}


async def measured(parts: Sequence[str], names: Sequence[str], scale: float) -> dict[str, Any]:
    return {part: await PARTS[part](names, scale) for part in parts}


def joined(before: dict[str, Any], report: dict[str, Any], part: str) -> dict[str, Any]:
    """The report ``before`` with this part of ``report``, and the circumstances that it was measured in."""
    apart = {**before.get("apart", {}), part: report["machine"]}
    return {**before, part: report[part], "apart": apart}


def circumstances(before: float) -> dict[str, str]:
    return machine.described("aiohttp", "uvloop") | {
        "commit": machine.commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load before the start": f"{before:.2f} runnable processes on average over a minute",
        "load at the end": f"{machine.busy():.2f}, this run included",
    }


def write(folder: Path, report: dict[str, Any]) -> None:
    """``folder`` is made, and pictures of an earlier run go away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    (folder / "report.json").write_text(json.dumps(report) + "\n")
    (folder / "report.md").write_text(markdown(report))
    for name, text in pictures(report).items():
        (folder / name).write_text(text)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(NAMES), help="the gateway is always there")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every duration; below 1 nothing is judged")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--record", action="store_true", help="write the committed report, not one below build/")
    where.add_argument("--folder", type=Path, help="where the report goes")
    parser.add_argument("--part", choices=PARTS, help="measure this alone; the rest is that of the committed report")
    parser.add_argument(
        "--write", action="store_true", help="measure nothing; write again what follows from report.json"
    )
    chosen = parser.parse_args()
    names = [name for name in chosen.targets.split(",") if name] or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    chosen.targets = [name for name in NAMES if name in {GATEWAY, *names}]
    if chosen.record and (chosen.scale != 1.0 or len(chosen.targets) < len(NAMES)):
        parser.error("only a whole run is recorded; leave out --targets and --scale")
    return chosen


def main() -> int:
    chosen, before = options(), machine.busy()
    if chosen.write:
        folder = reports.folder(record=True) / "failures"
        write(folder, json.loads((folder / "report.json").read_text()))
        return 0
    versions, missing = installed(chosen.targets)
    for name, why in missing.items():
        print(f"{name} is left out: {why}", flush=True)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(measured([chosen.part] if chosen.part else list(PARTS), list(versions), chosen.scale))
    except PeerError as problem:
        print(problem)
        return 2
    report = {
        "machine": circumstances(before),
        "scale": chosen.scale,
        "versions": versions,
        "missing": missing,
        **found,
    }
    if chosen.part:
        kept = reports.folder(record=True) / "failures/report.json"
        report = joined(json.loads(kept.read_text()), report, chosen.part)
    folder = chosen.folder or reports.folder(record=chosen.record) / "failures"
    write(folder, report)
    judged = verdicts(report)
    for verdict in judged:
        made = verdict.criterion
        print(f"  {verdict.word:10} {made.name}: {number(verdict.value)} (bound: {made.bound})")
    print(f"written to {folder}")
    return 1 if any(verdict.word == BROKEN for verdict in judged) else 0


if __name__ == "__main__":
    raise SystemExit(main())
