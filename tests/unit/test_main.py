"""The command's own first instructions: what it holds, and what it gives back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def test_a_command_that_does_not_serve_can_be_interrupted(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    os.mkfifo(config)  # it waits for somebody to write
    process = subprocess.Popen([sys.executable, "-m", "gateway", "check", "--config", str(config)])
    writer = os.open(config, os.O_WRONLY)  # returns when the command reads: it is past its imports
    limits = Path(f"/proc/{process.pid}/limits")
    if limits.exists():
        (core,) = [line for line in limits.read_text().splitlines() if line.startswith("Max core file size")]
        assert core.split()[4] == "0", "its memory may hold secrets"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    os.close(writer)


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_it_works_without_standard_descriptors(tmp_path: Path, closed: tuple[int, ...]) -> None:
    shut = " ".join(f"{descriptor}{'<' if descriptor == 0 else '>'}&-" for descriptor in closed)
    command = f'exec "$0" -m gateway schema > {tmp_path}/out {shut}'
    if 1 in closed:
        command = f'exec "$0" -m gateway schema {shut}'
    done = subprocess.run(["sh", "-c", command, sys.executable], timeout=30, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    if 1 not in closed:
        assert (tmp_path / "out").read_text().startswith("{")


def test_a_bad_configuration_is_still_said_when_a_signal_came_before(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("nonsense: 1\n")
    command = f'kill -HUP $$; exec "$0" -m gateway run --config {config}'
    script = f"trap '' HUP; {command}"
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, timeout=30)
    assert (done.returncode, "nonsense" in done.stderr) == (2, True)
