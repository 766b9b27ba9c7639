"""Compare proxies on the same work, in one run, by the CPU they burn, the latency they add and the memory they take.

    python -m loadtest.peers [--targets a,b] [--cases a,b] [--rounds 3] [--seconds 4] [--record | --out FOLDER]
    python -m loadtest.peers --write          # report.md and docs/peers.md again, from the raw.json that is there

Without --record nothing that is committed changes. With it a run of everything writes loadtest/results/peers and the
table of docs/peers.md; a run of a part is not recorded.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from loadtest import reports
from loadtest.peers import bench
from loadtest.peers.case import CASES
from loadtest.peers.record import Record
from loadtest.peers.report import BEGIN, page, put_into, report
from loadtest.peers.target import ROOT, TARGETS, NotInstalledError

PAGE = ROOT / "docs/peers.md"


def names(text: str, known: dict[str, object]) -> list[str]:
    """Of a list with commas; all of them for an empty one. ArgumentTypeError for one that is unknown."""
    chosen = [name for name in text.split(",") if name] or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def write(record: Record, folder: Path, *, into_page: bool) -> None:
    record.save(folder / "raw.json")
    (folder / "report.md").write_text(report(record))
    told = f"{folder}/report.md and raw.json"
    if into_page and BEGIN in PAGE.read_text():
        PAGE.write_text(put_into(PAGE.read_text(), page(record)))
        told += ", and the table of docs/peers.md"
    print(f"\nwritten: {told}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=lambda text: names(text, dict(TARGETS)), default=[], metavar="a,b")
    parser.add_argument("--cases", type=lambda text: names(text, dict(CASES)), default=[], metavar="a,b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each load; whole seconds")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--record", action="store_true", help="write the committed report and docs/peers.md")
    where.add_argument("--out", type=Path, help="folder for report.md and raw.json")
    parser.add_argument("--write", action="store_true", help="measure nothing; write anew what follows from raw.json")
    return parser.parse_args()


def main() -> int:
    told = options()
    if told.write:
        folder = reports.folder(record=True) / "peers"
        write(Record.load_from(folder / "raw.json"), folder, into_page=True)
        return 0
    targets, cases = told.targets or list(TARGETS), told.cases or list(CASES)
    if told.record and (len(targets) < len(TARGETS) or len(cases) < len(CASES)):
        print("only a run of all targets and all cases is recorded", file=sys.stderr)
        return 2
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed: one for the proxy, one for origin and load", file=sys.stderr)
        return 2
    try:
        record = bench.run(targets, cases, told.rounds, told.seconds)
    except NotInstalledError as problem:
        print(problem, file=sys.stderr)
        return 2
    write(record, told.out or reports.folder(record=told.record) / "peers", into_page=told.record)
    print("\n" + report(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
