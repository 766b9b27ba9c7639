"""The life of a client's connection: many requests, in order, and its end when nothing comes of it."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from harness.answers import OK, answer, chunk, each_request, echo, head, ok
from harness.client import code_of, request
from harness.message import Truncated
from harness.patience import PROMPT, eventually
from harness.rig import GatewayFor
from harness.upstream import Upstream

from gateway.config.records import Limits
from gateway.proxy import reply

pytestmark = pytest.mark.http1

SHORT = 0.2


async def test_one_connection_serves_many_requests(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for number in range(50):
        body = b"x" * number
        response = await client.ask(f"/{number}", method="POST", body=body)
        assert (response.body, response.get("x-target"), response.get("connection")) == (body, b"/%d" % number, None)
    assert (upstream.accepted, rig.gateway.connections) == (1, 1)


async def test_the_client_asks_to_close(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 9.6: the answer says so, the connection ends, the upstream's goes on."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    response = await client.ask("/", "Connection: close")
    assert (response.body, response.options("connection")) == (b"ok", {b"close"})
    await client.gone()
    assert (await rig.ask()).body == b"ok"
    assert upstream.accepted == 1


async def test_what_follows_close_is_not_served(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/a", "Connection: close") + request("/b"))
    assert (await client.response()).body == b"ok"
    await client.gone()
    assert [message.target for message in upstream.requests] == [b"/a"]


async def test_the_upstream_asks_to_close(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Its wish ends at the gateway: the client's connection goes on, the next request dials anew."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for _ in range(2):
        await client.send(request())
        link = await upstream.link()
        await link.request()
        await link.send(answer(b"ok", "Connection: close"))
        response = await client.response()
        assert (response.body, response.get("connection")) == (b"ok", None)
        await link.gone()


async def test_http_1_0_without_keep_alive(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert (await client.response()).body == b"ok"
    await client.gone()


async def test_http_1_0_with_keep_alive(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 9.3: a connection of HTTP/1.0 persists when both say so."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for _ in range(3):
        await client.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        response = await client.response()
        assert (response.body, response.options("connection")) == (b"ok", {b"keep-alive"})


# -- pipelining (RFC 9112 9.3.2)


async def test_pipelined_requests_are_answered_in_order(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(b"".join(request(f"/{number}") for number in range(100)))
    for number in range(100):
        assert (await client.response()).get("x-target") == b"/%d" % number


async def test_pipelined_requests_with_bodies(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    chunked = request("/1", "Transfer-Encoding: chunked", method="POST") + chunk(b"one") + b"0\r\nX: y\r\n\r\n"
    await client.send(request("/0", method="POST", body=b"zero") + chunked)
    await client.send(request("/2", method="POST", body=b"t" * 100_000) + request("/3"))
    bodies = [(await client.response()).body for _ in range(4)]
    assert bodies == [b"zero", b"one", b"t" * 100_000, b""]


async def test_a_slow_first_answer_holds_back_the_second(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/slow") + request("/fast"))
    link = await upstream.link()
    assert (await link.request()).target == b"/slow"
    await client.silence()
    await link.send(answer(b"slow"))
    assert (await client.response()).body == b"slow"
    assert (await link.request()).target == b"/fast"
    await link.send(answer(b"fast"))
    assert (await client.response()).body == b"fast"


async def test_a_broken_pipelined_request_leaves_the_ones_before_it(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/0") + request("/1") + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + request("/3"))
    assert [(await client.response()).status for _ in range(3)] == [200, 200, 400]
    await client.gone()
    assert len(upstream.requests) == 2


# -- bytes in pieces


@pytest.mark.parametrize("body", [b"", b"hello"], ids=["no body", "body"])
async def test_split_at_every_byte(gateway_for: GatewayFor, upstream: Upstream, body: bytes) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    raw = request("/split", "X: y", method="POST", body=body)
    for cut in range(1, len(raw)):
        await client.send(raw[:cut])
        await asyncio.sleep(0.0005)  # paces the segments; nothing waits for it
        await client.send(raw[cut:])
        response = await client.response()
        assert (response.body, response.get("x-target")) == (body, b"/split")


async def test_byte_by_byte(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    raw = request("/", "Transfer-Encoding: chunked", method="POST") + b'5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n'
    for byte in raw + raw:
        await client.send(bytes([byte]))
        await asyncio.sleep(0.0005)
    assert [(await client.response()).body for _ in range(2)] == [b"hello", b"hello"]


async def test_empty_lines_between_requests(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 2.2: old clients send a CRLF behind a body."""
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for _ in range(3):
        await client.send(request("/", method="POST", body=b"x"), b"\r\n")
        assert (await client.response()).body == b"x"


# -- time


@pytest.mark.plain
@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX: "], ids=["line", "fields"])
async def test_a_slow_head(gateway_for: GatewayFor, upstream: Upstream, start: bytes) -> None:
    """The time for a head is absolute: a byte now and then buys nothing."""
    rig = await gateway_for(upstream, limits=Limits(header_timeout=SHORT))
    client = await rig.connect()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await client.send(start)

    async def drip() -> None:
        while not client.ended:
            await client.send(b"x" if start != b"G" else b"E")
            await asyncio.sleep(SHORT / 5)

    dripping = asyncio.create_task(drip())
    try:
        response = await client.response()
        assert SHORT * 0.5 < loop.time() - begin < PROMPT
        assert (response.status, code_of(response)) == (408, "client_timeout")
        await client.rest()
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    assert upstream.accepted == 0


@pytest.mark.plain
async def test_an_idle_connection_ends_without_a_word(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, limits=Limits(keepalive_timeout=SHORT))
    client = await rig.connect()
    assert (await client.ask()).body == b"ok"
    begin = asyncio.get_running_loop().time()
    await client.gone()
    assert SHORT * 0.5 < asyncio.get_running_loop().time() - begin < PROMPT
    assert client.ended == "eof"
    assert len(await rig.log.wait()) == 1


@pytest.mark.plain
@pytest.mark.parametrize(
    "limits",
    [
        Limits(first_byte_timeout=SHORT),
        Limits(first_byte_timeout=0, keepalive_timeout=SHORT),
        Limits(first_byte_timeout=0, keepalive_timeout=0, header_timeout=SHORT),
    ],
)
async def test_a_connection_that_never_speaks_ends(gateway_for: GatewayFor, upstream: Upstream, limits: Limits) -> None:
    rig = await gateway_for(upstream, limits=limits)
    client = await rig.connect()
    await client.gone()
    assert client.ended == "eof"
    await eventually(lambda: rig.gateway.connections == 0)
    assert rig.log.lines() == []


@pytest.mark.plain
async def test_the_first_byte_has_a_time_of_its_own(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """It bounds neither the rest of the head nor the pause before the next request."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, limits=Limits(first_byte_timeout=SHORT))
    client = await rig.connect()
    await client.send(b"GET / HTTP/1.1\r\n")
    await client.silence(SHORT * 1.5)
    await client.send(b"Host: a\r\n\r\n")
    assert (await client.response()).status == 200
    await client.silence(SHORT * 1.5)
    assert (await client.ask()).status == 200


async def test_the_second_head_has_its_own_time(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, limits=Limits(header_timeout=SHORT))
    client = await rig.connect()
    assert (await client.ask()).body == b"ok"
    await client.send(b"GET / HT")
    assert (await client.response()).status == 408


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_a_slow_body(gateway_for: GatewayFor, upstream: Upstream, framing: str) -> None:
    rig = await gateway_for(upstream, limits=Limits(body_timeout=SHORT))
    client = await rig.connect()
    await client.send(request("/", framing, method="POST"))
    link = await upstream.link()
    response = await client.response()
    assert (response.status, code_of(response)) == (408, "client_timeout")
    await client.gone()
    assert await link.broken()
    assert (await rig.log.last())["reason"] == "client_timeout"


async def test_a_body_that_moves_is_not_slow(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The time for a body is from piece to piece: a long upload is no slow one."""
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, limits=Limits(body_timeout=SHORT))
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 10", method="POST"))
    for _ in range(10):
        await asyncio.sleep(SHORT / 4)
        await client.send(b"x")
    assert (await client.response()).body == b"x" * 10


@pytest.mark.plain
@pytest.mark.raw  # their handshakes take longer than the test may wait
async def test_a_thousand_idle_connections_hinder_nobody(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    for _ in range(1000):
        await rig.connect()
    await eventually(lambda: rig.gateway.connections == 1000, "all are accepted")
    assert rig.gateway.buffers.outstanding == 0
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert (await rig.ask()).body == b"ok"
    assert loop.time() - begin < PROMPT


# -- Expect: 100-continue (RFC 9110 10.1.1)

EXPECT = request("/", "Expect: 100-continue", "Content-Length: 5", method="POST")


@pytest.mark.covers("T010a")
async def test_continue_comes_from_the_upstream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(EXPECT)
    link = await upstream.link()
    received = await link.head()
    assert received.options("expect") == {b"100-continue"}
    await client.silence()
    await link.send(head(status="100 Continue"))
    assert (await client.response()).status == 100
    await client.send(b"hello")
    assert (await link.body(received)).body == b"hello"
    await link.send(OK)
    assert (await client.response()).body == b"ok"
    # The connection is as good as new.
    await client.send(request("/b"))
    assert (await link.request()).target == b"/b"
    await link.send(OK)
    assert (await client.response()).body == b"ok"


async def test_the_upstream_refuses_before_the_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(EXPECT)
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"no", status=417, reason="Expectation Failed"))
    response = await client.response()
    assert (response.status, response.body) == (417, b"no")
    # Nobody knows whether the body will come: the upstream's connection is of no more use (RFC 9112 9.3).
    await link.gone()
    await rig.settled()


@pytest.mark.covers("T010a")
async def test_a_silent_upstream_costs_one_second(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Many servers do not know the expectation: after a second the client is told to go on."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await client.send(EXPECT)
    link = await upstream.link()
    received = await link.head()
    assert (await client.response()).status == 100
    assert 0.7 < loop.time() - begin < PROMPT
    await client.send(b"hello")
    assert (await link.body(received)).body == b"hello"
    await link.send(OK)
    assert (await client.response()).body == b"ok"


async def test_a_late_continue_is_not_passed_on_twice(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(EXPECT)
    link = await upstream.link()
    received = await link.head()
    assert (await client.response()).status == 100
    await link.send(head(status="100 Continue"))
    await client.send(b"hello")
    await link.body(received)
    await link.send(OK)
    assert (await client.response()).status == 200


async def test_a_client_that_does_not_wait(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110 10.1.1: a client may send the body without having heard anything."""
    monkeypatch.setattr(reply, "CONTINUE_SECONDS", 60.0)  # the body does not wait for that time
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(EXPECT, b"hello")
    link = await upstream.link()
    assert (await link.request()).body == b"hello"
    await link.send(OK)
    response = await client.response()
    response = await client.response() if response.status == 100 else response
    assert response.body == b"ok"


async def test_a_refused_request_is_never_told_to_go_on(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, path="/only")
    client = await rig.connect()
    await client.send(request("/other", "Expect: 100-continue", "Content-Length: 5", method="POST"))
    response = await client.response()
    assert (response.status, code_of(response)) == (404, "no_route")


async def test_http_1_0_can_not_expect(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 10.1.1: an expectation in HTTP/1.0 is ignored, and an interim answer never sent."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    link = await upstream.link()
    assert (await link.request()).body == b"hello"
    await link.send(OK)
    assert (await client.response()).status == 200


# -- bodies that nobody reads


async def test_a_small_unread_body_does_not_cost_the_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/only")
    client = await rig.connect()
    for length in (5, 10_000):
        response = await client.ask("/other", method="POST", body=b"x" * length)
        assert (response.status, response.get("connection")) == (404, None)
    await client.send(request("/other", "Transfer-Encoding: chunked", method="POST"), chunk(b"hello"), b"0\r\n\r\n")
    assert (await client.response()).status == 404
    assert (await client.ask("/only")).body == b"ok"


async def test_a_large_unread_body_costs_the_connection_but_not_the_answer(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """RFC 9112 9.6: a close with unread bytes is a reset, and a reset may destroy the answer on its way."""
    rig = await gateway_for(upstream, path="/only")
    client = await rig.connect()
    size = 100_000_000
    await client.send(request("/other", f"Content-Length: {size}", method="POST"), b"x" * 300_000)
    response = await client.response()
    assert (response.status, code_of(response)) == (404, "no_route")
    assert response.options("connection") == {b"close"}
    await client.send(b"x" * 100_000)
    await client.gone()
    client.close()
    await eventually(lambda: rig.gateway.connections == 0)


async def test_an_unread_body_is_never_taken_for_a_request(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/only")
    client = await rig.connect()
    smuggled = request("/only/smuggled")
    assert (await client.ask("/other", method="POST", body=smuggled)).status == 404
    assert (await client.ask("/only/honest")).body == b"ok"
    assert [message.target for message in upstream.requests] == [b"/honest"]


async def test_the_upstream_answers_before_the_body_is_read(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 9.3: the answer comes through at once; the upstream's connection with half a request on it is done."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 100000", method="POST"), b"x" * 1000)
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"too large", "Connection: close", status=413, reason="Content Too Large"))
    response = await client.response()
    assert (response.status, response.body) == (413, b"too large")
    link.close()
    await client.send(b"x" * 1000)
    with pytest.raises(Truncated):
        await client.response()


async def test_the_upstream_says_how_long_it_keeps_a_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """``Keep-Alive: timeout=1``: it is closed before the upstream would, so that no request meets the close."""
    upstream.behaviour = each_request(lambda _: answer(b"ok", "Keep-Alive: timeout=1, max=100"))
    rig = await gateway_for(upstream)
    assert (await rig.ask()).body == b"ok"
    began = monotonic()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "the gateway closes it")
    assert 0.3 < monotonic() - began < 0.95
    assert (await rig.ask(method="POST", body=b"x")).body == b"ok"
    assert upstream.accepted == 2
