"""Calls of tools, over real sockets, at servers that a script plays. `tests/e2e/test_mcp_servers.py` has real ones."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from harness.answers import answer, chunk, head
from harness.mcp_script import BEGUN, DONE, FILE, JSON, NEWER, NOTED, OLDER, Peer, Server, error, peer, result
from harness.patience import eventually
from harness.upstream import Link, Upstream, refused_url

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import Called


def body_of(called: Called) -> Any:
    assert called["failure"] is None, called["failure"]
    return json.loads(called["body"])


@pytest.mark.covers("ACT-36")
async def test_a_server_of_the_newer_era_is_asked_once_what_it_is(upstream: Upstream) -> None:
    server = Server(upstream, **NEWER, tools__call=result({**DONE, "resultType": "complete"}))
    async with peer(upstream.url) as made:
        for _ in range(2):
            called = await made.call()
            assert (called["status"], body_of(called)) == (200, DONE)
            assert called["headers"] == [("Content-Type", "application/json")]
        assert server.methods == ["server/discover", "tools/call", "tools/call"]
        seen = upstream.requests[-1]
        assert (seen.method, seen.target) == (b"POST", b"/mcp")
        for name, value in (("authorization", b"Bearer t"), ("x-a", b"b"), ("mcp-name", b"add")):
            assert seen.get(name) == value
        params = json.loads(seen.body)["params"]
        assert (params["name"], params["arguments"], "c" in json.loads(seen.body)) == ("add", {"a": 1}, False)


@pytest.mark.covers("ACT-36")
async def test_a_server_of_the_older_era_gets_one_session(upstream: Upstream) -> None:
    events = b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
    replies = [answer(events, "Content-Type: text/event-stream"), result(DONE)]
    server = Server(upstream, **OLDER, tools__call=replies)
    async with peer(upstream.url) as made:
        assert body_of(await made.call()) == {"content": []}
        assert body_of(await made.call()) == DONE
        assert server.methods == ["server/discover", "initialize", "notifications/initialized", *["tools/call"] * 2]
        numbers = [sent["id"] for sent in map(json.loads, (each.body for each in upstream.requests)) if "id" in sent]
        assert len(set(numbers)) == len(numbers) == 4, "no two requests of a session have one id"
        for seen in upstream.requests[2:]:
            assert (seen.get("mcp-session-id"), seen.get("mcp-protocol-version")) == (b"s1", b"2025-11-25")


async def test_a_stream_that_stays_open_behind_the_response_holds_up_no_call(upstream: Upstream) -> None:
    events = b'data: {"jsonrpc":"2.0","id":%d,"result":{"content":[]}}\n\n'

    async def reply(link: Link) -> None:
        while True:
            sent = json.loads((await link.request()).body)
            if sent["method"] == "tools/call":
                break
            await link.send(begun(sent))
        await link.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        await link.send(chunk(b": working\n\n"))
        await link.send(chunk(events % sent["id"]))
        assert await link.gone()

    def begun(sent: Any) -> bytes:
        if sent["method"] == "initialize":
            return answer(json.dumps({"id": sent["id"], "result": {"protocolVersion": "2025-11-25"}}).encode(), JSON)
        return answer(status=202 if "id" not in sent else 400)

    upstream.behaviour = reply
    async with peer(upstream.url) as made:
        for _ in range(3):  # a failure would open the breaker
            assert body_of(await made.call()) == {"content": []}


AGAIN = "retry: {{max_retries: 1, base_delay_ms: 1, jitter: none, retry_non_idempotent: true}}"


def again(url: str, auth: str = "{{type: bearer, token: t}}") -> Peer:
    """A peer whose calls are made twice."""
    text = FILE.replace("retry: once", AGAIN).replace("{{type: bearer, token: t}}", auth)
    return Peer(Gateway(load.parse(text.format(url=url, more=""), "yaml", "f", {})))


def calls(upstream: Upstream) -> list[Any]:
    return [
        sent for sent in map(json.loads, (each.body for each in upstream.requests)) if sent["method"] == "tools/call"
    ]


@pytest.mark.covers("ACT-36")
async def test_each_attempt_has_an_id_of_its_own_and_a_late_response_to_the_former_is_dropped(
    upstream: Upstream,
) -> None:
    away = answer(b"later", status=503)
    late = b'data: {"jsonrpc":"2.0","id":%d,"result":{"content":["late"]}}\n\n'
    events = late + b'data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
    replies: list[bytes] = [result(DONE)]
    for former in (3, 5, 7, 9):  # the discovery has the first id; the length of the message changes with the last one
        replies += [away, answer(events % former, "Content-Type: text/event-stream")]
    Server(upstream, **NEWER, tools__call=replies)
    async with again(upstream.url) as made:
        assert body_of(await made.call()) == DONE
        for _ in range(4):
            called = await made.call()
            assert (body_of(called), called["attempts"]) == ({"content": []}, 2)
        assert [sent["id"] for sent in calls(upstream)] == list(range(2, 11))


async def test_each_attempt_is_signed_for_its_own_message(upstream: Upstream) -> None:
    Server(upstream, **NEWER, tools__call=[answer(b"later", status=503), result(DONE)])
    async with again(upstream.url, "{{type: hmac, header: X-Signature, secret: s3cr3t}}") as made:
        assert body_of(await made.call()) == DONE
        signatures = [each.get("x-signature") for each in upstream.requests]
        assert signatures == [hmac.digest(b"s3cr3t", each.body, "sha256").hex().encode() for each in upstream.requests]
        assert len(set(signatures)) == 3


async def test_an_attempt_that_took_too_long_is_cancelled_before_the_next_one(upstream: Upstream) -> None:
    server = Server(upstream, **OLDER, notifications__cancelled=NOTED, tools__call=result(DONE))
    heard: list[Any] = []

    async def reply(link: Link) -> None:
        while True:
            message = await link.request()
            heard.append(json.loads(message.body))
            if [sent["method"] for sent in heard].count("tools/call") == 1 and heard[-1]["method"] == "tools/call":
                assert await link.gone()
                return
            await link.send(server._reply(message))

    upstream.behaviour = reply
    text = FILE.replace("retry: once", AGAIN).format(url=upstream.url, more=", timeout_config: {response_header: 0.2}")
    async with Peer(Gateway(load.parse(text, "yaml", "f", {}))) as made:
        assert body_of(await made.call()) == DONE
        noted = "notifications/cancelled"
        await eventually(lambda: noted in [sent["method"] for sent in heard], "the server reads of the first attempt")
        first, second = [sent["id"] for sent in heard if sent["method"] == "tools/call"]
        assert [sent["params"]["requestId"] for sent in heard if sent["method"] == noted] == [first]
        assert first != second
        await eventually(lambda: made.gateway.exchanges == 0, "nothing runs")


@pytest.mark.parametrize(
    ("era", "lost"),
    [
        (OLDER, answer(b"gone", status=404)),
        (NEWER, answer(b"Bad Request", status=400)),
        (NEWER, error(-32022, 400)),
    ],
)
async def test_a_session_that_the_server_has_lost_is_made_again(
    upstream: Upstream, era: dict[str, Any], lost: bytes
) -> None:
    server = Server(upstream, **era, tools__call=[lost, result(DONE)])
    async with peer(upstream.url) as made:
        assert body_of(await made.call()) == DONE
        handshake = server.methods[: server.methods.index("tools/call")]
        assert server.methods == [*handshake, "tools/call", *handshake, "tools/call"]


async def test_it_is_made_again_once(upstream: Upstream) -> None:
    Server(upstream, **OLDER, tools__call=answer(b"gone", status=404))
    async with peer(upstream.url) as made:
        called = await made.call()
        assert (called["status"], called["body"]) == (404, b"gone")


async def test_another_connection_has_another_session(upstream: Upstream) -> None:
    server = Server(upstream, **NEWER, tools__call=result(DONE))
    async with peer(upstream.url) as made:
        await made.call()
        changed = FILE.format(url=upstream.url, more=", description: other")
        await made.gateway.reload(load.parse(changed, "yaml", "f", {}))
        await made.call()
        assert server.methods.count("server/discover") == 2


@pytest.mark.covers("ACT-36")
async def test_a_tool_that_says_no_is_no_illness_of_its_server(upstream: Upstream) -> None:
    said = {"content": [{"type": "text", "text": "no stock"}], "isError": True}
    Server(upstream, **NEWER, tools__call=result(said))
    async with peer(upstream.url) as made:
        for _ in range(4):
            called = await made.call()
            assert (called["status"], body_of(called)) == (422, said)


@pytest.mark.parametrize(("code", "sent", "status"), [(-32602, 200, 400), (-32601, 404, 400), (-32603, 200, 502)])
async def test_errors_of_json_rpc_are_responses(upstream: Upstream, code: int, sent: int, status: int) -> None:
    Server(upstream, **NEWER, tools__call=error(code, sent))
    async with peer(upstream.url) as made:
        called = await made.call()
        assert (called["status"], body_of(called)["error"]["code"]) == (status, code)


async def test_other_responses_are_those_of_the_server(upstream: Upstream) -> None:
    Server(upstream, **NEWER, tools__call=answer(b"slow down", status=429))
    async with peer(upstream.url) as made:
        called = await made.call()
        assert (called["status"], called["body"]) == (429, b"slow down")


@pytest.mark.parametrize(
    "replies",
    [
        {**NEWER, "tools__call": answer(b"<p>", "Content-Type: text/html")},
        {**NEWER, "tools__call": result(json.loads('{"a":' * 260 + "1" + "}" * 260))},
        {"initialize": answer(b"hello")},
        {"initialize": result({"protocolVersion": "1999-01-01"})},
    ],
)
async def test_what_is_no_server_of_the_protocol(upstream: Upstream, replies: dict[str, Any]) -> None:
    Server(upstream, **replies)
    async with peer(upstream.url) as made:
        failure = (await made.call())["failure"]
        assert failure is not None
        assert (failure["status"], failure["code"]) == (502, "upstream_bad_response")


@pytest.mark.parametrize(
    "replies",
    [
        {"server__discover": answer(b"who are you", status=401), "initialize": answer(b"who are you", status=401)},
        {"initialize": BEGUN, "notifications__initialized": answer(b"who are you", status=401)},
        {"server__discover": result({"supportedVersions": ["2099-01-01"]}), "initialize": answer(b"", status=401)},
    ],
)
async def test_a_handshake_that_is_refused_is_the_response(upstream: Upstream, replies: dict[str, Any]) -> None:
    server = Server(upstream, **replies)
    async with peer(upstream.url) as made:
        assert (await made.call())["status"] == 401
        assert "tools/call" not in server.methods


async def test_a_server_that_is_away_opens_the_breaker() -> None:
    async with peer(refused_url()) as made:
        codes = []
        for _ in range(3):
            failure = (await made.call())["failure"]
            assert failure is not None
            codes.append(failure["code"])
        assert codes == ["dial_failed", "dial_failed", "breaker_open"]


async def test_a_server_that_goes_away_after_its_handshake(upstream: Upstream) -> None:
    server = Server(upstream, **NEWER, tools__call=[result(DONE), answer(b"", status=500), answer(b"", status=500)])
    async with peer(upstream.url) as made:
        await made.call()
        assert [(await made.call())["status"] for _ in range(2)] == [500, 500]
        failure = (await made.call())["failure"]
        assert failure is not None
        assert (failure["code"], server.methods.count("tools/call")) == ("breaker_open", 3)


async def test_wrong_input_and_a_dry_run_send_nothing(upstream: Upstream) -> None:
    async with peer(upstream.url) as made:
        failure = (await made.call(input={"a": "x"}))["failure"]
        assert failure is not None
        assert failure["code"] == "validation.invalid_input"
        planned = (await made.call(dry_run=True, timeout=1.0))["planned"]
        assert planned is not None
        assert (planned["method"], planned["url"]) == ("POST", f"{upstream.url}/mcp")
        assert json.loads(planned["body"])["params"]["arguments"] == {"a": 1}
        assert not upstream.requests


async def test_the_time_is_that_of_all_exchanges(upstream: Upstream) -> None:
    async with peer(upstream.url) as made:
        failure = (await made.call(timeout=0.05))["failure"]
        assert failure is not None
        assert failure["code"] == "total_timeout"
