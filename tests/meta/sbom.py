"""Whether a bill of materials names what the lock names: `make sbom` runs it on what it has written.

    python tests/meta/sbom.py build/sbom.cdx.json

Exit code 1 with the differences on standard error, also for what a bill has to say of the product itself.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parents[2] / "requirements/run.txt"


def differences(bill: dict[str, Any], lock: str) -> Iterator[str]:
    """A sentence for each release that stands in one of the two alone, and for what the head of the bill lacks."""
    product = bill["metadata"]["component"]
    if not (product.get("name") and product.get("version")):
        yield "the bill names no product, or no version of it"
    listed = {_release(part["name"], part["version"]) for part in bill["components"]}
    wanted = map(Requirement, re.findall(r"(?m)^[\w.-]+==[^\\\n]+", lock))
    here = (each for each in wanted if each.marker is None or each.marker.evaluate())
    locked = {_release(each.name, str(each.specifier).removeprefix("==")) for each in here}
    yield from (f"{name} is locked and not in the bill" for name in sorted(locked - listed))
    yield from (f"{name} is in the bill and not locked" for name in sorted(listed - locked))
    if not [one for one in bill["dependencies"] if one["ref"] == product["bom-ref"] and one.get("dependsOn")]:
        yield "the bill does not tell what the product depends on"


def _release(name: str, version: str) -> str:
    return f"{canonicalize_name(name)} {version}"


def main() -> int:
    path = Path(sys.argv[1])
    found = list(differences(json.loads(path.read_text()), LOCK.read_text()))
    sys.stderr.write("".join(f"{path}: {difference}\n" for difference in found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
