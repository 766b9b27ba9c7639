"""What becomes of calls when the process that makes them ends: the other side gets to know that no one waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from harness.answers import answer
from harness.deployment import Deployment
from harness.mcp_script import OLDER, Server
from harness.patience import eventually
from harness.upstream import Link, Upstream

NOTE = "notifications/cancelled"
CALLS = """
connections: {{peer: {{kind: mcp, base_url: "{url}/mcp"}}}}
actions: {{slow: {{connection: peer, tool: slow}}}}
"""


class Slow:
    """A server of the older era whose tool does not end."""

    def __init__(self, upstream: Upstream) -> None:
        self.heard: list[Any] = []
        self._server = Server(upstream, **OLDER, notifications__cancelled=answer(status=202))
        upstream.behaviour = self

    async def __call__(self, link: Link) -> None:
        while True:
            message = await link.request()
            self.heard.append(json.loads(message.body))
            if self.heard[-1]["method"] == "tools/call":
                await link.gone()
                return
            await link.send(self._server._reply(message))

    def of(self, method: str) -> list[Any]:
        return [each for each in self.heard if each["method"] == method]

    async def is_called(self, times: int = 1) -> None:
        await eventually(lambda: len(self.of("tools/call")) == times, "the calls run", 45)

    def knows_all_are_over(self) -> bool:
        """Once each: two workers may use the same id, each in its own session."""
        asked = sorted(each["id"] for each in self.of("tools/call"))
        return asked == sorted(each["params"]["requestId"] for each in self.of(NOTE))


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
async def test_a_command_that_is_ended_cancels_its_call(
    tmp_path: Path, upstream: Upstream, number: int, code: int
) -> None:
    slow, config = Slow(upstream), tmp_path / "gateway.yaml"
    config.write_text(CALLS.format(url=upstream.url))
    command = [sys.executable, "-P", "-m", "gateway", "action", "call", "slow", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        await slow.is_called()
        began = monotonic()
        process.send_signal(number)
        output, _ = await asyncio.to_thread(process.communicate, timeout=15)
    finally:
        process.kill()
    assert (process.returncode, b"Traceback" in output) == (code, False), output
    assert monotonic() - began < 5
    assert slow.knows_all_are_over()


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("how", ["twice", "drained"])
async def test_workers_that_end_cancel_the_calls_that_they_cut(tmp_path: Path, upstream: Upstream, how: str) -> None:
    """By a second signal, or because the time of the drain is over."""
    slow = Slow(upstream)
    more = f"workers: 2\ndrain_timeout: {60 if how == 'twice' else 0.3}\n{CALLS.format(url=upstream.url)}"
    async with Deployment(tmp_path, more=more) as gateway:
        calls = [asyncio.create_task(gateway.call("POST", "/actions/slow/execute", {"input": {}})) for _ in range(4)]
        await slow.is_called(4)
        gateway.signal(signal.SIGTERM)
        if how == "twice":
            await eventually(lambda: "draining" in gateway.log.read_text(), "the drain", 15)
            gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0, gateway.log.read_text()
        await asyncio.gather(*calls, return_exceptions=True)
    assert slow.knows_all_are_over(), gateway.log.read_text()


@pytest.mark.covers("ACT-36")
async def test_a_gateway_of_one_process_cancels_the_calls_that_it_cuts(tmp_path: Path, upstream: Upstream) -> None:
    """Its front door for MCP makes the call."""
    slow, config, log = Slow(upstream), tmp_path / "gateway.yaml", tmp_path / "log"
    door = "mcp: [{name: tools, path: /mcp, access_rule: 'true'}]"
    settings = "listen: 127.0.0.1:0\ndrain_timeout: 0.2\naccess_log: null\n"
    config.write_text(settings + door + CALLS.format(url=upstream.url))
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "gateway", "run", "--config", str(config)]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path, env={**os.environ})
    try:
        await eventually(lambda: " on http://" in log.read_text(), "the greeting", 45)
        port = int(log.read_text().partition(" on http://127.0.0.1:")[2].split()[0].rstrip(";,/"))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow"}}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = "Host: a\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        writer.write(f"POST /mcp HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await slow.is_called()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
        writer.close()
        del reader
    finally:
        process.kill()
    assert slow.knows_all_are_over(), log.read_text()
