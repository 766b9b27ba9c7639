"""The list of the tools of a server that a script plays: its pages, and what is no list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.answers import answer
from harness.mcp_script import NEWER, OLDER, Server, error, peer, result
from harness.upstream import Upstream, refused_url

from gateway.actions.tool_list import MOST_PAGES

TOOLS: list[dict[str, Any]] = [{"name": name, "inputSchema": {"type": "object"}} for name in ("a", "b", "c")]


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("era", [OLDER, NEWER])
async def test_all_pages_are_one_list(upstream: Upstream, era: dict[str, Any]) -> None:
    pages = [
        result({"tools": TOOLS[:1], "nextCursor": "p2"}),
        result({"tools": TOOLS[1:2], "nextCursor": ""}),
        result({"tools": TOOLS[2:], "resultType": "complete"}),
    ]
    server = Server(upstream, **era, tools__list=pages)
    async with peer(upstream.url) as made:
        called = await made.tools()
        assert (called["failure"], called["status"], called["action"]) == (
            None,
            200,
            "trn:openact:default:connection/mcp/peer@v1",
        )
        assert json.loads(called["body"]) == {"tools": TOOLS}
        assert server.methods[-3:] == ["tools/list"] * 3
        seen = upstream.requests[-3:]
        cursors = [json.loads(each.body).get("params", {}).get("cursor") for each in seen]
        assert cursors == [None, "p2", ""], "an empty cursor names a page too"
        assert all(each.get("authorization") == b"Bearer t" and each.get("x-a") == b"b" for each in seen)
        assert "c" not in json.loads(seen[0].body), "the body of the connection is no part of a message"


async def test_a_session_that_is_lost_between_two_pages_is_made_again(upstream: Upstream) -> None:
    pages = [result({"tools": TOOLS[:1], "nextCursor": "2"}), answer(status=404), result({"tools": TOOLS[1:]})]
    server = Server(upstream, **OLDER, tools__list=pages)
    async with peer(upstream.url) as made:
        assert json.loads((await made.tools())["body"]) == {"tools": TOOLS}
        assert server.methods.count("initialize") == 2


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ({"tools": None}, "no list of tools"),
        ({}, "no list of tools"),
        ({"tools": [{"name": 1}]}, "no list of tools"),
        ({"tools": ["a"]}, "no list of tools"),
        ({"tools": [], "nextCursor": 5}, "that it has given before"),
        ({"tools": [], "nextCursor": "same"}, "that it has given before"),
    ],
)
async def test_what_is_no_list_of_tools(upstream: Upstream, page: dict[str, Any], says: str) -> None:
    Server(upstream, **NEWER, tools__list=result(page))
    async with peer(upstream.url) as made:
        for _ in range(3):  # it teaches the breaker, which opens after two failures, nothing
            failure = (await made.tools())["failure"]
            assert failure is not None
            assert (failure["status"], failure["code"]) == (502, "upstream_bad_response")
            assert says in failure["message"]


async def test_a_list_without_an_end_ends(upstream: Upstream) -> None:
    pages = [result({"tools": [], "nextCursor": str(number)}) for number in range(MOST_PAGES)]
    server = Server(upstream, **NEWER, tools__list=pages)
    async with peer(upstream.url) as made:
        failure = (await made.tools())["failure"]
        assert failure is not None
        assert f"more than {MOST_PAGES} pages" in failure["message"]
        assert server.methods.count("tools/list") == MOST_PAGES


async def test_all_pages_together_have_the_bytes_of_one_response(upstream: Upstream) -> None:
    tool = {"name": "a", "description": "x" * 600}
    pages = [result({"tools": [tool], "nextCursor": "2"}), result({"tools": [tool]})]
    Server(upstream, **NEWER, tools__list=pages)
    async with peer(upstream.url, ", max_response_bytes: 1000") as made:
        failure = (await made.tools())["failure"]
        assert failure is not None
        assert (failure["code"], "max_response_bytes" in failure["message"]) == ("answer_too_large", True)


@pytest.mark.parametrize(
    ("reply", "status"), [(answer(b"who are you", status=401), 401), (error(-32601, 404), 400), (error(-32603), 502)]
)
async def test_an_error_of_the_server_is_its_response(upstream: Upstream, reply: bytes, status: int) -> None:
    Server(upstream, **NEWER, tools__list=reply)
    async with peer(upstream.url) as made:
        called = await made.tools()
        assert (called["failure"], called["status"]) == (None, status)


async def test_it_passes_breaker_and_deadline_as_other_calls_do(upstream: Upstream) -> None:
    async with peer(refused_url()) as made:
        failures = [(await made.tools())["failure"] for _ in range(3)]
        assert [each and each["code"] for each in failures] == ["dial_failed", "dial_failed", "breaker_open"]
    async with peer(upstream.url) as made:
        failure = (await made.tools(timeout=0.05))["failure"]
        assert failure is not None
        assert failure["code"] == "total_timeout"


async def test_a_dry_run_sends_nothing(upstream: Upstream) -> None:
    async with peer(upstream.url) as made:
        planned = (await made.tools(dry_run=True))["planned"]
        assert planned is not None
        assert (planned["method"], planned["url"]) == ("POST", f"{upstream.url}/mcp")
        assert json.loads(planned["body"])["method"] == "tools/list"
        assert "Bearer t" not in json.dumps(planned)
        assert not upstream.requests


async def test_other_connections_have_no_tools(upstream: Upstream) -> None:
    more = f"}}\n  web: {{base_url: '{upstream.url}'"
    async with peer(upstream.url, more) as made:
        failure = (await made.tools("web"))["failure"]
        assert failure is not None
        assert (failure["status"], failure["code"]) == (400, "validation.no_tools")
        assert "of the kind http, which has no tools; name one of the kind mcp" in failure["message"]
        assert not upstream.requests
