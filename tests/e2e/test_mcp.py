"""The front door as the SDKs of both eras of the protocol use it: a whole gateway with two workers."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness.answers import answer
from harness.deployment import Deployment
from harness.mcp_peers import ERAS, client
from harness.patience import eventually
from harness.upstream import Link, Upstream

pytestmark = pytest.mark.timeout(240)

SECRET = "shop-token-7731-planted"
FILE = """\
    workers: 2
    connections:
      shop:
        base_url: {url}
        auth: {{type: bearer, token: "${{SHOP_TOKEN}}"}}
        max_concurrent: 5
        retry: once
    actions:
      find-order:
        connection: shop
        path: /orders/{{id}}
        description: Find an order
        parameters: [{{name: id, type: integer, required: true}}]
      slow: {{connection: shop, path: /slow}}
      missing: {{connection: shop, path: /missing}}
      delete-order: {{connection: shop, method: DELETE, path: "/orders/{{id}}"}}
    mcp:
      - name: tools
        path: /mcp
        access_rule: "true"
        rules: [{{actions: ["delete-*"], access_rule: ""}}]
    """


class Shop:
    """Responds to /slow when it is let go."""

    def __init__(self, upstream: Upstream) -> None:
        self.held = 0
        self.let_go = asyncio.Event()
        upstream.behaviour = self._serve

    async def _serve(self, link: Link) -> None:
        while True:
            message = await link.request()
            if message.target == b"/slow":
                self.held += 1
                await self.let_go.wait()
            if message.target == b"/missing":
                await link.send(answer(b"no such order", "Content-Type: text/plain", status=404))
            else:
                body = json.dumps({"target": message.target.decode()}).encode()
                await link.send(answer(body, "Content-Type: application/json"))


def served(folder: Path, upstream: Upstream) -> Deployment:
    deployment = Deployment(folder, more=textwrap.dedent(FILE).format(url=upstream.url))
    deployment.env["SHOP_TOKEN"] = SECRET
    return deployment


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def names(result: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in result["tools"]]


@pytest.mark.covers("ACT-40")
async def test_a_real_client_lists_and_calls(tmp_path: Path, upstream: Upstream, era: str) -> None:
    Shop(upstream)
    steps: list[dict[str, Any]] = [
        {"list": True},
        {"call": "find-order", "arguments": {"id": 7}},
        {"call": "find-order", "arguments": {"id": "seven"}},
        {"call": "missing"},
        {"call": "delete-order", "arguments": {"id": "7"}},
    ]
    async with served(tmp_path, upstream) as deployment:
        told = await client(era, f"{deployment.url}/mcp", steps)
        listed, found, wrong, missing, hidden = told["results"]
        assert told["version"] == ERAS[era]
        assert names(listed) == ["find-order", "missing", "slow"]
        (tool,) = [each for each in listed["tools"] if each["name"] == "find-order"]
        assert (tool["description"], tool["inputSchema"]["required"]) == ("Find an order", ["id"])
        assert tool["annotations"]["readOnlyHint"] is True
        assert (found["isError"], found["structuredContent"]) == (False, {"target": "/orders/7"})
        assert wrong["isError"] is True
        assert "\n- id: " in wrong["content"][0]["text"]
        assert missing["isError"] is True
        assert [each["text"] for each in missing["content"]] == [
            "The service responded with status 404.",
            "no such order",
        ]
        assert hidden == {"error": -32602, "message": "Unknown tool: delete-order"}
        await _is_logged(deployment, found["_meta"]["requestId"])
        assert SECRET not in json.dumps(told)


async def _is_logged(deployment: Deployment, request_id: str) -> None:
    """The request of the client and the call that it caused are known by one id."""
    log = deployment.folder / "access.log"

    def proxies() -> set[str]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return {line["proxy_name"] for line in lines if line["request_id"] == request_id}

    await eventually(lambda: proxies() == {"mcp/tools", "action/find-order"}, "both lines of the log")
    text = deployment.log.read_text() + log.read_text()
    assert SECRET not in text


@pytest.mark.covers("ACT-39", "ACT-40")
async def test_the_list_differs_by_the_caller(tmp_path: Path, upstream: Upstream, era: str) -> None:
    Shop(upstream)
    steps = [{"list": True}, {"call": "delete-order", "arguments": {"id": "7"}}]
    async with served(tmp_path, upstream) as deployment:
        listed, deleted = (await client(era, f"{deployment.url}/mcp", steps, deployment.token))["results"]
        assert names(listed) == ["delete-order", "find-order", "missing", "slow"]
        assert deleted["structuredContent"] == {"target": "/orders/7"}
        (seen,) = upstream.requests
        assert seen.method == b"DELETE"
        assert seen.get("authorization") == f"Bearer {SECRET}".encode(), "and not what the caller has sent"


@pytest.mark.covers("ACT-40")
async def test_five_calls_at_once_and_a_sentence_for_the_sixth(tmp_path: Path, upstream: Upstream, era: str) -> None:
    shop = Shop(upstream)
    async with served(tmp_path, upstream) as deployment:
        log = deployment.folder / "access.log"
        asking = asyncio.create_task(client(era, f"{deployment.url}/mcp", [{"together": [{"call": "slow"}] * 10}]))
        await eventually(lambda: log.read_text().count('"reason":"concurrency_limit"') == 5, "five refusals", 60)
        shop.let_go.set()
        (results,) = (await asking)["results"]
        good = [each for each in results if not each["isError"]]
        refused = [each for each in results if each["isError"]]
        assert (len(good), len(refused), shop.held) == (5, 5, 5)
        for each in refused:
            sentence = r"This tool is at its limit of 5 calls at once; try again in (\d+) s\."
            found = re.fullmatch(sentence, each["content"][0]["text"])
            assert found
            assert each["_meta"]["retryAfter"] == int(found[1])
            assert each["_meta"]["reason"] == "concurrency_limit"


@pytest.mark.covers("ACT-39")
async def test_the_limit_of_all_calls_binds_api_and_front_door_of_all_workers(
    tmp_path: Path, upstream: Upstream
) -> None:
    shop = Shop(upstream)
    more = "governance: {max_concurrent: 3}\n" + textwrap.dedent(FILE).format(url=upstream.url)
    deployment = Deployment(tmp_path, more=more.replace("max_concurrent: 5\n", "max_concurrent: 50\n"))
    deployment.env["SHOP_TOKEN"] = SECRET
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow"}}
    fields = {"Accept": "application/json, text/event-stream"}

    async def by_the_door() -> str:
        async with deployment.session.post(f"{deployment.url}/mcp", json=call, headers=fields) as response:
            result = (await response.json())["result"]
        return str(result["content"][0]["text"]) if result["isError"] else ""

    async def by_the_api() -> str:
        path, token = f"{deployment.admin}/api/gateway/actions/slow/execute", f"Bearer {deployment.token}"
        async with deployment.session.post(path, json={"input": {}}, headers={"Authorization": token}) as response:
            text = await response.text()
        assert (response.status == 200) or int(response.headers["Retry-After"]) >= 1
        return "" if response.status == 200 else text

    async with deployment:
        calls = [asyncio.create_task(work()) for work in (by_the_door, by_the_api) * 5]
        await eventually(lambda: sum(each.done() for each in calls) == 7, "seven are refused")
        assert shop.held == 3
        shop.let_go.set()
        found = [each for each in await asyncio.gather(*calls) if each]
        assert len(found) == 7
        assert all("3 calls run, which is governance.max_concurrent" in each for each in found), found
        assert [await by_the_door(), await by_the_api()] == ["", ""]
