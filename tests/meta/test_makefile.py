"""The Makefile as a newcomer meets it: it explains itself, and says what is missing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from meta.sources import ROOT

MAKEFILE = (ROOT / "Makefile").read_text().replace("\\\n", " ")
TARGETS = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=outer, capture_output=True, text=True, check=False)


def test_plain_make_names_each_target() -> None:
    listed = re.findall(r"^  make (\S+)", make().stdout, re.MULTILINE)
    assert set(listed) == TARGETS


def test_an_old_python_is_refused_with_a_way_out(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    refused = make("run", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert refused.returncode == 2
    assert "needs Python 3.11 or newer" in refused.stderr
    assert "Python 3.9.2" in refused.stderr
    assert "make PYTHON=" in refused.stderr
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all_is_refused_likewise(tmp_path: Path) -> None:
    refused = make("test", f"PYTHON={tmp_path}/nowhere", f"VENV={tmp_path}/venv")
    assert refused.returncode == 2
    assert "needs Python 3.11 or newer" in refused.stderr


def test_a_python_that_is_not_there_is_not_found() -> None:
    absent = subprocess.run([ROOT / ".ci/find-python", "3.99"], capture_output=True, text=True, check=False)
    assert (absent.returncode, absent.stdout) == (1, "")
