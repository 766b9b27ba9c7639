"""The page on operations: its commands are executed as they stand there, and its unit is one that systemd takes."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from harness.walkthrough import blocks, promised, walk

from gateway.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
BIN = Path(sys.executable).parent


@pytest.mark.timeout(200)
def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    shell = walk(PAGE, tmp_path, ("8080", "8081", "9000"), path, patience=180)
    assert shell.stdout == promised(PAGE), f"{shell.stderr}\n{(tmp_path / 'gateway.log').read_text()}"


def unit() -> str:
    (text,) = blocks(PAGE, "ini")
    return text


def test_the_commands_of_the_unit_exist() -> None:
    parsed = configparser.ConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit())
    service = parsed["Service"]
    for line in (service["ExecStartPre"], service["ExecStart"]):
        _, name, *options = line.split()
        command = main.commands[name]
        assert isinstance(command, click.Command)
        command.make_context(name, options)
    drain = float(re.findall(r"^drain_timeout: (\d+)$", PAGE, re.MULTILINE)[0])
    assert float(service["TimeoutStopSec"]) > drain


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With commands and a user that this machine has: the paths are the reader's."""
    here = unit().replace("/opt/gateway/bin/gateway", str(BIN / "gateway")).replace("User=gateway\n", "")
    file = tmp_path / "gateway.service"
    file.write_text(here)
    verified = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert "gateway.service" not in verified.stderr, verified.stderr
