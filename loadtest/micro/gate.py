"""Holds the cost of the hot path: instructions a request, against what was recorded for this Python.

    python -m loadtest.micro.gate check [--slower TURNS]
    python -m loadtest.micro.gate record

What is compared is a ratio: instructions of a workload over those of one turn of a fixed loop in plain Python, counted
in the same run. Another compiler, processor or patch version of Python moves both. Exit codes: 0; 1 something
is dearer than recorded by more than the tolerance; 2 there is no valgrind, or no record for this Python.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from loadtest.micro.instructions import ValgrindError, costs
from loadtest.stage import table

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03
"""The share by which a workload may become dearer. Between runs it moves by a tenth of a percent: README.md."""
VERSION = ".".join(platform.python_version_tuple()[:2])


def ratios(measured: dict[str, float]) -> dict[str, float]:
    """Each workload in turns of the reference."""
    return {name: cost / measured["reference"] for name, cost in measured.items() if name != "reference"}


def dearer(measured: dict[str, float], recorded: dict[str, float], tolerance: float = TOLERANCE) -> list[str]:
    """Names of the workloads that cost more than recorded and tolerated, or that the record does not know."""
    return [name for name, cost in measured.items() if name not in recorded or cost > recorded[name] * (1 + tolerance)]


def rows(measured: dict[str, float], recorded: dict[str, float]) -> list[tuple[str, ...]]:
    """The table: both ratios, how they differ, and what that means."""
    failed = dearer(measured, recorded)
    told: list[tuple[str, ...]] = [("workload", "recorded", "now", "change", "")]
    for name, cost in measured.items():
        before = recorded.get(name)
        change = "-" if before is None else f"{(cost / before - 1) * 100:+.1f} %"
        word = (
            "DEARER" if name in failed else "cheaper: record it" if before and cost < before * (1 - TOLERANCE) else "ok"
        )
        told.append((name, "-" if before is None else f"{before:.2f}", f"{cost:.2f}", change, word))
    return told


def check(slower: int) -> int:
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    if VERSION not in known:
        print(
            f"nothing is recorded for Python {VERSION}: run `make bench-record` on a state that is good",
            file=sys.stderr,
        )
        return 2
    print("counting instructions; this takes about a minute")
    measured = costs(slower)
    recorded = known[VERSION]["ratios"]
    table(
        f"instructions, in turns of the reference ({measured['reference']:.0f} each)", rows(ratios(measured), recorded)
    )
    failed = dearer(ratios(measured), recorded)
    gone = recorded.keys() - measured.keys()
    print(f"\ndearer by more than {TOLERANCE:.0%}: {', '.join(failed)}" if failed else "\nas recorded")
    if gone:
        print(f"recorded, and no longer measured: {', '.join(sorted(gone))}")
    return 1 if failed or gone else 0


def record() -> int:
    print("counting instructions; this takes about a minute")
    measured = costs()
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    known[VERSION] = {
        "python": platform.python_version(),
        "instructions": {name: round(cost) for name, cost in measured.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios(measured).items()},
    }
    RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    table(f"recorded for Python {VERSION}", rows(ratios(measured), known[VERSION]["ratios"]))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "record"))
    parser.add_argument("--slower", type=int, default=0, help="rounds of an idle loop in each exchange, as a proof")
    options = parser.parse_args()
    try:
        return check(options.slower) if options.what == "check" else record()
    except ValgrindError as missing:
        print(missing, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
