"""The whole chain of layers serves a request that no socket brought: the layers know streams, not connections."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import cast

import pytest
from harness.answers import answer, chunk, each_request, head
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream, refused_url

from gateway.config.records import CircuitBreaker
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream
from gateway.wire.h1.head import HeadParser
from gateway.wire.memory import MemoryStream, PieceStream


def parsed(start: bytes, *lines: bytes) -> RequestHead:
    return HeadParser().request(b"\r\n".join((start, b"Host: a", *lines)), Limits())


async def served(rig: Rig, request: RequestHead, body: bytes = b"") -> tuple[MemoryStream, Exchange]:
    stream = MemoryStream(Peer("192.0.2.1", 9, b"https", lambda address: False), Limits(), body)
    exchange = Exchange(stream, request, monotonic())
    await rig.gateway.server.serve(exchange)
    return stream, exchange


async def test_a_get(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(b"hello"))
    rig = await gateway_for(upstream)
    stream, exchange = await served(rig, parsed(b"GET /a?b HTTP/1.1", b"X-Mine: 1"))
    assert (stream.status, bytes(stream.received), stream.complete) == (200, b"hello", True)
    assert b"X-Request-Id: %b\r\n" % exchange.request_id in stream.lines
    (seen,) = upstream.requests
    assert (seen.method, seen.target, seen.get("x-mine")) == (b"GET", b"/a?b", b"1")
    assert (seen.get("x-forwarded-for"), seen.get("x-forwarded-proto")) == (b"192.0.2.1", b"https")
    line = await rig.log.last()
    assert (line["status_code"], line["bytes_out"], line["peer"]) == (200, 5, "192.0.2.1:9")
    await rig.settled()
    assert rig.p.endpoints[0].pool.idle == 1, "the connection is kept for the next request"


async def test_a_post(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(message.body[::-1]))
    rig = await gateway_for(upstream)
    request = parsed(b"POST / HTTP/1.1", b"Content-Length: 200000")
    stream, exchange = await served(rig, request, b"ab" * 100_000)
    assert (stream.status, bytes(stream.received)) == (200, b"ba" * 100_000)
    assert exchange.attempt.sent_at >= exchange.attempt.asked_at > 0


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_streamed_response(gateway_for: GatewayFor, upstream: Upstream, chunked: bool) -> None:
    async def behaviour(link: Link) -> None:
        await link.request()
        await link.send(head("Transfer-Encoding: chunked") if chunked else head())
        for number in range(20):
            await link.send(chunk(b"%02d" % number) if chunked else b"%02d" % number)
        if chunked:
            await link.send(b"0\r\nX-Sum: 7\r\n\r\n")
        link.half_close()

    upstream.behaviour = behaviour
    rig = await gateway_for(upstream)
    stream, exchange = await served(rig, parsed(b"GET / HTTP/1.1"))
    assert bytes(stream.received) == b"".join(b"%02d" % number for number in range(20))
    assert (stream.complete, stream.trailers) == (True, [b"X-Sum: 7"] if chunked else [])
    assert exchange.streamed


async def test_a_response_that_breaks_off_is_not_complete(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def behaviour(link: Link) -> None:
        await link.request()
        await link.send(head("Content-Length: 100"), b"half")
        link.reset()

    upstream.behaviour = behaviour
    rig = await gateway_for(upstream)
    stream, exchange = await served(rig, parsed(b"GET / HTTP/1.1"))
    assert (stream.status, stream.complete, exchange.reason) == (200, False, "upstream_reset")


@pytest.mark.parametrize("over", [PieceStream.cut, lambda stream: stream.end([])], ids=["cut", "end"])
def test_the_wait_that_is_going_on_counts_until_the_response_is_over(over: Callable[[PieceStream], None]) -> None:
    stream = PieceStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits(), b"", 10, lambda: None)
    stream.begin(ResponseHead(200, b"", 1, [], {}, -1, True), b"", None, None)
    stream.data(memoryview(b"short"), pooled=False)
    assert stream.blocked == 0.0
    stream.data(memoryview(b"longer"), pooled=False)
    going_on = stream.blocked
    assert 0.0 < going_on < stream.blocked
    over(stream)
    blocked = stream.blocked
    assert blocked > going_on
    assert (stream.take(), stream.blocked) == (b"shortlonger", blocked)


def test_it_never_switches() -> None:
    stream = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    assert stream.tunnel is None
    with pytest.raises(AssertionError, match="asks for no other protocol"):
        stream.switch(ResponseHead(101, b"", 1, [], {}, 0, True), b"", cast("ClientStream", None))


async def test_refusals_and_the_machines_are_the_same(gateway_for: GatewayFor) -> None:
    breaker = CircuitBreaker(enabled=True, failure_threshold=1)
    rig = await gateway_for(refused_url(), circuit_breaker=breaker)
    reasons = [(await served(rig, parsed(b"GET / HTTP/1.1")))[0] for _ in range(2)]
    assert [(one.status, one.head, one.complete) for one in reasons] == [(502, None, True), (503, None, True)]
    assert b"X-Gateway-Reason: breaker_open\r\n" in reasons[1].lines
    assert (await rig.ask()).get("x-gateway-reason") == b"breaker_open", "a caller meets the same breaker"
    assert (await served(rig, parsed(b"GET /../x HTTP/1.1")))[0].status == 400
