"""The check of `make sbom` has teeth. The bill itself is made by `.ci/run`, from releases that an index hands out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from meta.sbom import LOCK, differences
from meta.sources import ROOT

LOCKED = """\
# a comment
aiohttp==3.14.5 \\
    --hash=sha256:00
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:01
typing-extensions==4.16.0 ; python_full_version >= '3.11' \\
    --hash=sha256:02
"""


def bill() -> dict[str, Any]:
    return {
        "metadata": {"component": {"bom-ref": "root", "name": "breakwater-gateway", "version": "1.0"}},
        "components": [{"name": "aiohttp", "version": "3.14.5"}, {"name": "typing_extensions", "version": "4.16.0"}],
        "dependencies": [{"ref": "root", "dependsOn": ["aiohttp"]}],
    }


def test_a_bill_of_the_lock_is_good() -> None:
    assert list(differences(bill(), LOCKED)) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda made: made["components"].pop(), "typing-extensions 4.16.0 is locked and not in the bill"),
        (
            lambda made: made["components"].append({"name": "pip", "version": "23"}),
            "pip 23 is in the bill and not locked",
        ),
        (
            lambda made: made["components"].append({"name": "pywin32", "version": "312"}),
            "pywin32 312 is in the bill and not locked",
        ),
        (lambda made: made["metadata"]["component"].pop("version"), "the bill names no product, or no version of it"),
        (lambda made: made["dependencies"][0].pop("dependsOn"), "the bill does not tell what the product depends on"),
    ],
)
def test_what_is_wrong_with_a_bill(spoil: Callable[[dict[str, Any]], object], told: str) -> None:
    made = bill()
    spoil(made)
    assert list(differences(made, LOCKED)) == [told]


def test_the_program_fails_with_the_differences(tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    path.write_text(json.dumps(bill()))
    line = [sys.executable, str(ROOT / "tests/meta/sbom.py"), str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "joserfc" in done.stderr
    assert len(done.stderr.splitlines()) >= LOCK.read_text().count("==") - 4
