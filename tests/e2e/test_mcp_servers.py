"""Connections to real servers, which the SDKs of both eras make, through a whole gateway with two workers."""

from __future__ import annotations

import asyncio
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness.deployment import START, Deployment
from harness.mcp_peers import ERAS, client, server
from harness.patience import when

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


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("era", ERAS)
async def test_what_a_server_offers_becomes_actions(tmp_path: Path, era: str) -> None:
    """The commands list the tools of a real server, and make actions of them in a file and in the database."""
    more = 'connections: {{peer: {{kind: mcp, base_url: "{url}"}}, web: {{base_url: "{url}"}}}}'
    async with server(era, "plain") as url, Deployment(tmp_path, more=more.format(url=url)) as deployment:
        there = ["--server", deployment.admin, "--token", deployment.token]

        async def cli(*words: str, far: bool = False) -> Any:
            options = there if far else []
            if words[:2] == ("action", "import-mcp") and "--create" not in words:  # it writes to /dev/stdout
                return await asyncio.to_thread(deployment.cli, *words, *options, config=not far)
            return await deployment.here(*words, *options, config=not far)

        async def both(*words: str) -> Any:
            """The result of the command with either place, which is the same."""
            near, far = await cli(*words), await cli(*words, far=True)
            assert (near.returncode, near.stdout) == (far.returncode, far.stdout), near.stderr + far.stderr
            assert near.stderr == far.stderr
            return near

        listed = json.loads((await both("connection", "tools", "peer", "--json")).stdout)
        assert [each["name"] for each in listed["items"]] == ["add", "fail", "hold", "release", "tally"]
        assert listed["items"][0]["input_schema"]["required"] == ["a", "b"]
        shown = (await both("connection", "tools", "peer")).stdout.splitlines()
        assert [line.split() for line in shown[:2]] == [
            ["NAME", "INPUT", "DESCRIPTION"],
            ["add", "a", "b", "Add", "two", "numbers"],
        ]
        other = await both("connection", "tools", "web")
        assert (other.returncode, "the kind http, which has no tools" in other.stderr) == (2, True)

        written = await both("action", "import-mcp", "peer", "--only", "a*")
        assert (written.returncode, written.stderr) == (0, "1 action\n")
        assert written.stdout.startswith("actions:")
        deployment.write("[]", f"{more.format(url=url)}\n{written.stdout}")
        called = await cli("action", "call", "add", "--input", '{"a": 1, "b": 2}', "--output", "body-only")
        assert called.returncode == 0, called.stderr
        assert json.loads(called.stdout)["structuredContent"] == {"result": 3}
        wrong = await cli("action", "call", "add", "--input", '{"a": "x"}')
        assert wrong.returncode == 2
        none = await cli("action", "import-mcp", "peer", "--only", "z*")
        assert (none.returncode, "no tool that can be called" in none.stderr) == (2, True)

        deployment.write("[]", more.format(url=url))

        async def gone() -> bool:
            return (await deployment.call("GET", "/actions"))["items"] == []

        await when(gone, START, "the file without its action")
        dry = await both("action", "import-mcp", "peer", "--create", "--dry-run")
        trns = [f"trn:openact:default:action/mcp/{name}@v1" for name in ("add", "fail", "hold", "release", "tally")]
        assert dry.stdout.splitlines() == [f"+ {each}" for each in trns], dry.stderr
        done = await cli("action", "import-mcp", "peer", "--create", far=True)
        assert (done.returncode, done.stdout) == (0, dry.stdout), done.stderr
        called = await execute(deployment, "add", a=20, b=22)
        assert called["body"]["structuredContent"] == {"result": 42}
        again = await both("action", "import-mcp", "peer", "--create")
        assert (again.returncode, "so that nothing was changed" in again.stderr) == (3, True)
        for words in (("--create", "--output", "x.yaml"), ("--dry-run",)):
            assert (await cli("action", "import-mcp", "peer", *words)).returncode == 2
