"""Front doors over real sockets, between raw clients and a scripted upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness.answers import answer, each_request
from harness.client import Client, code_of, request
from harness.message import Message
from harness.patience import eventually
from harness.upstream import Link, Upstream, refused_url

from gateway.actions import eras
from gateway.app import Gateway
from gateway.config import load
from gateway.mcp.door import PAGE

FILE = """
listen: 127.0.0.1:0
access_log: null
connections:
  shop: {{base_url: {url}, retry: once, max_concurrent: 5, timeout_ms: 5000,
          circuit_breaker: {{enabled: true, failure_threshold: 3, recovery_timeout: 60}}}}
  theirs: {{base_url: {url}, tenant: other}}
actions:
  find: {{connection: shop, path: "/orders/{{id}}", parameters: [{{name: id, type: integer, required: true}}]}}
  slow: {{connection: shop, path: /slow}}
  delete: {{connection: shop, method: DELETE, path: "/orders/{{id}}"}}
  secret: {{connection: theirs, path: /}}
mcp:
  - {{name: tools, path: /mcp, access_rule: "true", rules: [{{actions: [delete], access_rule: "false"}}],
      origins: ["https://app.example"], instructions: Orders., max_body_bytes: 2048{more}}}
"""
JSON = "Content-Type: application/json"
MODERN = "MCP-Protocol-Version: 2026-07-28"
META = {eras.VERSION_KEY: "2026-07-28", eras.CAPABILITIES_KEY: {}}


class Door:
    """A gateway with one front door, and what its clients say and get."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def send(self, body: bytes, *lines: str, method: str = "POST", path: str = "/mcp") -> Message:
        client = await Client.connect(self.gateway.addresses[0])
        try:
            return await client.ask(path, *(lines or (JSON,)), method=method, body=body)
        finally:
            client.close()

    async def ask(self, method: str, modern: bool = False, **params: Any) -> dict[str, Any]:
        """The response to a request that is good."""
        message = await self.said(method, modern=modern, **params)
        assert message.status == 200, message.body
        return dict(json.loads(message.body))

    async def said(self, method: str, modern: bool = False, **params: Any) -> Message:
        lines = [JSON]
        if modern:
            params["_meta"] = META
            lines += [MODERN, f"Mcp-Method: {method}"]
            lines += [f"Mcp-Name: {params['name']}"] if "name" in params else []
        return await self.send(written(method, **params), *lines)

    async def call(self, name: str, **given: Any) -> dict[str, Any]:
        return dict((await self.ask("tools/call", name=name, arguments=given))["result"])

    async def names(self) -> list[str]:
        return [tool["name"] for tool in (await self.ask("tools/list"))["result"]["tools"]]


def written(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


def text_of(result: dict[str, Any]) -> str:
    return str(result["content"][0]["text"])


def file(url: str, more: str = "") -> str:
    return FILE.format(url=url, more=more)


@asynccontextmanager
async def opened(text: str) -> AsyncIterator[Door]:
    async with Gateway(load.parse(text, "yaml", "f", {})) as gateway:
        yield Door(gateway)
        await eventually(lambda: gateway.exchanges == 0, "no live exchange")


def orders(message: Message) -> bytes:
    return answer(b'{"path": "%b"}' % message.target, "Content-Type: application/json")


@pytest.fixture
def shop(upstream: Upstream) -> Upstream:
    upstream.behaviour = each_request(orders)
    return upstream


@pytest.mark.covers("ACT-40")
async def test_the_older_era_begins_with_initialize(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        for wanted, spoken in (("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-11-25"), (None, "2025-11-25")):
            result = (await door.ask("initialize", protocolVersion=wanted))["result"]
            assert result["protocolVersion"] == spoken
        assert result["serverInfo"]["name"] == "tools"
        assert (result["capabilities"], result["instructions"]) == ({"tools": {}}, "Orders.")
        assert await door.ask("ping") == {"jsonrpc": "2.0", "id": 7, "result": {}}
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        message = await door.send(note, JSON, "MCP-Protocol-Version: 2025-11-25")
        assert (message.status, message.body) == (202, b"")
        assert message.get("mcp-session-id") is None


@pytest.mark.covers("ACT-40")
async def test_the_newer_era_discovers_and_says_how_long_to_keep_what_it_gets(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        found = (await door.ask("server/discover", modern=True))["result"]
        assert found["supportedVersions"] == ["2026-07-28"]
        listed = (await door.ask("tools/list", modern=True))["result"]
        for result in (found, listed):
            assert (result["resultType"], result["cacheScope"], result["ttlMs"]) == ("complete", "private", 5000)
            assert result["_meta"][eras.SERVER_KEY]["name"] == "tools"
        called = (await door.ask("tools/call", modern=True, name="find", arguments={"id": 1}))["result"]
        assert (called["resultType"], called["structuredContent"]) == ("complete", {"path": "/orders/1"})


@pytest.mark.covers("ACT-40")
async def test_a_tool_is_called_and_its_response_is_its_result(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        result = await door.call("find", id=7)
        assert (result["isError"], result["structuredContent"]) == (False, {"path": "/orders/7"})
        assert text_of(result) == '{"path": "/orders/7"}'
        (seen,) = shop.requests
        assert (seen.method, seen.target) == (b"GET", b"/orders/7")


@pytest.mark.covers("ACT-39", "ACT-40")
async def test_only_what_a_caller_may_call_is_listed_and_called(shop: Upstream) -> None:
    async with opened(file(shop.url, ', deny: ["slow"]')) as door:
        assert await door.names() == ["find"]
        for name in ("delete", "slow", "secret", "nothing"):
            error = (await door.ask("tools/call", name=name, arguments={"id": "1"}))["error"]
            assert error == {"code": eras.INVALID_PARAMS, "message": f"Unknown tool: {name}"}
        assert not shop.requests


async def test_wrong_input_is_told_by_its_place(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        result = await door.call("find", id="seven")
        assert result["isError"] is True
        assert "\n- id: " in text_of(result)
        assert result["_meta"]["reason"] == "validation.invalid_input"
        assert not shop.requests


class Held:
    """An upstream that responds when it is let go."""

    def __init__(self, upstream: Upstream) -> None:
        self.let_go = asyncio.Event()
        self.links: list[Link] = []
        upstream.behaviour = self._serve

    async def _serve(self, link: Link) -> None:
        await link.request()
        self.links.append(link)
        await self.let_go.wait()
        await link.send(answer(b"done"))


@pytest.mark.covers("ACT-40")
async def test_a_limit_is_told_in_words_and_teaches_no_breaker(upstream: Upstream) -> None:
    held = Held(upstream)
    async with opened(file(upstream.url)) as door:
        running = [asyncio.create_task(door.call("slow")) for _ in range(5)]
        await eventually(lambda: len(held.links) == 5, "five calls")
        for _ in range(4):
            result = await door.call("slow")
            again = result["_meta"]["retryAfter"]
            assert again >= 1
            assert text_of(result) == f"This tool is at its limit of 5 calls at once; try again in {again} s."
            assert (result["isError"], result["_meta"]["reason"]) == (True, "concurrency_limit")
        held.let_go.set()
        assert [text_of(result) for result in await asyncio.gather(*running)] == ["done"] * 5


async def test_an_open_breaker_and_a_failed_connection_are_told(upstream: Upstream) -> None:
    async with opened(file(refused_url())) as door:
        for _ in range(3):
            result = await door.call("slow")
            assert (result["isError"], result["_meta"]["reason"]) == (True, "dial_failed")
        result = await door.call("slow")
        assert result["_meta"]["reason"] == "breaker_open"
        assert text_of(result).startswith("This tool is paused, because the service behind it has failed several times")
        assert not upstream.requests


async def test_the_time_of_a_call_is_told(upstream: Upstream) -> None:
    Held(upstream)
    text = file(upstream.url).replace("timeout_ms: 5000", "timeout_ms: 50")
    async with opened(text) as door:
        result = await door.call("slow")
        assert text_of(result) == "The call took longer than its 0.05 s."
        assert result["_meta"]["reason"] == "total_timeout"


async def test_limits_of_the_door_itself_are_told_in_the_words_of_its_protocol(upstream: Upstream) -> None:
    held = Held(upstream)
    async with opened(file(upstream.url, ", max_concurrent: 1")) as door:
        running = asyncio.create_task(door.call("slow"))
        await eventually(lambda: len(held.links) == 1, "one call")
        result = await door.call("slow")
        assert text_of(result).startswith("This server is at its limit of 1 call at once; try again in ")
        message = await door.said("tools/list")
        assert (message.status, code_of(message)) == (429, "concurrency_limit")
        shown = door.gateway.explain("mcp/tools")
        assert shown is not None
        assert (shown["verdict"], shown["reason"], shown["active_count"]) == ("refuse", "concurrency_limit", 1)
        held.let_go.set()
        assert text_of(await running) == "done"


@pytest.mark.covers("ACT-39")
async def test_calls_at_a_door_are_counted_by_the_governance(upstream: Upstream) -> None:
    held = Held(upstream)
    async with opened(file(upstream.url) + "governance: {max_concurrent: 2}\n") as door:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(door.call("slow")) for _ in range(2)]
            await eventually(lambda: len(held.links) == 2, "two calls run")
            refused = await door.call("slow")
            assert refused["isError"] is True
            assert text_of(refused).startswith("2 calls run, which is governance.max_concurrent; call again")
            assert (refused["_meta"]["reason"], refused["_meta"]["retryAfter"] >= 1) == ("concurrency_limit", True)
            held.let_go.set()
        assert [text_of(task.result()) for task in running] == ["done"] * 2


async def test_a_rate_limit_of_the_door(shop: Upstream) -> None:
    async with opened(file(shop.url, ", rate_limits: [{key: client, rate: 1, per: 3600}]")) as door:
        message = await door.said("tools/call", name="find", arguments={"id": 1})
        assert message.get("ratelimit") is not None
        result = await door.call("find", id=1)
        assert (result["isError"], result["_meta"]["reason"]) == (True, "rate_limit")
        assert text_of(result).startswith("This server is called too often (")


async def test_a_client_that_leaves_ends_the_call(upstream: Upstream) -> None:
    held = Held(upstream)
    async with opened(file(upstream.url)) as door:
        client = await Client.connect(door.gateway.addresses[0])
        await client.send(request("/mcp", JSON, method="POST", body=written("tools/call", name="slow")))
        await eventually(lambda: len(held.links) == 1, "the call")
        client.close()
        assert await held.links[0].rest() == b""
        await eventually(lambda: door.gateway.exchanges == 0, "no live exchange")


@pytest.mark.parametrize(
    ("lines", "body", "method", "status"),
    [
        ((), b"", "GET", 405),
        ((), b"", "DELETE", 405),
        (("Content-Type: text/plain",), b"{}", "POST", 415),
        ((JSON, "Accept: text/html"), b"{}", "POST", 406),
        ((JSON,), b"{", "POST", 400),
        ((JSON,), b"[]", "POST", 400),
        ((JSON, "MCP-Protocol-Version: 2099-01-01"), written("ping"), "POST", 400),
        ((JSON, MODERN), written("ping"), "POST", 400),
    ],
)
async def test_what_is_no_request_of_the_protocol(
    shop: Upstream, lines: tuple[str, ...], body: bytes, method: str, status: int
) -> None:
    async with opened(file(shop.url)) as door:
        message = await door.send(body, *lines, method=method)
        assert message.status == status
        assert message.get("content-type") == b"application/json"
        assert json.loads(message.body)["error"]["code"] < 0
        assert (message.get("allow") == b"POST") is (status == 405)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("resources/list", {}, eras.METHOD_NOT_FOUND),
        ("server/discover", {}, eras.METHOD_NOT_FOUND),
        ("tools/call", {}, eras.INVALID_PARAMS),
        ("tools/call", {"name": 1}, eras.INVALID_PARAMS),
        ("tools/call", {"name": "find", "arguments": []}, eras.INVALID_PARAMS),
        ("tools/list", {"cursor": "*"}, eras.INVALID_PARAMS),
        ("tools/list", {"cursor": 1}, eras.INVALID_PARAMS),
        ("tools/list", {"cursor": "_w=="}, eras.INVALID_PARAMS),
    ],
)
async def test_errors_of_json_rpc(shop: Upstream, method: str, params: dict[str, Any], code: int) -> None:
    async with opened(file(shop.url)) as door:
        response = await door.ask(method, **params)
        assert (response["id"], response["error"]["code"]) == (7, code)


async def test_an_unknown_method_of_the_newer_era_is_404_and_says_what_is_spoken(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        message = await door.said("initialize", modern=True)
        assert message.status == 404
        assert "2025-11-25" in json.loads(message.body)["error"]["message"]


async def test_a_page_that_is_not_listed_may_not_call(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        host = f"127.0.0.1:{door.gateway.addresses[0][1]}"
        for origin in ("https://evil.example", "null", f"http://{host}", "https://app.example, https://evil.example"):
            message = await door.send(written("ping"), JSON, f"Origin: {origin}")
            assert (message.status, code_of(message)) == (403, "forbidden")
        assert (await door.send(written("ping"), JSON, "Origin: https://App.example")).status == 200


@pytest.mark.parametrize("framing", [(), ("Transfer-Encoding: chunked",)])
async def test_a_body_has_a_bound(shop: Upstream, framing: tuple[str, ...]) -> None:
    async with opened(file(shop.url)) as door:
        body = b"x" * 2049
        message = await door.send(b"801\r\n%b\r\n0\r\n\r\n" % body if framing else body, JSON, *framing)
        assert (message.status, code_of(message)) == (413, "body_too_large")


async def test_strangers_are_turned_away_before_anything_is_read(shop: Upstream) -> None:
    text = file(shop.url).replace('access_rule: "true"', 'access_rule: ""')
    async with opened(text) as door:
        message = await door.send(b"{", JSON)
        assert (message.status, code_of(message)) == (401, "unauthenticated")
        assert message.get("www-authenticate") is not None


async def test_many_tools_come_in_pages(shop: Upstream) -> None:
    more = "".join(f"  t{number:03}: {{connection: shop, path: /}}\n" for number in range(2 * PAGE))
    text = file(shop.url).replace("mcp:\n", more + "mcp:\n")
    async with opened(text) as door:
        names, cursor, pages = list[str](), dict[str, str](), 0
        while True:
            result = (await door.ask("tools/list", **cursor))["result"]
            names += [tool["name"] for tool in result["tools"]]
            pages += 1
            if "nextCursor" not in result:
                break
            cursor = {"cursor": result["nextCursor"]}
        assert pages == 3
        assert names == sorted({"find", "slow", *(f"t{number:03}" for number in range(2 * PAGE))})


async def test_a_reload_changes_the_tools(shop: Upstream) -> None:
    async with opened(file(shop.url)) as door:
        assert await door.names() == ["find", "slow"]
        text = file(shop.url).replace("  slow:", "  quick:")
        await door.gateway.reload(load.parse(text, "yaml", "f", {}))
        assert await door.names() == ["find", "quick"]
        await door.gateway.reload(
            load.parse(text.replace("name: tools", "active: false, name: tools"), "yaml", "f", {})
        )
        assert (await door.send(written("ping"))).status == 404


async def test_deep_structure_is_text_alone(upstream: Upstream) -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    upstream.behaviour = each_request(lambda _: answer(deep, "Content-Type: application/json"))
    async with opened(file(upstream.url)) as door:
        result = await door.call("slow")
        assert (text_of(result), "structuredContent" in result) == (deep.decode(), False)
