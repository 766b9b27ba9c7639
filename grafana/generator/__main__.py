"""`python grafana/generator FOLDER` writes the dashboards' JSON there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet import FLEET
from internals import INTERNALS
from kit import dashboard
from proxy import PROXY


def main(folder: Path) -> None:
    for name, described in {"fleet": FLEET, "proxy": PROXY, "internals": INTERNALS}.items():
        (folder / f"{name}.json").write_text(json.dumps(dashboard(described), indent=2) + "\n")


main(Path(sys.argv[1]))
