"""The installed program is tried by real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.control import trial
from gateway.control.trial import TrialError, installed
from gateway.workers.roster import FORMAT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"listen: 127.0.0.1:0\naccess_log: {{path: off}}\ndatabase: sqlite:///{tmp_path}/gateway.db\n")
    return path


async def test_what_can_take_over_says_its_version(config: Path) -> None:
    assert await installed(config, FORMAT) == __version__


async def test_another_format_needs_a_stop_and_a_start(config: Path) -> None:
    with pytest.raises(TrialError, match=f"version {__version__} shares no memory .* stop the gateway"):
        await installed(config, FORMAT + 1)


async def test_a_file_that_it_cannot_use_is_named(config: Path) -> None:
    config.write_text("nothing: 1\n")
    with pytest.raises(TrialError, match=r"gateway\.yaml:1: nothing"):
        await installed(config, FORMAT)


@pytest.mark.parametrize(
    ("code", "text"),
    [("import no_such_module", "No module named 'no_such_module'"), ("raise SystemExit(3)", "exit code 3")],
)
async def test_a_program_that_fails_says_why(config: Path, code: str, text: str) -> None:
    with pytest.raises(TrialError, match=text):
        await installed(config, FORMAT, [sys.executable, "-c", code])


async def test_one_that_does_not_start_is_ended(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    with pytest.raises(TrialError, match=r"did not start within 0\.01 seconds"):
        await installed(config, FORMAT, [sys.executable, "-c", "import time; time.sleep(60)"])
