"""WebSocket over HTTP/2 (RFC 8441) to endpoints that speak HTTP/1.1: each frame that a caller sends and gets."""

from __future__ import annotations

import asyncio

import pytest
from harness.answers import OK, answer
from harness.frames import GET, Fields
from harness.http2 import Http2Client, Response
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream
from harness.websocket import CLOSE, GOING_AWAY, SWITCHED, frame, masked, switched, unmask

from gateway.config.records import CircuitBreaker, Limits
from gateway.proxy.bridge import accepted
from gateway.wire.h2.codes import CANCEL, DATA, HEADERS, NO_ERROR, PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE
from gateway.wire.h2.frames import frame as h2_frame
from gateway.wire.h2.frames import rst_stream, window_update
from gateway.wire.h2.server import H2Server

pytestmark = [pytest.mark.plain, pytest.mark.raw]
CONNECT: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:], (b"sec-websocket-version", b"13")]
OPENED = b"200"


async def connected(rig: Rig, *, window: int | None = None) -> Http2Client:
    client = await Http2Client.connect(rig.gateway.addresses[0], window=window)
    rig.clients.append(client)  # type: ignore[arg-type]
    return client


async def accept(link: Link, *lines: str) -> None:
    """Respond to a handshake as an endpoint does."""
    key = (await link.head()).get("sec-websocket-key")
    assert key is not None
    agreed = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accepted(key).decode()}")
    await link.send(SWITCHED.split(b"\r\n")[0] + b"\r\n" + "\r\n".join([*agreed, *lines, "", ""]).encode())


async def opened(client: Http2Client, upstream: Upstream, ident: int = 1, *lines: str) -> Link:
    """A tunnel."""
    await client.request(ident, CONNECT, ended=False)
    link = await upstream.link()
    await accept(link, *lines)
    response = await client.some(ident, lambda r: r.fields)
    assert response.fields[b":status"] == OPENED
    return link


async def got(client: Http2Client, data: bytes, ident: int = 1) -> None:
    """All that came on the stream is ``data``."""
    assert (await client.some(ident, lambda r: len(r.body) >= len(data))).body == data


async def both_ways(client: Http2Client, link: Link, ident: int = 1) -> None:
    seen = client.responses[ident].body
    await client.data(ident, masked(b"ping"))
    await link.expect(masked(b"ping"))
    await link.send(frame(b"pong"))
    await got(client, seen + frame(b"pong"), ident)


def ended(response: Response) -> tuple[bool, int | None]:
    return response.ended, response.code


async def test_a_handshake_an_echo_and_a_close(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True, max_concurrent=1)
    client = await connected(rig)
    asked = [
        *CONNECT,
        (b"origin", b"https://a.test"),
        (b"sec-websocket-protocol", b"chat, superchat"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    await client.request(1, asked, ended=False)
    link = await upstream.link()
    await accept(link, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate", "Date: D")
    response = await client.some(1, lambda r: r.fields)
    seen = link.received
    assert seen.startswith(b"GET /a HTTP/1.1\r\nHost: ")
    for line in (b"Connection: Upgrade", b"Upgrade: websocket", b"origin: https://a.test", b"X-Forwarded-Host: a"):
        assert seen.count(b"\r\n" + line + b"\r\n") == 1, line
    assert seen.lower().count(b"sec-websocket-key") == 1
    assert b"dGhlIHNhbXBsZSBub25jZQ==" not in seen
    assert b"sec-websocket-protocol: chat, superchat\r\n" in seen
    assert response.fields.pop(b"x-request-id")
    assert response.fields == {
        b":status": OPENED,
        b"sec-websocket-protocol": b"chat",
        b"sec-websocket-extensions": b"permessage-deflate",
        b"date": b"D",
    }
    await both_ways(client, link)
    assert rig.permits() == 1
    await client.data(1, masked(b"", CLOSE))
    await link.expect(masked(b"", CLOSE))
    await link.send(frame(b"", CLOSE))
    link.half_close()
    response = await client.some(1, lambda r: r.code is not None)
    assert ended(response) == (True, NO_ERROR), "browsers do not end a stream that the other side has ended"
    assert await link.rest() == b""
    assert link.ended == "eof"
    await rig.settled()
    line = await rig.log.last()
    assert (line["protocol"], line["method"], line["status_code"], line["reason"]) == ("2", "GET", 101, "")
    assert (line["tunnel"]["end"], line["tunnel"]["clean"]) == ("upstream", True)
    sent, came = masked(b"ping") + masked(b"", CLOSE), frame(b"pong") + frame(b"", CLOSE)
    assert (line["bytes_in"], line["bytes_out"]) == (len(sent), len(came))
    assert response.body == came
    await client.request(3, CONNECT, ended=False)
    await accept(await upstream.link())
    assert (await client.some(3, lambda r: r.fields)).fields[b":status"] == OPENED, "the connection goes on"


async def test_it_is_announced(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await connected(rig)
    await client.some(0, lambda _: client.frames)
    assert client.frames[0].kind == SETTINGS
    assert b"\x00\x08\x00\x00\x00\x01" in client.frames[0].payload


REJECTED = {
    "another protocol": ([*CONNECT[:1], (b":protocol", b"connect-udp"), *CONNECT[2:]], 501, "not_implemented", None),
    "no protocol": ([CONNECT[0], *CONNECT[2:]], 501, "not_implemented", None),
    "a body": ([*CONNECT, (b"content-length", b"0")], 400, "bad_request", PROTOCOL_ERROR),
    "no version": (CONNECT[:-1], 400, "bad_request", None),
}


@pytest.mark.parametrize(("fields", "status", "code", "reset"), REJECTED.values(), ids=REJECTED.keys())
async def test_what_opens_no_tunnel(
    gateway_for: GatewayFor, upstream: Upstream, fields: Fields, status: int, code: str, reset: int | None
) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig)
    await client.request(1, fields, ended=False)
    response = await client.some(1, lambda r: r.code is not None)
    assert (response.status, response.fields[b"x-gateway-reason"].decode()) == (status, code)
    assert response.code == (reset or NO_ERROR)
    assert upstream.accepted == 0


@pytest.mark.covers("EC-003", "T031a")
async def test_a_proxy_without_websocket_says_so(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await connected(rig)
    await client.request(1, CONNECT, ended=False)
    response = await client.response()
    assert (response.status, response.fields[b"x-gateway-reason"]) == (501, b"websocket_disabled")


async def test_another_response_is_relayed_and_a_2xx_opens_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True, circuit_breaker=CircuitBreaker(True, 1))
    client = await connected(rig)
    await client.request(1, CONNECT, ended=False)
    link = await upstream.link()
    await link.request()
    await link.send(answer(b"no", "Sec-WebSocket-Version: 13", status=426))
    response = await client.some(1, lambda r: r.code is not None)
    assert (response.status, response.body, ended(response)) == (426, b"no", (True, NO_ERROR))
    await client.request(3, CONNECT, ended=False)
    await link.request()
    await link.send(OK)
    response = await client.response(3)
    assert (response.status, response.fields[b"x-gateway-reason"]) == (501, b"not_implemented")
    assert b"responded with 200" in response.body
    await link.gone()
    await rig.settled()
    assert rig.p.endpoints[0].breaker.state == 0, "it says nothing about the upstream's health"


@pytest.mark.parametrize("lines", [[], ["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]])
async def test_a_switch_that_does_not_belong_to_the_handshake(
    gateway_for: GatewayFor, upstream: Upstream, lines: list[str]
) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig)
    await client.request(1, CONNECT, ended=False)
    link = await upstream.link()
    await link.head()
    raw = switched().split(b"Sec-WebSocket-Accept")[0] + "\r\n".join([*lines, "", ""]).encode()
    await link.send(raw + frame(b"hello"))
    response = await client.response()
    assert (response.status, response.fields[b"x-gateway-reason"]) == (502, b"upstream_bad_response")
    await link.gone()


async def test_bytes_behind_the_heads_come_first_and_in_order(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig)
    await client.request(1, CONNECT, ended=False)
    early = b"".join(masked(b"%d" % number) for number in range(1000))
    await client.data(1, early, ended=True)
    link = await upstream.link()
    head = await link.head()
    late = b"".join(frame(b"%d" % number) for number in range(1000))
    value = accepted(head.get("sec-websocket-key") or b"").decode()
    lines = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {value}\r\n\r\n"
    await link.send(b"HTTP/1.1 101 Switching Protocols\r\n" + lines.encode() + late)
    await link.expect(early)
    assert await link.rest() == b""
    await got(client, late)
    link.close()
    assert ended(await client.response()) == (True, None)
    await rig.settled()
    assert (await rig.log.last())["tunnel"]["end"] == "client"


async def test_either_end_may_go_on_when_the_other_has_ended(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig)
    link = await opened(client, upstream)
    await link.send(frame(b"last"))
    link.half_close()
    await got(client, frame(b"last"))
    assert ended(await client.some(1, lambda r: r.ended)) == (True, None)
    for _ in range(3):
        await client.data(1, masked(b"on" * 1000))
        await link.expect(masked(b"on" * 1000))
    await client.data(1, masked(b"last"), ended=True)
    await link.expect(masked(b"last"))
    assert await link.rest() == b""
    await rig.settled()
    assert client.responses[1].code is None
    assert (await rig.log.last())["tunnel"]["end"] == "upstream"


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_the_half_that_does_not_end_is_cut(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr("gateway.wire.tunnel.FIN_SECONDS", 0.1)
    rig = await gateway_for(upstream, http2=True, websocket=True, max_concurrent=1)
    client = await connected(rig)
    link = await opened(client, upstream)
    await client.data(1, b"", ended=True) if first == "client" else link.half_close()
    response = await client.some(1, lambda r: r.code is not None)
    assert ended(response) == ((False, CANCEL) if first == "client" else (True, NO_ERROR))
    await link.gone()
    await rig.settled()
    line = await rig.log.last()
    assert (line["reason"], line["tunnel"]["end"]) == ("", first)


@pytest.mark.parametrize("way", ["reset", "connection", "trailers", "upstream"])
async def test_either_side_breaks_off(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True, max_concurrent=2)
    client = await connected(rig)
    link = await opened(client, upstream)
    await both_ways(client, link)
    if way == "reset":
        await client.send(rst_stream(1, CANCEL))
    elif way == "connection":
        client.close()
    elif way == "trailers":  # RFC 9113 8.5
        await client.send(h2_frame(HEADERS, 5, 1, b""))
        assert (await client.some(1, lambda r: r.code is not None)).code == PROTOCOL_ERROR
    else:
        link.reset()
        assert ended(await client.some(1, lambda r: r.code is not None)) == (False, CANCEL)
    await link.gone()
    await rig.settled()
    line = await rig.log.last()
    reasons = {"trailers": "bad_request", "upstream": "upstream_reset"}
    assert (line["reason"], line["tunnel"]["end"]) == (
        reasons.get(way, "client_gone"),
        "upstream" if way == "upstream" else "client",
    )
    if way != "connection":
        link = await opened(client, upstream, 3)
        await both_ways(client, link, 3)


async def test_a_silent_tunnel_is_cut_and_no_other_bound_applies(gateway_for: GatewayFor, upstream: Upstream) -> None:
    limits = Limits(body_timeout=0.1, min_body_rate=10**9, max_body_bytes=10)
    rig = await gateway_for(upstream, http2=True, websocket=True, tunnel_idle=0.4, limits=limits)
    client = await connected(rig)
    link = await opened(client, upstream)
    begun = asyncio.get_running_loop().time()
    for _ in range(3):
        await asyncio.sleep(0.2)
        await both_ways(client, link)
    response = await client.response()
    assert ended(response) == (False, CANCEL)
    assert asyncio.get_running_loop().time() - begun >= 0.95
    await link.gone()
    await rig.settled()
    line = await rig.log.last()
    assert (line["reason"], line["tunnel"]["end"]) == ("tunnel_idle_timeout", "idle")


async def upload(client: Http2Client, ident: int, size: int) -> int:
    """Send zeros while the window of the stream is open, and read as long as that moves anything; what was sent."""
    allowed, sent, seen = 65535 + 1, 0, 0
    while True:
        for found in client.frames[seen:]:
            if found.kind == WINDOW_UPDATE and found.ident == ident:
                allowed += found.number
        seen = len(client.frames)
        step = min(16384, allowed - sent, size - sent)
        if step:
            await client.data(ident, bytes(step), ended=sent + step == size)
            sent += step
            continue
        if sent == size:
            return sent
        try:
            async with asyncio.timeout(0.3):
                assert await client.read()
        except TimeoutError:
            return sent


async def test_a_slow_endpoint_holds_its_own_stream_alone(
    gateway_for: GatewayFor, upstream_class: type[Upstream]
) -> None:
    async with upstream_class(receive_buffer=4096) as upstream:
        rig = await gateway_for(upstream, http2=True, websocket=True)
        client = await connected(rig)
        link = await opened(client, upstream)
        size = 1 << 24
        sent = await upload(client, 1, size)
        assert sent < size / 2, "the caller is held"
        other = await opened(client, upstream, 3)
        await both_ways(client, other, 3)
        assert rig.gateway.exchanges == 2
        link.record = False
        taken = asyncio.create_task(link.exactly(sent))
        assert await taken == bytes(sent)
        await both_ways(client, link)
        await client.data(1, masked(b"last"), ended=True)
        await link.expect(masked(b"last"))
        assert await link.rest() == b"", "the end comes behind the last byte"


async def test_a_shut_window_holds_the_endpoint_and_no_other_stream(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True, limits=Limits(body_timeout=0.2, min_body_rate=10**9))
    client = await connected(rig, window=1000)
    link = await opened(client, upstream)
    made = rig.gateway.buffers.allocations
    sending = asyncio.create_task(link.send(bytes(range(256)) * (1 << 16)))
    await client.some(1, lambda r: len(r.body) == 1000)
    other = await opened(client, upstream, 3)
    for _ in range(3):
        await asyncio.sleep(0.1)
        await both_ways(client, other, 3)
    assert not sending.done()
    assert len(client.responses[1].body) == 1000
    assert rig.gateway.buffers.allocations - made < 4
    await client.send(window_update(1, 99_000), window_update(0, 1 << 20))  # no more than the kernel holds for sure
    await client.some(1, lambda r: len(r.body) == 100_000)
    assert client.responses[1].body == (bytes(range(256)) * 400)[:100_000]
    await client.send(rst_stream(1, CANCEL))
    await sending
    assert await link.gone() == "reset"


async def test_the_end_waits_for_the_window(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig, window=10)
    link = await opened(client, upstream)
    await link.send(bytes(20))
    link.half_close()
    await client.some(1, lambda r: len(r.body) == 10)
    await client.data(1, masked(b"on"))
    await link.expect(masked(b"on"))
    await client.send(window_update(1, 10))
    response = await client.some(1, lambda r: r.ended)
    assert (len(response.body), response.code) == (20, None)
    await client.data(1, b"", ended=True)
    assert await link.rest() == b""
    await rig.settled()


@pytest.mark.parametrize("way", ["reset", "silence"])
async def test_a_caller_that_does_not_take_the_rest_of_a_cut_tunnel(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("gateway.wire.tunnel.FIN_SECONDS", 0.1)
    limits = Limits(body_timeout=60 if way == "reset" else 0.3)
    rig = await gateway_for(upstream, http2=True, websocket=True, max_concurrent=1, limits=limits)
    client = await connected(rig, window=10)
    link = await opened(client, upstream)
    await link.send(bytes(20))
    await client.some(1, lambda r: r.body)
    await client.data(1, b"", ended=True)
    (server,) = rig.gateway.server.connections
    assert isinstance(server, H2Server)
    await eventually(lambda: server.streams[1].delivering, "the tunnel is over")
    assert rig.permits() == 1, "it holds its place until all is taken"
    await link.gone()
    if way == "reset":
        await client.send(rst_stream(1, CANCEL))
    else:
        assert ended(await client.some(1, lambda r: r.code is not None)) == (False, CANCEL)
    await rig.settled()
    assert (await rig.log.last())["reason"] == ("client_gone" if way == "reset" else "client_timeout")


async def test_a_drain_takes_leave_and_then_cuts(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig)
    link, silent = await opened(client, upstream), await opened(client, upstream, 3)
    draining = asyncio.create_task(rig.gateway.drain(0.5))
    await got(client, GOING_AWAY)
    await got(client, GOING_AWAY, 3)
    said = await link.exactly(8)
    assert (said[:2], unmask(said[6:], said[2:6])) == (b"\x88\x82", b"\x03\xe9")
    await client.data(1, masked(b"late") + masked(b"\x03\xe9", CLOSE))
    await link.send(frame(b"late"), frame(b"\x03\xe9", CLOSE))
    assert await link.rest() == b"", "nothing follows a Close"
    assert ended(await client.some(1, lambda r: r.ended))[0]
    assert not await draining, "one did not close"
    await silent.gone()
    ends = {(line["reason"], line["tunnel"]["end"], line["tunnel"]["clean"]) for line in await rig.log.wait(2)}
    assert ends == {("", "drained", True), ("draining", "cut", False)}


async def test_very_many_small_frames(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await connected(rig, window=1 << 20)
    await client.send(window_update(0, 1 << 20))
    link = await opened(client, upstream)
    down, up = frame(b"x") * 40_000, masked(b"") * 5000
    sending = asyncio.create_task(link.send(down))
    for at in range(0, len(up), 1000):
        await client.data(1, up[at : at + 1000])
    await link.expect(up)
    await got(client, down)
    await sending
    assert [f for f in client.frames if f.kind == DATA and f.ident == 1]
    await eventually(lambda: rig.gateway.exchanges == 1)
