"""HTTP/2 from callers, to endpoints that speak HTTP/1.1: what each side sees."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from harness.answers import LAST_CHUNK, OK, answer, chunk, each_request, echo, head, ok
from harness.attacks.streams import SPLITTING
from harness.frames import GET, POST, Fields, block
from harness.http2 import Http2Client
from harness.message import Message
from harness.patience import GLANCE, PROMPT, eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import Limits
from gateway.wire.h2.codes import (
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INTERNAL_ERROR,
    NO_ERROR,
    PING,
    WINDOW_UPDATE,
)
from gateway.wire.h2.frames import frame, rst_stream, settings, window_update
from gateway.wire.h2.server import H2Server
from gateway.wire.h2.states import RequestState
from gateway.wire.turns import PER_TURN

pytestmark = pytest.mark.raw


async def client_of(rig: Rig, *, window: int | None = None) -> Http2Client:
    client = await Http2Client.connect(rig.gateway.addresses[0], window=window)
    rig.clients.append(client)  # type: ignore[arg-type]
    return client


async def test_a_request_and_its_response(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: answer(b"hello", "X-Up: 1", "Keep-Alive: timeout=5"))
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*GET, (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers")])
    response = await client.response()
    assert (response.status, response.body) == (200, b"hello")
    assert response.fields[b"x-up"] == b"1"
    assert b"keep-alive" not in response.fields
    (request,) = upstream.requests
    assert request.get("cookie") == b"a=1; b=2"
    assert request.get("te") == b"trailers"
    assert request.get("x-forwarded-host") == b"a"
    assert request.get("via").startswith(b"2 ")  # type: ignore[union-attr]
    assert (await rig.log.last())["protocol"] == "2"


async def test_many_streams_at_once_never_mix(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    for ident in range(1, 101, 2):
        await client.request(ident, [*POST[:3], (b":path", b"/%d" % ident)], ended=False)
    for ident in range(1, 101, 2):
        await client.data(ident, b"%d" % ident * 100)
    for ident in range(1, 101, 2):
        await client.data(ident, b"", ended=True)
    for ident in range(1, 101, 2):
        response = await client.response(ident)
        assert response.body == b"%d" % ident * 100
        assert response.fields[b"x-target"] == b"/%d" % ident


async def test_a_body_with_its_length_and_one_without(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    for ident, more in ((1, [(b"content-length", b"5")]), (3, [])):
        await client.request(ident, [*POST, *more], ended=False)
        await client.data(ident, b"hello", ended=True)
        assert (await client.response(ident)).body == b"hello"
    first, second = upstream.requests
    assert (first.get("content-length"), first.get("transfer-encoding")) == (b"5", None)
    assert (second.get("content-length"), second.get("transfer-encoding")) == (None, b"chunked")


async def test_a_post_that_ends_with_its_head_says_that_its_body_is_empty(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """Many servers of HTTP/1.1 reject a POST without a length with 411 (RFC 9110 8.6)."""
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    for ident, fields in ((1, POST), (3, GET)):
        await client.request(ident, fields)
        assert (await client.response(ident)).status == 200
    post, get = upstream.requests
    assert (post.get("content-length"), post.get("transfer-encoding")) == (b"0", None)
    assert (get.get("content-length"), get.get("transfer-encoding")) == (None, None)


async def test_trailers_both_ways_and_early_hints(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, POST, ended=False)
    await client.data(1, b"hello")
    await client.send(frame(HEADERS, 5, 1, block([(b"x-sum", b"7")])))
    link = await upstream.link()
    request = await link.request()
    assert request.trailers == [b"x-sum: 7"]
    await link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"ok"), b"0\r\nGrpc-Status: 0\r\n\r\n")
    response = await client.response()
    assert [early[b":status"] for early in response.interims] == [b"103"]
    assert (response.body, response.trailers) == (b"ok", {b"grpc-status": b"0"})


async def test_100_continue(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*POST, (b"expect", b"100-continue"), (b"content-length", b"2")], ended=False)
    link = await upstream.link()
    message = await link.head()
    await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    response = await client.some(1, lambda r: r.interims)
    assert response.interims[0][b":status"] == b"100"
    await client.data(1, b"hi", ended=True)
    await link.body(message)
    await link.send(OK)
    assert (await client.response()).body == b"ok"


async def upload(client: Http2Client, bodies: dict[int, bytes]) -> None:
    """Send them side by side, a piece of each in one write, as far as the windows of the streams are open."""
    allowed = dict.fromkeys(bodies, 65535)
    sent = dict.fromkeys(bodies, 0)
    seen = 0
    while any(sent[ident] < len(body) for ident, body in bodies.items()):
        for found in client.frames[seen:]:
            if found.kind == WINDOW_UPDATE and found.ident:
                allowed[found.ident] += found.number
        seen = len(client.frames)
        pieces = b""
        for ident, body in bodies.items():
            size = min(8000, allowed[ident], len(body) - sent[ident])
            if size:
                piece = body[sent[ident] : sent[ident] + size]
                sent[ident] += size
                allowed[ident] -= size
                pieces += frame(DATA, sent[ident] == len(body), ident, piece)
        if pieces:
            await client.send(pieces)
        else:
            await client.read()


async def test_a_large_body_each_way_with_small_windows(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    body = bytes(range(256)) * 2048
    await client.request(1, [*POST, (b"content-length", b"%d" % len(body))], ended=False)
    await upload(client, {1: body})
    opened = 0
    while not client.responses.get(1) or not client.responses[1].ended:
        await client.read()
        got = len(client.responses[1].body) if 1 in client.responses else 0
        if got > opened:
            await client.send(window_update(1, got - opened), window_update(0, got - opened))
            opened = got
    assert client.responses[1].body == body


def held(rig: Rig) -> int:
    """Streams whose endpoint takes nothing."""
    (connection,) = (c for c in rig.gateway.server.connections if isinstance(c, H2Server))
    return sum(stream.request_state is RequestState.HELD for stream in connection.streams.values())


@pytest.mark.plain
async def test_one_read_that_feeds_endpoints_that_are_slow_never_mixes(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """Each waits for its part of what one read brought."""
    slow = Upstream(receive_buffer=4096)
    async with slow:
        rig = await gateway_for(slow, http2=True, timeouts=replace(TIMEOUTS, body_idle=30))
        client = await client_of(rig)
        bodies = {ident: b"%d|" % ident * 1_500_000 for ident in (1, 3, 5)}
        for ident in bodies:
            await client.request(ident, [*POST[:3], (b":path", b"/%d" % ident)], ended=False)
        sending = asyncio.ensure_future(upload(client, bodies))
        try:
            links = [await slow.link() for _ in bodies]
            await eventually(lambda: held(rig) == len(bodies), "every endpoint is full", 20)
            requests = await asyncio.gather(*(link.request() for link in links))
            await sending
        finally:
            sending.cancel()
        for request in requests:
            assert request.body == bodies[int(request.target[1:])]
        for link in links:
            await link.send(OK)
        for ident in bodies:
            assert (await client.response(ident)).body == b"ok"


@pytest.mark.parametrize("fields", SPLITTING.values(), ids=SPLITTING)
async def test_what_would_be_another_request_reaches_no_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, fields: Fields
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, fields)
    assert (await client.response()).status == 400
    await client.request(3)
    assert (await client.response(3)).status == 200
    assert len(upstream.requests) == 1
    refused, served = await rig.log.wait(2)
    assert refused["reason"] in ("bad_request", "bad_framing")
    assert served["reason"] == ""


async def test_cve_2021_21295_a_body_of_another_length_is_cut(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*POST, (b"content-length", b"5")], ended=False)
    await client.data(1, b"abc")
    link = await upstream.link()
    await link.head()
    await client.data(1, b"defgh", ended=True)
    assert (await client.response()).code == 1
    assert await link.broken()


async def test_a_caller_that_resets_ends_the_work_of_the_endpoint(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, max_concurrent=1)
    client = await client_of(rig)
    await client.request(1)
    link = await upstream.link()
    await link.request()
    began = asyncio.get_running_loop().time()
    await client.send(rst_stream(1, CANCEL))
    await link.gone()
    await eventually(lambda: rig.permits() == 0, "the permit is back")
    assert asyncio.get_running_loop().time() - began < PROMPT
    (line,) = await rig.log.wait(1)
    assert line["reason"] == "client_gone"


async def test_cve_2023_44487_streams_that_one_read_begins_and_resets_reach_no_endpoint(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, http2=True, max_concurrent=5)
    client = await client_of(rig)
    flood = b"".join(frame(HEADERS, 5, ident, block(GET)) + rst_stream(ident, 8) for ident in range(1, 2001, 2))
    client.push(flood)
    assert await client.goaway() == ENHANCE_YOUR_CALM
    assert upstream.accepted == 0
    assert rig.permits() == 0


async def test_cve_2016_1546_windows_that_stay_shut_free_their_permits(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = each_request(lambda _: answer(b"x" * 100_000))
    rig = await gateway_for(upstream, http2=True, max_concurrent=5, limits=replace(Limits(), body_timeout=0.4))
    client = await client_of(rig, window=0)
    for ident in range(1, 11, 2):
        await client.request(ident)
    await eventually(lambda: rig.permits() == 5, "all permits are in use")
    for ident in range(1, 11, 2):
        assert (await client.response(ident)).code == CANCEL
    await eventually(lambda: rig.permits() == 0, "the permits are back")
    assert {line["reason"] for line in await rig.log.wait(5)} == {"client_timeout"}


async def test_one_slow_stream_does_not_hold_the_others(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda m: answer(b"x" * (1 << 20) if m.target == b"/big" else b"ok"))
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig, window=1000)
    await client.request(1, [*GET[:3], (b":path", b"/big")])
    await client.some(1, lambda r: len(r.body) == 1000)
    for ident in range(3, 31, 2):
        await client.request(ident)
        assert (await client.response(ident)).body == b"ok"
    assert len(client.responses[1].body) == 1000


async def test_a_response_that_broke_off_is_reset(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    for ident, framing in ((1, "Content-Length: 10"), (3, "Transfer-Encoding: chunked")):
        await client.request(ident)
        link = await upstream.link()
        await link.request()
        await link.send(head(framing), b"5\r\nabcde\r\n" if ident == 3 else b"abcde")
        await client.some(ident, lambda r: r.body)
        link.close()
        response = await client.response(ident)
        assert (response.ended, response.code) == (False, INTERNAL_ERROR)


async def test_an_own_response_to_an_upload_ends_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, active=False)
    client = await client_of(rig)
    await client.request(1, POST, ended=False)
    response = await client.response()
    assert (response.status, response.fields[b"x-gateway-reason"]) == (404, b"proxy_disabled")
    await client.some(1, lambda r: r.code is not None)
    assert client.responses[1].code == NO_ERROR


async def test_an_upload_that_stops_is_408(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, limits=replace(Limits(), body_timeout=0.3))
    client = await client_of(rig)
    await client.request(1, POST, ended=False)
    await client.data(1, b"abc")
    response = await client.response()
    assert (response.status, response.fields[b"x-gateway-reason"]) == (408, b"client_timeout")
    assert await (await upstream.link()).broken()


async def test_uploads_that_their_endpoint_does_not_take_leave_the_connection_open(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    for ident in range(1, 41, 2):
        await client.request(ident, POST, ended=False)
        for _ in range(4):
            await client.data(ident, bytes(16000))
    upstream.behaviour = ok()  # of connections that come from now on
    await client.request(41)
    assert (await client.response(41)).body == b"ok"


async def test_a_drain_finishes_what_runs(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1)
    link = await upstream.link()
    await link.request()
    draining = asyncio.ensure_future(rig.gateway.server.drain(5))
    await client.some(0, lambda _: any(f.kind == 7 for f in client.frames))
    await link.send(OK)
    assert (await client.response()).body == b"ok"
    assert await draining
    assert await client.goaway() == NO_ERROR


async def test_both_protocols_on_one_listener(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, http2=True)
    assert (await rig.ask()).status == 200
    assert (await rig.log.last())["protocol"] == "1.1"
    client = await client_of(rig)
    await client.request(1)
    assert (await client.response()).status == 200


async def test_without_the_setting_the_preface_is_a_bad_request(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await client_of(rig)
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert upstream.accepted == 0


async def test_a_head_beyond_the_limits_is_431(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*GET, *[(b"x-%d" % number, b"y") for number in range(200)]])
    assert (await client.response()).status == 431
    assert upstream.accepted == 0
    await client.send(settings([]))
    await asyncio.sleep(GLANCE)
    assert not client.ended


async def test_to_head_there_is_no_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    def reply(message: Message) -> bytes:
        assert message.method == b"HEAD"
        return head("Content-Length: 5")

    upstream.behaviour = each_request(reply)
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [(b":method", b"HEAD"), *GET[1:]])
    response = await client.response()
    assert (response.fields[b"content-length"], response.body) == (b"5", b"")


async def test_a_stream_of_tokens_comes_as_it_is_sent(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, timeouts=replace(TIMEOUTS, body_idle=5))
    client = await client_of(rig)
    await client.request(1)
    link = await upstream.link()
    await link.request()
    await link.send(head("Transfer-Encoding: chunked"))
    for number in range(20):
        await link.send(chunk(b"token %d\n" % number))
        await client.some(1, lambda r, n=number: b"token %d\n" % n in r.body)
    await link.send(LAST_CHUNK)
    assert (await client.response()).ended


async def test_a_ping_does_not_free_who_was_refused_from_its_turn(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Any frame between two requests did, so that a crowd could fill the turns of the event loop with refusals."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, http2=True, path="/p")
    crowd, good = [await client_of(rig) for _ in range(12 * PER_TURN)], await client_of(rig)
    there = [*GET[:3], (b":path", b"/p")]
    await good.request(1, there)
    assert (await good.response()).status == 200
    for client in crowd:
        await client.request(1)
        assert (await client.response()).status == 404
        await client.send(frame(PING, 0, 0, b"12345678"))
        while not any(found.kind == PING for found in client.frames):
            await client.read()
    for client in crowd:
        client.push(frame(HEADERS, 5, 3, block(GET)))
    good.push(frame(HEADERS, 5, 3, block(there)))
    assert (await good.response(3)).status == 200
    lines = await rig.log.wait(2 * len(crowd) + 2)
    place = [line["path"] for line in lines[len(crowd) + 1 :]].index("/p")
    assert place <= 4 * PER_TURN, f"{place} requests of others came first"


@pytest.mark.parametrize("length", [[], [(b"content-length", b"2")]], ids=["no length", "length"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the response", "behind its begin"])
async def test_trailers_beyond_the_limit_are_rejected(
    gateway_for: GatewayFor, upstream: Upstream, length: Fields, begun: bool
) -> None:
    """As in HTTP/1.1: a response says why, where none has begun, and the connection goes on."""
    rig = await gateway_for(upstream, http2=True, limits=Limits(max_trailer_bytes=100))
    client = await client_of(rig)
    await client.request(1, [*POST, *length], ended=False)
    await client.data(1, b"hi")
    link = await upstream.link()
    await link.until(b"hi")
    if begun:
        await link.send(head("Transfer-Encoding: chunked"), chunk(b"x"))
        await client.some(1, lambda r: r.body)
    await client.send(frame(HEADERS, 5, 1, block([(b"x-sum", b"7" * 100)])))
    response = await client.response()
    assert (response.status, response.ended, response.code) == (
        (200, False, INTERNAL_ERROR) if begun else (400, True, None)
    )
    assert await link.gone()
    assert not link.received.endswith(b"0\r\n\r\n")
    assert (await rig.log.last())["reason"] == "bad_framing"
    upstream.behaviour = ok()
    await client.request(3)
    assert (await client.response(3)).body == b"ok"
