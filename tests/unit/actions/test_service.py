"""What is said about calls, and what a call that ended is for its caller."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from harness.answers import answer, each_request
from harness.calling import Calling
from harness.patience import eventually
from harness.upstream import Link, Upstream, refused_url

from gateway.actions.call import Ended
from gateway.actions.service import Actions, result_of
from gateway.app import Gateway
from gateway.config import load
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.errors import CONCURRENCY_LIMIT, GatewayError
from gateway.ipc.calls import Asked, Called
from gateway.wire.memory import MemoryStream

FILE = """
listen: 127.0.0.1:0
access_log: null
connections: {{shop: {{base_url: {url}, retry: once}}}}
actions:
  find: {{connection: shop, path: "/orders/{{id}}"}}
"""


def ended(error: GatewayError | None = None, *, complete: bool = True, head: bool = True) -> Called:
    stream = MemoryStream(Peer("127.0.0.1", 0, b"http", lambda address: False), Limits())
    if head:
        fields = [b"A:  b ", b"Odd: \xe9"]
        stream.begin(ResponseHead(201, b"", 1, fields, {}, 1, True), b"X-Request-Id: ours\r\n", None, None)
        stream.data(memoryview(b"x"), pooled=False)
        if complete:
            stream.end([])
    exchange = Exchange(stream, RequestHead(b"GET", b"/", 1, [], {}, 0, True), monotonic())
    exchange.request_id, exchange.attempts = b"id", 2
    return result_of("trn", Ended(exchange, stream, error), 0.5)


def test_a_response_without_fields() -> None:
    head = ResponseHead(204, b"", 1, [], {}, 0, True)
    stream = MemoryStream(Peer("127.0.0.1", 0, b"http", lambda address: False), Limits())
    stream.begin(head, b"", None, None)
    stream.end([])
    exchange = Exchange(stream, RequestHead(b"GET", b"/", 1, [], {}, 0, True), monotonic())
    found = result_of("trn", Ended(exchange, stream, None), 0.5)
    assert (found["status"], found["headers"], found["body"]) == (204, [], b"")


def test_a_response() -> None:
    found = ended()
    assert (found["status"], found["body"], found["attempts"], found["failure"]) == (201, b"x", 2, None)
    assert found["headers"] == [("A", "b"), ("Odd", "\xe9")]


def test_a_part_of_a_response_is_given_to_no_one() -> None:
    error = GatewayError(CONCURRENCY_LIMIT, "Busy", retry_after=3)
    found = ended(error, complete=False)
    assert (found["status"], found["headers"], found["body"]) == (0, [], b"")
    failure = {"status": 429, "code": "concurrency_limit", "title": "Too Many Requests", "message": "Busy"}
    assert found["failure"] == failure | {"retry_after": 3}


@pytest.mark.parametrize(("complete", "head"), [(False, True), (True, False)])
def test_a_chain_that_crashed_is_an_error_too(complete: bool, head: bool) -> None:
    failure = ended(complete=complete, head=head)["failure"]
    assert failure is not None
    assert failure["code"] == "internal"


async def gateway_of(url: str) -> Gateway:
    gateway = Gateway(load.parse(FILE.format(url=url), "yaml", "f", {}))
    await gateway.start()
    return gateway


async def test_a_call_by_name(upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(message.target))
    gateway = await gateway_of(upstream.url)
    found = await gateway.actions.call(gateway.server, Asked("default", "find", {"id": "7"}, request_id="mine"))
    assert (found["status"], found["body"], found["request_id"]) == (200, b"/orders/7", "mine")
    assert found["action"] == "trn:openact:default:action/http/find@v1"
    (told_of,) = gateway.actions.actions("default")
    (connection,) = gateway.actions.connections("default")
    assert (told_of["connection"], connection["actions"]) == (connection["trn"], ["find"])
    await gateway.aclose()


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (Asked("default", "no"), 404, "not_found.action"),
        (Asked("other", "find"), 404, "not_found.action"),
        (Asked("default", "find"), 400, "validation.invalid_input"),
        (Asked("default", "find", {"id": "7"}), 502, "dial_failed"),
    ],
)
async def test_why_there_is_no_response(asked: Asked, status: int, code: str) -> None:
    gateway = await gateway_of(refused_url())
    failure = (await gateway.actions.call(gateway.server, asked))["failure"]
    assert failure is not None
    assert (failure["status"], failure["code"]) == (status, code)
    await gateway.aclose()


async def test_a_reload_changes_what_can_be_called(upstream: Upstream) -> None:
    gateway = await gateway_of(upstream.url)
    await gateway.reload(load.parse('{listen: "127.0.0.1:0", access_log: null}', "yaml", "f", {}))
    failure = (await gateway.actions.call(gateway.server, Asked("default", "find")))["failure"]
    assert failure is not None
    assert failure["code"] == "not_found.action"
    await gateway.aclose()


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\xe9", "a\nb"])
async def test_an_id_that_is_none_is_replaced(upstream: Upstream, given: str) -> None:
    upstream.behaviour = each_request(lambda message: answer(message.get("x-request-id") or b""))
    gateway = await gateway_of(upstream.url)
    found = await gateway.actions.call(gateway.server, Asked("default", "find", {"id": "7"}, request_id=given))
    assert found["request_id"] not in ("", given)
    assert found["body"].decode() == found["request_id"]
    await gateway.aclose()


async def test_before_the_first_configuration_there_is_nothing() -> None:
    assert Actions().actions("default") == []


LIMITED = """
connections: {{shop: {{base_url: "{url}"}}}}
actions: {{find: {{connection: shop, path: /find}}}}
{governance}
"""


@pytest.mark.covers("ACT-39")
async def test_all_calls_together_are_bounded_and_those_before_a_reload_count(upstream: Upstream) -> None:
    let_go = asyncio.Event()

    async def hold(link: Link) -> None:
        while True:
            await link.request()
            await let_go.wait()
            await link.send(answer(b"ok"))

    upstream.behaviour = hold
    text = LIMITED.format(url=upstream.url, governance="governance: {max_concurrent: 2}")
    async with Calling(text) as make:
        calls = [asyncio.create_task(make("find")) for _ in range(2)]
        await eventually(lambda: make.gateway.exchanges == 2, "both run")
        failure = (await make("find"))["failure"]
        assert failure is not None
        assert (failure["status"], failure["code"], failure["retry_after"] >= 1) == (429, "concurrency_limit", True)
        assert failure["message"] == "2 calls run, which is governance.max_concurrent; call again when one has ended"
        planned = await make.gateway.actions.call(make.gateway.server, Asked("default", "find", dry_run=True))
        assert planned["failure"] is None, "a dry run takes no permit"
        calls[0].cancel()
        await asyncio.gather(calls[0], return_exceptions=True)
        calls.append(asyncio.create_task(make("find")))
        await eventually(lambda: make.gateway.exchanges == 2, "its place is free")
        await make.reload(text.replace("max_concurrent: 2", "max_concurrent: 3"))
        calls.append(asyncio.create_task(make("find")))
        await eventually(lambda: make.gateway.exchanges == 3, "there is one more")
        assert await make.code("find") == "concurrency_limit"
        await make.reload(LIMITED.format(url=upstream.url, governance=""))
        calls.append(asyncio.create_task(make("find")))
        await eventually(lambda: make.gateway.exchanges == 4, "there is no limit now")
        let_go.set()
        assert [each["status"] for each in await asyncio.gather(*calls[1:])] == [200] * 4


@pytest.mark.covers("ACT-39")
async def test_a_call_counts_until_its_body_is_taken(upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(bytes(1 << 19)))
    text = LIMITED.format(url=upstream.url, governance="governance: {max_concurrent: 1}")
    async with Calling(text) as make:
        actions, server, asked = make.gateway.actions, make.gateway.server, Asked("default", "find", pieces=True)
        called = await actions.call(server, asked)
        refused = await actions.call(server, asked)
        assert (refused["failure"] and refused["failure"]["code"]) == "concurrency_limit"
        assert await make.code("find") == "concurrency_limit"
        while not (await actions.bodies.piece(called["rest"]))["done"]:
            pass
        again = await actions.call(server, asked)
        assert again["failure"] is None
        actions.bodies.leave(again["rest"])
        await eventually(lambda: make.gateway.exchanges == 0, "it has ended")
        assert await make.code("find") == ""
