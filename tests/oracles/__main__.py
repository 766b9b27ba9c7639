"""Send the same attacks to the gateway, nginx, HAProxy, Envoy and Caddy: `make oracles`.

    python -m oracles [--names nginx,haproxy] [--record]

The table goes to build/oracles, with --record to loadtest/results/oracles, where `make docs` finds it.
The exit code is 1 when the gateway is weaker than the strictest of the others, or than its own rule.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import uvloop
from attack_table import section

from oracles.judge import findings
from oracles.run import GATEWAY, ORACLES, Table, installed, table
from oracles.table import ATTACKS
from oracles.why import WHY

ROOT = Path(__file__).resolve().parents[2]


def document(found: Table, versions: dict[str, str]) -> dict[str, object]:
    """What is recorded: all that the table of the documentation says."""
    groups = []
    for group, why in WHY.items():
        rows = {attack.name: found[attack.key] for attack in ATTACKS if attack.group == group}
        cells = {name: {who: [seen.word, seen.harm] for who, seen in row.items()} for name, row in rows.items()}
        groups.append({"name": group, "why": why, "rows": cells})
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "versions": versions, "groups": groups}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", default=",".join(ORACLES), help="others; those that are missing are left out")
    parser.add_argument("--record", action="store_true", help="write the committed record")
    options = parser.parse_args()
    versions = installed([name for name in options.names.split(",") if name])
    if options.record and set(versions) != set(ORACLES):
        sys.stderr.write(f"only a table of all of {', '.join(ORACLES)} is recorded; installed: {', '.join(versions)}\n")
        return 2
    found = uvloop.run(table(ATTACKS, [GATEWAY, *versions]))
    record = document(found, versions)
    folder = ROOT / ("loadtest/results/oracles" if options.record else "build/oracles")
    folder.mkdir(parents=True, exist_ok=True)
    # A row of the table is a line, so that a change of one shows as such.
    (folder / "record.json").write_text(json.dumps(record).replace("}, ", "},\n") + "\n")
    if not options.record:
        (folder / "report.md").write_text(section(record))
    weaker = findings(ATTACKS, found)
    sys.stdout.write("".join(f"WEAKER: {sentence}\n" for sentence in weaker))
    sys.stdout.write(f"written: {folder.relative_to(ROOT)}; {len(ATTACKS)} attacks, {len(weaker)} findings\n")
    return 1 if weaker else 0


if __name__ == "__main__":
    sys.exit(main())
