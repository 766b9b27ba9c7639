"""The README's five-minute tour, executed as it stands there: its file, its commands, its promised output."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.ports import reserved_port

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PORTS = ("8080", "8081", "9000")
"""What the README uses; a test may not count on them, so each becomes a free one."""

STOP_ALL = "trap 'kill $gateway $back_end 2>/dev/null' EXIT\n"


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section("Five-minute tour"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which the tour was made, and what bash said to it."""
    if shutil.which("curl") is None and "CI" not in os.environ:
        pytest.skip("the tour needs curl, which is not here")
    folder = tmp_path_factory.mktemp("tour")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (configuration,) = blocks("yaml")
    script = STOP_ALL + "".join(blocks("sh"))
    for port in PORTS:
        free = str(reserved_port())
        configuration, script = configuration.replace(port, free), script.replace(port, free)
    (folder / "gateway.yaml").write_text(configuration)
    shell = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    return folder, shell


def test_the_tour_shows_what_the_readme_promises(toured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, shell = toured
    logs = "\n".join(f"{path.name}: {path.read_text()}" for path in folder.glob("*.log"))
    assert shell.stdout == "".join(blocks("text")), f"{shell.stderr}\n{logs}"


def test_the_log_has_the_fields_that_the_readme_lists(toured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    rows = re.findall(r"^\| (`.+?`) \| .+ \|$", section("Operations").partition("| field |")[2], re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    lines = [json.loads(line) for line in (toured[0] / "access.log").read_text().splitlines() if line[:1] == "{"]
    assert lines
    assert all(sorted(line) == sorted(listed) for line in lines)


def test_the_tour_takes_a_dozen_lines_of_yaml() -> None:
    (configuration,) = blocks("yaml")
    assert len(configuration.splitlines()) <= 12
