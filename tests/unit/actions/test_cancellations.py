"""Calls of servers of MCP that end early, over real sockets: what the server gets to know of it."""

from __future__ import annotations

import asyncio
import json
from time import monotonic
from typing import Any

import pytest
from harness.answers import chunk, head
from harness.mcp_script import BEGUN, DONE, FILE, NEWER, NOTED, OLDER, Peer, Server, peer, result
from harness.patience import eventually
from harness.upstream import Link, Upstream

from gateway import errors
from gateway.actions import cancellations
from gateway.actions.call import Prepared
from gateway.actions.cancellations import LAST_SECONDS, MOST, SECONDS, Cancellations, cancellation, ended_here
from gateway.actions.tool_messages import Session
from gateway.app import Gateway
from gateway.config import load
from gateway.errors import GatewayError
from gateway.proxy import bounded

NOTE = "notifications/cancelled"
BRIEF = {"timeout": 0.3}


class Holding:
    """A server whose tool does not end, unless ``tool`` is its response. ``noted``: its response to a cancellation;
    None: it gives none."""

    def __init__(self, upstream: Upstream, era: dict[str, Any], noted: bytes | None = NOTED) -> None:
        replies = {} if noted is None else {"notifications__cancelled": noted}
        self.server = Server(upstream, **era, **replies)
        self.sent: list[Any] = []
        self.tool: bytes | None = None
        self._noted = noted
        upstream.behaviour = self

    async def __call__(self, link: Link) -> None:
        while True:
            message = await link.request()
            sent = json.loads(message.body)
            self.sent.append(sent)
            silent = self.tool is None if sent["method"] == "tools/call" else sent["method"] == NOTE and not self._noted
            if silent:
                await link.gone()
                return
            if sent["method"] == "tools/call" and self.tool is not None:
                self.server.replies["tools/call"] = self.tool
            await link.send(self.server._reply(message))

    def of(self, method: str) -> list[Any]:
        return [each for each in self.sent if each["method"] == method]


async def idle(made: Peer) -> None:
    await eventually(lambda: made.gateway.exchanges == 0, "nothing runs")


@pytest.mark.covers("ACT-36")
async def test_a_server_of_the_older_era_reads_that_the_time_of_a_call_is_over(upstream: Upstream) -> None:
    holding = Holding(upstream, OLDER)
    async with peer(upstream.url) as made:
        called = await made.call(**BRIEF)
        assert called["failure"] is not None
        assert called["failure"]["code"] == "total_timeout"
        await eventually(lambda: holding.of(NOTE) != [], "the server reads it")
        (asked,), (note,) = holding.of("tools/call"), holding.of(NOTE)
        assert note["params"]["requestId"] == asked["id"]
        assert "id" not in note
        seen = upstream.requests[-1]
        for name, value in (("mcp-session-id", b"s1"), ("mcp-protocol-version", b"2025-11-25"), ("x-a", b"b")):
            assert seen.get(name) == value
        await idle(made)


async def test_a_caller_who_leaves_ends_it_and_the_next_call_has_its_permit(upstream: Upstream) -> None:
    holding = Holding(upstream, OLDER, noted=None)
    text = FILE.replace("max_concurrent: 5", "max_concurrent: 1").format(url=upstream.url, more="")
    made = Peer(Gateway(load.parse(text, "yaml", "f", {})))
    await made.gateway.start()
    caller = asyncio.create_task(made.call())
    await eventually(lambda: holding.of("tools/call") != [], "the call runs")
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: holding.of(NOTE) != [], "the server reads it, and does not respond")
    holding.tool = result(DONE)
    called = await made.call()
    assert (called["failure"], called["status"]) == (None, 200)
    await made.gateway.aclose()
    assert made.gateway.exchanges == 0, "what is being sent ends with the gateway"


@pytest.mark.parametrize("noted", [None, NOTED])
@pytest.mark.parametrize("scope", ["endpoint", "upstream"])
async def test_what_becomes_of_it_teaches_no_breaker(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, noted: bytes | None, scope: str
) -> None:
    monkeypatch.setattr(cancellations, "SECONDS", 0.05)
    holding = Holding(upstream, OLDER, noted=noted)
    text = FILE.replace("enabled: true", f"enabled: true, scope: {scope}").format(url=upstream.url, more="")
    made = Peer(Gateway(load.parse(text, "yaml", "f", {})))
    async with made.gateway:
        assert (await made.call(**BRIEF))["failure"] is not None
        await eventually(lambda: holding.of(NOTE) != [], "the server reads it, and does not respond")
        await idle(made)
        explained = made.gateway.explain("connection/peer")
        assert explained is not None
        assert explained["breaker"] is not None
        assert (explained["breaker"]["state"], explained["breaker"]["failures"]) == ("closed", 1)


async def test_it_has_an_id_of_its_own(upstream: Upstream) -> None:
    """That of the call leads to the line of the call."""
    holding = Holding(upstream, OLDER)
    async with peer(upstream.url) as made:
        await made.call(request_id="mine", **BRIEF)
        await eventually(lambda: holding.of(NOTE) != [], "the server reads it")
        ids = {each.get("x-request-id"): json.loads(each.body)["method"] for each in upstream.requests}
        assert ids[b"mine"] == "tools/call"
        await idle(made)


@pytest.mark.parametrize("ends", ["not at all", "too early"])
async def test_a_response_that_is_there_is_the_result_however_the_stream_ends(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(bounded, "GRACE", 60.0)
    holding = Holding(upstream, OLDER)
    served = holding.server._reply

    async def reply(link: Link) -> None:
        while True:
            message = await link.request()
            sent = json.loads(message.body)
            if sent["method"] != "tools/call":
                await link.send(served(message))
                continue
            await link.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
            await link.send(chunk(b'data: {"jsonrpc":"2.0","id":%d,"result":{"content":[]}}\n\n' % sent["id"]))
            if ends == "not at all":
                await link.gone()
            return

    upstream.behaviour = reply
    async with peer(upstream.url) as made:
        called = await made.call(timeout=0.5)
        assert called["failure"] is None, called
        assert json.loads(called["body"]) == {"content": []}
        assert all(json.loads(each.body)["method"] != NOTE for each in upstream.requests)
        await idle(made)


@pytest.mark.parametrize("noted", [None, NOTED])
async def test_a_gateway_that_ends_cancels_what_it_cuts_within_a_second(
    upstream: Upstream, noted: bytes | None
) -> None:
    holding = Holding(upstream, OLDER, noted=noted)
    made = Peer(Gateway(load.parse(FILE.format(url=upstream.url, more=""), "yaml", "f", {})))
    await made.gateway.start()
    calls = [asyncio.create_task(made.call()) for _ in range(3)]
    await eventually(lambda: len(holding.of("tools/call")) == 3, "the calls run")
    began = monotonic()
    await made.gateway.aclose()
    assert monotonic() - began < LAST_SECONDS + 0.5
    ids = {each["params"]["requestId"] for each in holding.of(NOTE)}
    assert ids == {each["id"] for each in holding.of("tools/call")}
    failures = [called["failure"] for called in await asyncio.gather(*calls)]
    assert [failure and failure["code"] for failure in failures] == ["draining"] * 3
    assert made.gateway.exchanges == 0


async def test_a_call_that_ends_during_a_drain_is_cancelled_too(upstream: Upstream) -> None:
    holding = Holding(upstream, OLDER)
    made = Peer(Gateway(load.parse(FILE.format(url=upstream.url, more=""), "yaml", "f", {})))
    async with made.gateway:
        caller = asyncio.create_task(made.call(timeout=0.5))
        await eventually(lambda: holding.of("tools/call") != [], "the call runs")
        assert await made.gateway.drain(10.0), "nothing is cut"
        assert (await caller)["failure"] is not None
        await eventually(lambda: holding.of(NOTE) != [], "the server reads it")
        refused = await made.call()
        assert refused["failure"] is not None
        assert refused["failure"]["code"] == "draining"
        await idle(made)
    assert len(holding.of(NOTE)) == 1, "what was not sent is not cancelled"


WITHOUT_A_SESSION = OLDER | {"initialize": BEGUN.replace(b"Mcp-Session-Id", b"X-Session-Id")}


@pytest.mark.parametrize("era", [NEWER, WITHOUT_A_SESSION])
async def test_where_the_end_of_the_connection_says_it_or_nothing_could_nothing_is_sent(
    upstream: Upstream, era: dict[str, Any]
) -> None:
    holding = Holding(upstream, era)
    async with peer(upstream.url) as made:
        assert (await made.call(**BRIEF))["failure"] is not None
        holding.tool = result(DONE)
        assert (await made.call())["status"] == 200
        assert holding.of(NOTE) == []


async def test_a_call_that_was_not_sent_is_not_cancelled(upstream: Upstream) -> None:
    holding = Holding(upstream, OLDER)
    text = FILE.replace("max_concurrent: 5", "max_concurrent: 1").format(
        url=upstream.url, more=", queue: {max_waiting: 1, timeout: 30}"
    )
    async with Peer(Gateway(load.parse(text, "yaml", "f", {}))) as made:
        first = asyncio.create_task(made.call())
        await eventually(lambda: holding.of("tools/call") != [], "the call runs")
        waiting = await made.call(**BRIEF)
        assert waiting["failure"] is not None
        assert waiting["failure"]["code"] == "total_timeout"
        assert holding.of(NOTE) == []
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await eventually(lambda: len(holding.of(NOTE)) == 1, "the one that ran is cancelled")
        await idle(made)


@pytest.mark.parametrize(
    ("session", "sent"), [(None, False), (Session("2026-07-28"), False), (Session("2025-11-25"), False),
                          (Session("2025-11-25", "s"), True)]
)  # fmt: skip
def test_only_sessions_of_the_older_era_need_it(session: Session | None, sent: bool) -> None:
    assert (cancellation(session, 7) is not None) is sent


def test_a_server_that_has_ended_the_call_itself_needs_none() -> None:
    assert not ended_here(None)
    assert not ended_here(GatewayError(errors.UPSTREAM_RESET))
    assert not ended_here(GatewayError(errors.CONCURRENCY_LIMIT))
    assert ended_here(GatewayError(errors.HEADER_TIMEOUT))
    assert ended_here(GatewayError(errors.DRAINING))


async def test_no_more_than_so_many_are_sent_at_the_same_time() -> None:
    held: list[Prepared] = []
    free = asyncio.Event()

    async def make(prepared: Prepared) -> Any:
        held.append(prepared)
        await free.wait()

    owner = Cancellations()
    for _ in range(MOST + 5):
        owner.send(make, Prepared(b"POST", b"/", [], b"", 60.0, None))
    await eventually(lambda: len(held) == MOST, "so many are sent")
    assert {each.seconds for each in held} == {SECONDS}
    free.set()
    await owner._tasks.finish()
    owner.send(make, Prepared(b"POST", b"/", [], b"", 60.0, None))
    await eventually(lambda: len(held) == MOST + 1, "there is room again")
    await owner.aclose()
