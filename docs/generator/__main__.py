"""`python docs/generator FOLDER` writes the pages that are generated, whole or in part, into a copy of docs/."""

from __future__ import annotations

import sys
from pathlib import Path

import admin_api
import keys
import measured
import oracles
import regions

GENERATED = {
    "configuration": keys.regions,
    "admin-api": admin_api.regions,
    "tuning": measured.regions,
    "oracles": oracles.regions,
}
"""Pages with regions that a program writes."""


def main(folder: Path) -> None:
    for name, contents in GENERATED.items():
        page = folder / f"{name}.md"
        page.write_text(regions.fill(page.read_text(), contents()))


main(Path(sys.argv[1]))
