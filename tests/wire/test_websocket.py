"""WebSocket from the first byte of the handshake to the last one of the tunnel, on raw sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from harness.answers import OK, answer, head
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Link, Upstream
from harness.websocket import ACCEPT, KEY, SWITCHED, UPGRADE, frame, masked, switched, upgrade

from gateway.config.records import Limits

pytestmark = pytest.mark.http1

EXTENSIONS = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


async def opened(rig: Rig, upstream: Upstream, *, receive_buffer: int = 0) -> tuple[Client, Link]:
    """A tunnel."""
    client = await rig.connect(receive_buffer=receive_buffer)
    await client.send(upgrade())
    link = await upstream.link()
    await link.head()
    await link.send(SWITCHED)
    assert (await client.response()).status == 101
    return client, link


async def both_ways(client: Client, link: Link) -> None:
    await client.send(masked(b"ping"))
    await link.expect(masked(b"ping"))
    await link.send(frame(b"pong"))
    await client.expect(frame(b"pong"))


async def closes(client: Client, link: Link, rig: Rig) -> None:
    """As well-behaved peers do (RFC 6455 7.1.1): the server ends first."""
    link.half_close()
    assert await client.rest() == b""
    client.close()
    assert await link.gone() == "eof"
    await rig.settled()


async def test_the_handshake_goes_through_as_it_is(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    lines = [*UPGRADE[2:], EXTENSIONS, "Sec-WebSocket-Protocol: chat, superchat", "Origin: https://a.test"]
    await client.send(request("/chat?a=1", "Connection: keep-alive, Upgrade", "upgrade: WebSocket", *lines))
    link = await upstream.link()
    seen = await link.head()
    assert seen.start == b"GET /chat?a=1 HTTP/1.1"
    assert seen.all("connection") == [b"Upgrade"]
    assert seen.all("upgrade") == [b"websocket"]
    assert {line.encode() for line in lines} <= set(seen.lines)
    assert seen.get("x-forwarded-for") == b"127.0.0.1"
    agreed = ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat", "Content-Length: 0"]
    await link.send(switched(*agreed))
    told = await client.response()
    assert told.start == b"HTTP/1.1 101 Switching Protocols"
    assert told.options("connection") == {b"upgrade"}
    assert told.options("upgrade") == {b"websocket"}
    assert told.get("sec-websocket-accept") == ACCEPT.encode()
    assert told.get("sec-websocket-protocol") == b"chat"
    assert told.get("sec-websocket-extensions") == b"permessage-deflate"
    assert told.get("content-length") is None, "RFC 9110 8.6"
    assert told.get("x-request-id") is not None
    await both_ways(client, link)
    await closes(client, link, rig)
    line = await rig.log.last()
    assert (line["status_code"], line["reason"], line["tunnel"]["protocol"]) == (101, "", "websocket")
    assert (line["bytes_in"], line["bytes_out"]) == (len(masked(b"ping")), len(frame(b"pong")))


@pytest.mark.parametrize("pooled", [False, True])
async def test_bytes_behind_the_heads_come_first_and_in_order(
    gateway_for: GatewayFor, upstream: Upstream, pooled: bool
) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    link = None
    if pooled:
        await client.send(request())
        link = await upstream.link()
        await link.request()
        await link.send(OK)
        assert (await client.response()).status == 200
    early = b"".join(masked(b"%d" % number) for number in range(1000))
    await client.send(upgrade() + early[:5], early[5:])
    link = link or await upstream.link()
    await link.head()
    late = b"".join(frame(b"%d" % number) for number in range(1000))
    await link.send(SWITCHED + late)
    assert (await client.response()).status == 101
    await link.expect(early)
    await client.expect(late)
    await both_ways(client, link)
    await closes(client, link, rig)
    assert upstream.accepted == 1


@pytest.mark.parametrize("cut", range(1, len(SWITCHED) + 3, 19))
async def test_a_head_that_drips(gateway_for: GatewayFor, upstream: Upstream, cut: int) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    raw = upgrade()
    await client.send(raw[:cut])
    await asyncio.sleep(0.005)
    await client.send(raw[cut:])
    link = await upstream.link()
    await link.head()
    told = SWITCHED + frame(b"first")
    await link.send(told[:cut])
    await asyncio.sleep(0.005)
    await link.send(told[cut:])
    assert (await client.response()).status == 101
    await client.expect(frame(b"first"))
    await both_ways(client, link)
    await closes(client, link, rig)


@pytest.mark.plain
async def test_interim_responses_come_before_the_switch(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(upgrade())
    link = await upstream.link()
    await link.head()
    await link.send(head("Link: </a>", status="103 Early Hints"), SWITCHED)
    assert [(await client.response()).status for _ in range(2)] == [103, 101]
    await both_ways(client, link)
    await closes(client, link, rig)


@pytest.mark.parametrize("status", [200, 400, 401, 426, 503])
async def test_another_response_is_relayed_and_the_connection_goes_on(
    gateway_for: GatewayFor, upstream: Upstream, status: int
) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    link = None
    for _ in range(2):
        await client.send(upgrade())
        link = link or await upstream.link()
        await link.request()
        await link.send(answer(b"no", "Sec-WebSocket-Version: 13", status=status))
        told = await client.response()
        assert (told.status, told.body) == (status, b"no")
    assert upstream.accepted == 1, "both connections went back to where they came from"
    await rig.settled()
    assert [line["status_code"] for line in await rig.log.wait(2)] == [status] * 2
    assert all("tunnel" not in line for line in rig.log.lines())


WITHOUT = {
    "no key": [*UPGRADE[:2], "Sec-WebSocket-Version: 13"],
    "no version": [*UPGRADE[:2], f"Sec-WebSocket-Key: {KEY}"],
    "an empty key": [*UPGRADE[:3], "Sec-WebSocket-Key:"],
    "a short key": [*UPGRADE[:3], "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="],
    "a long key": [*UPGRADE[:3], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="],
    "a key with bits behind": [*UPGRADE[:3], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="],
    "two keys": [*UPGRADE, f"Sec-WebSocket-Key: {KEY}"],
    "two versions": [*UPGRADE, "Sec-WebSocket-Version: 8"],
    "a list of versions": [*UPGRADE[:2], "Sec-WebSocket-Version: 13, 8", UPGRADE[3]],
    "a length": [*UPGRADE, "Content-Length: 3"],
    "chunks": [*UPGRADE, "Transfer-Encoding: chunked"],
}


@pytest.mark.plain
@pytest.mark.parametrize("lines", WITHOUT.values(), ids=WITHOUT.keys())
async def test_a_handshake_that_is_not_valid(gateway_for: GatewayFor, upstream: Upstream, lines: list[str]) -> None:
    rig = await gateway_for(upstream, websocket=True)
    told = await rig.ask("/", *lines)
    assert (told.status, code_of(told)) == (400, "bad_request")
    assert b"The WebSocket handshake is not valid" in told.body
    assert upstream.accepted == 0


@pytest.mark.plain
@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "websocket"])
async def test_a_handshake_is_a_get(gateway_for: GatewayFor, upstream: Upstream, method: str) -> None:
    rig = await gateway_for(upstream, websocket=True)
    told = await rig.ask("/", *UPGRADE, method=method)
    assert told.status == 400
    assert upstream.accepted == 0


@pytest.mark.plain
async def test_a_handshake_without_host(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(b"GET / HTTP/1.1\r\n" + "\r\n".join([*UPGRADE, "", ""]).encode())
    assert (await client.response()).status == 400
    assert upstream.accepted == 0


IGNORED = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "no option": ["Connection: keep-alive", *UPGRADE[1:]],
    "another protocol": ["Connection: Upgrade", "Upgrade: IRC/6.9"],
}


@pytest.mark.plain
@pytest.mark.parametrize("lines", IGNORED.values(), ids=IGNORED.keys())
async def test_any_other_upgrade_is_ignored(gateway_for: GatewayFor, upstream: Upstream, lines: list[str]) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(request("/", *lines))
    link = await upstream.link()
    seen = await link.request()
    assert seen.all("upgrade") == seen.all("connection") == seen.all("http2-settings") == []
    await link.send(OK)
    assert (await client.response()).status == 200


@pytest.mark.plain
async def test_an_upgrade_in_http_1_0_means_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"))
    link = await upstream.link()
    assert (await link.request()).get("upgrade") is None
    await link.send(OK)
    assert (await client.response()).status == 200


BAD = {
    "another protocol": head("Connection: Upgrade", "Upgrade: h2c", status="101 Switching Protocols"),
    "two protocols": head("Connection: Upgrade", "Upgrade: websocket, h2c", status="101 Switching Protocols"),
    "no protocol": head("Connection: Upgrade", status="101 Switching Protocols"),
    "no option": head("Upgrade: websocket", status="101 Switching Protocols"),
    "HTTP/1.0": SWITCHED.replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.plain
@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
async def test_a_switch_to_something_else(gateway_for: GatewayFor, upstream: Upstream, raw: bytes) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(upgrade())
    link = await upstream.link()
    await link.head()
    await link.send(raw, frame(b"hello"))
    told = await client.response()
    assert (told.status, code_of(told)) == (502, "upstream_bad_response")
    await link.gone()


@pytest.mark.parametrize("websocket", [False, True])
async def test_a_switch_that_no_one_asked_for(gateway_for: GatewayFor, upstream: Upstream, websocket: bool) -> None:
    rig = await gateway_for(upstream, websocket=websocket)
    client = await rig.connect()
    await client.send(request("/", "Upgrade: h2c", "Connection: upgrade"))
    link = await upstream.link()
    await link.request()
    await link.send(SWITCHED, frame(b"hello"))
    told = await client.response()
    assert (told.status, code_of(told)) == (502, "upstream_bad_response")
    await link.gone()


@pytest.mark.plain
async def test_a_body_is_never_sent_for_a_switch(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A 101 in the middle of an upload, on a proxy that serves WebSocket."""
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 10", method="POST"), b"12345")
    link = await upstream.link()
    await link.head()
    await link.send(SWITCHED)
    assert (await client.response()).status == 502
    await link.gone()


async def test_either_end_may_go_on_when_the_other_has_ended(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client, link = await opened(rig, upstream)
    await client.send(masked(b"last"))
    client.half_close()
    await link.expect(masked(b"last"))
    assert await link.rest() == b""
    assert link.ended == "eof"
    await link.send(frame(b"one"), frame(b"two" * 50_000))
    link.half_close()
    assert await client.rest() == frame(b"one") + frame(b"two" * 50_000)
    await rig.settled()
    assert (await rig.log.last())["tunnel"]["end"] == "client"
    client, link = await opened(rig, upstream)
    await link.send(frame(b"last" * 50_000))
    link.half_close()
    assert await client.rest() == frame(b"last" * 50_000)
    await client.send(masked(b"one"), masked(b"two" * 50_000))
    client.half_close()
    assert await link.rest() == masked(b"one") + masked(b"two" * 50_000)
    await rig.settled()
    assert (await rig.log.last(2))["tunnel"]["end"] == "upstream"


async def test_the_half_that_does_not_end_is_cut(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.wire.tunnel.FIN_SECONDS", 0.1)
    rig = await gateway_for(upstream, websocket=True, max_concurrent=1)
    client, link = await opened(rig, upstream)
    link.half_close()
    assert await client.rest() == b""
    assert await link.gone() in {"eof", "reset"}
    await rig.settled()
    client, link = await opened(rig, upstream)
    client.half_close()
    await link.rest()
    assert await client.rest() == b""
    await rig.settled()
    assert [(line["reason"], line["tunnel"]["end"]) for line in await rig.log.wait(2)] == [
        ("", "upstream"),
        ("", "client"),
    ]


async def test_what_is_no_websocket_is_relayed_all_the_same(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The two ends know what they have agreed on."""
    rig = await gateway_for(upstream, websocket=True)
    client, link = await opened(rig, upstream)
    garbage = bytes(range(256)) * 4000
    for source, sink in ((client, link), (link, client)):
        sending = asyncio.create_task(source.send(garbage))
        assert await sink.exactly(len(garbage)) == garbage
        await sending
    await closes(client, link, rig)


async def test_a_large_tunnel_in_both_directions_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client, link = await opened(rig, upstream)
    down = b"".join(frame(bytes([number]) * size) for number in range(40) for size in (3, 200, 70_000))
    up = b"".join(masked(bytes([number]) * size) for number in range(40) for size in (3, 200, 70_000))
    got = await asyncio.gather(client.exactly(len(down)), link.exactly(len(up)), client.send(up), link.send(down))
    assert (got[0], got[1]) == (down, up)
    await closes(client, link, rig)
    line = await rig.log.last()
    assert (line["bytes_in"], line["bytes_out"]) == (len(up), len(down))


async def test_very_many_small_frames(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client, link = await opened(rig, upstream)
    down, up = frame(b"x") * 60_000, masked(b"") * 40_000
    got = await asyncio.gather(client.exactly(len(down)), link.exactly(len(up)), client.send(up), link.send(down))
    assert (got[0], got[1]) == (down, up)
    await closes(client, link, rig)


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_slow_reader_holds_the_other_end_in_bounded_memory(
    gateway_for: GatewayFor, upstream: Upstream, way: str
) -> None:
    rig = await gateway_for(
        upstream, websocket=True, limits=Limits(body_timeout=0.3, min_body_rate=10**9), tunnel_idle=60
    )
    client, link = await opened(rig, upstream, receive_buffer=4096)
    made = rig.gateway.buffers.allocations
    source, sink = (link, client) if way == "down" else (client, link)
    size, sent = 1 << 26, 0
    piece = bytes(range(256)) * 256

    async def flood() -> None:
        nonlocal sent
        while sent < size:
            await source.send(piece)
            sent += len(piece)

    flooding = asyncio.create_task(flood())
    await eventually(lambda: sent > 0)
    before = -1
    while sent != before:  # until nothing moves any more
        before = sent
        await asyncio.sleep(0.25)
    assert sent < size / 2, "the source is held"
    assert rig.gateway.buffers.allocations - made < 4, "what waits is in the kernel"
    assert rig.gateway.exchanges == 1, "neither body_timeout nor min_body_rate concerns a tunnel"
    sink.record = False
    got = 0
    while got < size:
        data = await sink.exactly(min(1 << 20, size - got))
        assert data
        got += len(data)
    await flooding
    await closes(client, link, rig)


@pytest.mark.parametrize("end", ["client", "upstream"])
async def test_idle_tunnels_are_cut(gateway_for: GatewayFor, upstream: Upstream, end: str) -> None:
    rig = await gateway_for(upstream, websocket=True, tunnel_idle=0.3)
    client, link = await opened(rig, upstream)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(4):  # any byte counts, whoever sends it
        await asyncio.sleep(0.15)
        source, sink = (client, link) if end == "client" else (link, client)
        await source.send(b"\x81")
        await sink.expect(b"\x81")
    assert await client.rest() == b""
    assert loop.time() - begun >= 0.85
    await link.gone()
    await rig.settled()
    line = await rig.log.last()
    assert (line["status_code"], line["reason"], line["tunnel"]["end"]) == (101, "tunnel_idle_timeout", "idle")


async def test_no_idle_bound(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(
        upstream,
        websocket=True,
        tunnel_idle=0,
        timeouts=replace(TIMEOUTS, total=0.2, body_idle=0.1, response_header=0.2),
    )
    client, link = await opened(rig, upstream)
    await asyncio.sleep(0.5)
    await both_ways(client, link)
    await closes(client, link, rig)
    assert (await rig.log.last())["reason"] == ""


@pytest.mark.plain
async def test_bytes_that_a_slow_reader_has_yet_to_take_keep_a_tunnel_open(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway has them all, and nothing comes; but they move."""
    monkeypatch.setattr("gateway.wire.tunnel._LOOK_SECONDS", 0.2)
    rig = await gateway_for(upstream, websocket=True, tunnel_idle=0.2)
    client, link = await opened(rig, upstream, receive_buffer=4096)
    await link.send(bytes(100_000))
    got = 0
    while got < 60_000:
        got += len(await client.exactly(3000))
        await asyncio.sleep(0.05)
    assert rig.gateway.exchanges == 1
    await link.gone()
    assert (await rig.log.last())["reason"] == "tunnel_idle_timeout", "until they do not"


async def test_timing_and_locations_in_a_switch(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(
        upstream.url + "/base", path="/-/ai", websocket=True, server_timing=True, rewrite_location=True
    )
    client = await rig.connect()
    await client.send(upgrade("/-/ai/chat"))
    link = await upstream.link()
    assert (await link.head()).target == b"/base/chat"
    await link.send(switched("Set-Cookie: a=1; Path=/base"))
    told = await client.response()
    assert told.get("set-cookie") == b"a=1; Path=/-/ai"
    assert b"gw-first-byte" in (told.get("server-timing") or b"")
    await both_ways(client, link)
    await closes(client, link, rig)


@pytest.mark.plain
async def test_a_client_that_resets_before_it_took_the_rest_of_a_cut_tunnel(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tunnel is over, and its exchange waits for the client alone."""
    monkeypatch.setattr("gateway.wire.tunnel.FIN_SECONDS", 0.2)
    rig = await gateway_for(upstream, websocket=True, max_concurrent=1)
    client, link = await opened(rig, upstream, receive_buffer=4096)
    sending = asyncio.create_task(link.send(bytes(1 << 24)))
    (server,) = rig.gateway.server.connections
    await eventually(lambda: server.full, "the client takes no more")  # type: ignore[attr-defined]
    client.half_close()
    await sending
    await link.gone()
    assert rig.gateway.exchanges == 1
    client.reset()
    await rig.settled()
    assert (await rig.log.last())["reason"] == "client_gone"
