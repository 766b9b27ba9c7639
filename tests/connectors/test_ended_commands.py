"""Commands that are ended while their statement runs: the statement ends at the database too."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
from connectors.test_sql import RUNNING, SLOW
from harness.calling import Calling
from harness.databases import Database
from harness.patience import eventually


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_statement_ends_with_its_command(server: Database, tmp_path: Path, number: int) -> None:
    actions = f"""
        slow: {{connection: db, statement: "{SLOW[server.kind]}"}}
        running: {{connection: db, statement: "{RUNNING[server.kind]}"}}
    """
    config = tmp_path / "gateway.yaml"
    config.write_text(server.file(actions))
    async with Calling(server.file(actions)) as make:

        async def runs() -> bool:
            return bool((await make.body("running"))["rows"][0]["n"])

        command = [sys.executable, "-P", "-m", "gateway", "action", "call", "slow", "--config", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            end = monotonic() + 45
            while not await runs():
                assert monotonic() < end
            began = monotonic()
            process.send_signal(number)
            _, errors = await asyncio.to_thread(process.communicate, timeout=15)
        finally:
            process.kill()
        assert monotonic() - began < 8, "the statement itself takes 20 s"
        assert (process.returncode, b"Traceback" in errors) == (143 if number == signal.SIGTERM else 1, False), errors
        assert not await runs()
        await eventually(lambda: make.gateway.exchanges == 0, "nothing runs")
