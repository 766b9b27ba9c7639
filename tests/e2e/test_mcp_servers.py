"""Connections to real servers, which the SDKs of both eras make, through a whole gateway with two workers."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness.deployment import Deployment
from harness.mcp_peers import ERAS, client, server

pytestmark = pytest.mark.timeout(240)

FILE = """\
    workers: 2
    connections:
      peer: {{kind: mcp, base_url: "{url}", retry: once, circuit_breaker: {{enabled: true, failure_threshold: 2}}}}
    actions:
      add:
        connection: peer
        tool: add
        parameters: [{{name: a, type: integer, required: true}}, {{name: b, type: integer, required: true}}]
      fail: {{connection: peer, tool: fail}}
      nothing: {{connection: peer, tool: nothing}}
    mcp: [{{name: tools, path: /mcp, access_rule: "true"}}]
    """


async def execute(deployment: Deployment, action: str, **given: object) -> Any:
    return await deployment.call("POST", f"/actions/{action}/execute", {"input": given})


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("how", ["plain", "events"])
@pytest.mark.parametrize("era", ERAS)
async def test_tools_of_a_real_server(tmp_path: Path, era: str, how: str) -> None:
    async with (
        server(era, how) as url,
        Deployment(tmp_path, more=textwrap.dedent(FILE).format(url=url)) as deployment,
    ):
        for number in range(6):  # by both workers, each with a session of its own
            called = await execute(deployment, "add", a=number, b=1)
            assert (called["status"], called["body"]["structuredContent"]) == (200, {"result": number + 1})
        for name, words in (("fail", "no stock"), ("nothing", "nothing")) * 3:
            called = await execute(deployment, name)
            assert called["status"] in (400, 422)
            assert words in json.dumps(called["body"])
        assert (await execute(deployment, "add", a=2, b=2))["status"] == 200, "the breaker has learnt nothing of that"
        steps = [{"call": "add", "arguments": {"a": 3, "b": 4}}, {"call": "fail"}]
        added, failed = (await client(era, f"{deployment.url}/mcp", steps))["results"]
        assert (added["isError"], json.loads(added["content"][0]["text"])["structuredContent"]) == (
            False,
            {"result": 7},
        )
        assert failed["isError"] is True
        assert "no stock" in failed["content"][-1]["text"]
