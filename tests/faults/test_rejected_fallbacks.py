"""A fallback whose upstream rejects the request before anything is sent does not serve it: the caller gets what the
first upstream has brought, and not the rejection. And the rates of an upstream as what a fallback takes over from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from faults.test_fallback import counted, falling_back, rig_of, to_spare
from faults.test_rejected_retries import BREAKS, BUSY, ONE, retries
from harness.answers import answer, chunk, each_request, head, ok
from harness.client import code_of
from harness.frames import GET
from harness.http2 import Http2Client
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream, refused_url
from wire.test_grpc import CALL

from gateway.admin.explanations import explained as explained_line
from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Endpoint, Queue, RateLimit
from gateway.policy.machine import REFUSED
from gateway.proxy.discard import MOST_BYTES
from gateway.wire.h2.frames import window_update

pytestmark = pytest.mark.plain

TWO = (RateLimit("all", 2.0, per=86400.0, fields="never"),)
REJECTS: dict[str, dict[str, Any]] = {
    "rate_limit": {"upstream_rates": ONE},
    "breaker": {"circuit_breaker": BREAKS},
    "health": {"endpoints": (Endpoint("http://127.0.0.1:1", drain=True),)},
    "queue": {"max_concurrent": 1},
}


@pytest.fixture
async def spare() -> AsyncIterator[Upstream]:
    async with Upstream(each_request(lambda _: answer(b"no", status=503))) as made:
        yield made


async def used_up(rig: Rig, word: str) -> None:
    """The upstream of the fallback rejects the next request by ``word``."""
    if word in ("rate_limit", "breaker"):
        assert (await rig.ask("/spare")).status == 503
    if word == "queue":
        assert rig.gateway.upstreams["spare"].limiter.try_acquire() != REFUSED


@pytest.mark.parametrize("word", REJECTS)
@pytest.mark.parametrize("cause", ["503", "connect"])
async def test_what_the_first_upstream_has_brought_stands(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream, word: str, cause: str
) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    on = to_spare(statuses=((503, 503),)) if cause == "503" else to_spare("connect")
    to = upstream if cause == "503" else refused_url()
    rig = await rig_of(gateway_for, to, spare, on, spare_settings=REJECTS[word])
    await used_up(rig, word)
    before = len(spare.requests)
    response = await rig.ask()
    lines = await rig.log.wait(2 if word in ("rate_limit", "breaker") else 1)
    assert response.get("x-gateway-fallback") is None
    reason = "" if cause == "503" else "dial_failed"
    if cause == "503":
        assert (response.status, response.body, response.get("x-why")) == (503, b"busy", b"full")
        assert response.get("x-gateway-reason") is None
    else:
        assert code_of(response) == "dial_failed"
    line = lines[-1]
    assert (line["reason"], line["attempts"], line["status_code"]) == (reason, 1, response.status)
    assert line["fallback"]["withheld"] == word
    assert line["upstream"] == to.removeprefix("http://") if isinstance(to, str) else f"127.0.0.1:{to.port}"
    assert "the fallback did not take over, because " in explained_line(line)["sentence"]
    assert len(spare.requests) == before, "nothing was sent there"
    text = counted(rig)
    assert f'gateway_fallbacks_withheld_total{{proxy="p",cause="{word}"}} 1\n' in text
    assert "gateway_fallbacks_total{" not in text
    if word == "queue":
        rig.gateway.upstreams["spare"].limiter.release(1)


async def test_a_failure_of_the_second_that_was_made_is_the_end(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await rig_of(gateway_for, upstream, refused_url(), to_spare(statuses=((503, 503),)))
    response = await rig.ask()
    assert (code_of(response), response.get("x-why")) == ("dial_failed", None)
    assert "withheld" not in (await rig.log.last())["fallback"]


async def test_a_response_that_is_too_long_to_be_kept_is_lost(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: answer(bytes(MOST_BYTES + 1), status=503))
    on = to_spare(statuses=((503, 503),))
    rig = await rig_of(gateway_for, upstream, spare, on, spare_settings=REJECTS["health"])
    assert code_of(await rig.ask()) == "no_healthy_endpoint"


@pytest.mark.raw
async def test_the_exchange_goes_on_until_its_caller_has_taken_the_response(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: answer(bytes(60_000), status=503))
    on = to_spare(statuses=((503, 503),))
    proxies = falling_back(upstream, spare, on, spare_settings=REJECTS["health"])
    rig = await gateway_for("", proxies=proxies, http2=True)
    client = await Http2Client.connect(rig.gateway.addresses[0], window=1000)
    rig.clients.append(client)  # type: ignore[arg-type]
    await client.request(1, GET)
    await client.some(1, lambda response: len(response.body) == 1000)
    await client.request(3, [*GET[:-1], (b":path", b"/spare")])
    assert (await client.response(3)).status == 503
    assert rig.gateway.exchanges == 1
    await client.send(window_update(1, 59_000))
    assert len((await client.response(1)).body) == 60_000
    assert (await rig.log.last(2))["fallback"]["withheld"] == "health"


@pytest.mark.raw
async def test_the_status_of_a_call_of_grpc_stands_too(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    called = head("Content-Type: application/grpc", "Transfer-Encoding: chunked") + chunk(b"a")
    upstream.behaviour = each_request(lambda _: called + b"0\r\ngrpc-status: 8\r\n\r\n")
    on = to_spare(statuses=((200, 200),))
    proxies = falling_back(upstream, spare, on, spare_settings=REJECTS["health"])
    rig = await gateway_for("", proxies=proxies, http2=True)
    client = await Http2Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)  # type: ignore[arg-type]
    await client.request(1, CALL)
    response = await client.response(1)
    assert (response.status, response.body, response.trailers) == (200, b"a", {b"grpc-status": b"8"})
    assert (await rig.log.last())["grpc_status"] == 8


async def test_a_queue_that_is_waited_for_in_vain_rejects_too(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    settings = {"max_concurrent": 1, "queue": Queue(1, 0.1)}
    rig = await rig_of(gateway_for, upstream, spare, to_spare(statuses=((503, 503),)), spare_settings=settings)
    await used_up(rig, "queue")
    response = await rig.ask()
    assert (response.status, response.body) == (503, b"busy")
    line = await rig.log.last()
    assert (line["fallback"]["withheld"], line["queue_ms"] > 90) == ("queue", True), "a timer may be early"
    rig.gateway.upstreams["spare"].limiter.release(1)


async def test_what_is_kept_for_it_is_given_up_with_the_response_of_the_fallback(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    async with Upstream() as slow:
        rig = await rig_of(gateway_for, upstream, slow, to_spare(statuses=((503, 503),)))
        asking = asyncio.create_task(rig.ask())
        link = await slow.link()
        await link.request()
        assert rig.gateway.buffers.kept == len(b"busy")
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await eventually(lambda: rig.gateway.buffers.kept == 0, "the response of the fallback has begun")
        await link.send(b"ok")
        assert (await asking).body == b"ok"


async def test_retries_come_first_and_their_response_stands(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    """A retry that is rejected gives the response to the fallback, and that one rejects it too."""
    bodies = [b"one", b"two"]
    upstream.behaviour = each_request(lambda _: answer(bodies.pop(0), status=503))
    rig = await rig_of(
        gateway_for,
        upstream,
        spare,
        to_spare(statuses=((503, 503),)),
        retries=retries(),
        upstream_rates=TWO,
        spare_settings=REJECTS["health"],
    )
    response = await rig.ask()
    assert (response.status, response.body) == (503, b"two")
    line = await rig.log.last()
    assert line["retries"] == {"failures": ["503"], "withheld": "rate_limit", "shadow": ""}
    assert line["fallback"]["withheld"] == "health"
    assert 'gateway_retries_withheld_total{proxy="p",cause="rate_limit"} 1\n' in counted(rig)


# -- rates of an upstream are a cause


@pytest.mark.parametrize("fixed", [False, True])
async def test_the_rates_of_the_first_upstream_are_a_cause(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream, fixed: bool
) -> None:
    upstream.behaviour = ok()
    spare.behaviour = each_request(lambda _: answer(b"spare"))
    fallback = Fallback(("rate_limit",), response=FixedResponse(503, "full")) if fixed else to_spare("rate_limit")
    rig = await rig_of(gateway_for, upstream, spare, fallback, upstream_rates=ONE)
    assert (await rig.ask()).body == b"ok"
    response = await rig.ask()
    assert (response.status, response.body) == ((503, b"full") if fixed else (200, b"spare"))
    assert response.get("x-gateway-fallback") == b"rate_limit"
    assert (response.get("retry-after") is not None) is fixed, "a fixed 503 says when there is a token"
    line = await rig.log.last(2)
    assert line["fallback"] == {"cause": "rate_limit", "reason": "rate_limit", "upstream": ""}
    text = counted(rig)
    assert 'gateway_fallbacks_total{proxy="p",cause="rate_limit"} 1\n' in text
    assert len(upstream.requests) == 1


async def test_it_is_not_one_unless_it_is_listed(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    upstream.behaviour = ok()
    every = Fallback(("connect", "reset", "timeout", "breaker", "health", "queue"), ((500, 599),), "spare")
    rig = await rig_of(gateway_for, upstream, spare, every, upstream_rates=ONE)
    assert [(await rig.ask()).status for _ in range(2)] == [200, 429]
    assert spare.requests == []


async def test_the_rates_of_the_proxy_itself_are_none(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = ok()
    rig = await rig_of(gateway_for, upstream, spare, to_spare("rate_limit"), rate_limits=ONE)
    assert [(await rig.ask()).status for _ in range(2)] == [200, 429]
    assert spare.requests == []


async def test_a_retry_without_a_token_goes_to_the_fallback_where_that_lists_it(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    spare.behaviour = each_request(lambda _: answer(b"spare"))
    on = to_spare("rate_limit")
    rig = await rig_of(gateway_for, upstream, spare, on, retries=retries(), upstream_rates=ONE)
    response = await rig.ask()
    assert (response.status, response.body, response.get("x-gateway-fallback")) == (200, b"spare", b"rate_limit")


async def test_a_body_goes_on_to_the_fallback(gateway_for: GatewayFor, upstream: Upstream, spare: Upstream) -> None:
    upstream.behaviour = ok()
    spare.behaviour = ok()
    rig = await rig_of(gateway_for, upstream, spare, to_spare("rate_limit"), upstream_rates=ONE)
    await rig.ask()
    assert (await rig.ask(method="POST", body=b"x" * 1000)).status == 200
    (request,) = spare.requests
    assert request.body == b"x" * 1000
