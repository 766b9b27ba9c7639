"""The README's five-minute tour, executed as it stands there: its file, its commands, its promised output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from harness.walkthrough import blocks, promised, section, walk

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.timeout(120)  # a start may take long on a busy machine, and the tour waits for it

TOUR = section(README, "Five-minute tour")
FIELDS = section((ROOT / "docs/observability.md").read_text(), "Access log")


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which the tour was made, and what bash said to it."""
    folder = tmp_path_factory.mktemp("tour")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    return folder, walk(TOUR, folder, ("8080", "8081", "9000"), {}, 110)


def test_the_tour_shows_what_the_readme_promises(toured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, shell = toured
    logs = "\n".join(f"{path.name}: {path.read_text()}" for path in folder.glob("*.log"))
    assert shell.stdout == promised(TOUR), f"{shell.stderr}\n{logs}"


def test_the_log_has_the_fields_that_the_page_lists(toured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    rows = re.findall(r"^\| (`.+?`) \| (?!of a (?:call of )?\[|only ).+ \|$", FIELDS, re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    lines = [json.loads(line) for line in (toured[0] / "access.log").read_text().splitlines() if line[:1] == "{"]
    assert lines
    assert all(sorted(line) == sorted(listed) for line in lines)


def test_what_the_tour_leaves_is_private_and_not_for_git(
    toured: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """It holds live tokens of a superuser and of a caller."""
    left = {path for path in toured[0].iterdir() if path.name not in (".venv", "gateway.yaml")}
    assert {"token", "reader"} <= {path.name for path in left}
    assert [path.name for path in left if path.stat().st_mode & 0o077] == []
    ignored = [line.lstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line[:1] not in ("", "#")]
    names = {path.name for path in left} | {"gateway.yaml"}
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in ignored)] == []


def test_the_tour_takes_a_dozen_lines_of_yaml() -> None:
    (configuration,) = blocks(TOUR, "yaml")
    assert len(configuration.splitlines()) <= 12
