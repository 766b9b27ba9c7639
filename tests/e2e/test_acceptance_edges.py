"""Acceptance: EC-001 to EC-005 and T036: long waits, large files, upgrades, odd upstreams, and too few buffers."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from harness.answers import OK, chunk, head, ok
from harness.client import code_of, request
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor
from harness.upstream import Link, Upstream

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
MEGABYTE = 1 << 20


@pytest.mark.covers("EC-001", "FR-004", "T005")
async def test_ec001_zero_waits_for_a_long_inference(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """``response_header: 0`` never gives up on a model that thinks, and tokens that come late still stream."""
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=0, body_idle=0))
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    await client.silence(0.5)
    await link.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
    await client.until(b"\r\n\r\n")
    await link.send(chunk(b"data: 1\n\n"))
    await client.expect(chunk(b"data: 1\n\n"))
    await client.silence(0.3)
    await link.send(chunk(b"data: 2\n\n"))
    await client.expect(chunk(b"data: 2\n\n"))


@pytest.mark.covers("EC-002", "FR-016", "T035")
@pytest.mark.parametrize("way", ["download", "upload"])
async def test_ec002_a_large_file_is_streamed(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    """A large body goes through as it comes: first bytes out before the last are in, and in few buffers."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    client.record = False
    length = f"Content-Length: {64 * MEGABYTE}"
    sent = request("/", length, method="POST") if way == "upload" else request()
    await client.send(sent)
    link = await upstream.link()
    link.record = False
    await link.head()
    if way == "download":
        await link.send(head(length))
        await client.until(b"\r\n\r\n")
    source, sink = (link, client) if way == "download" else (client, link)
    block = bytes(range(256)) * (MEGABYTE // 256)
    for _ in range(64):
        await source.send(block)
        assert await sink.exactly(MEGABYTE) == block
    if way == "upload":
        await link.send(OK)
        assert (await client.response("POST")).body == b"ok"
    assert rig.gateway.buffers.allocations < 16


@pytest.mark.http1
@pytest.mark.covers("EC-003", "T031a")
async def test_ec003_an_upgrade_is_refused_in_words(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A WebSocket handshake gets 501 with JSON that says so; the upstream hears nothing, and the gateway goes on."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    refused = await rig.ask("/", *UPGRADE)
    assert (refused.status, code_of(refused)) == (501, "websocket_disabled")
    assert "websocket" in json.loads(refused.body)["details"].lower()
    assert upstream.accepted == 0
    assert (await rig.ask()).status == 200


@pytest.mark.covers("EC-004", "T031b")
@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
    ids=["another protocol", "no status", "no length", "two lengths", "binary"],
)
async def test_ec004_nonsense_from_the_upstream(gateway_for: GatewayFor, upstream: Upstream, nonsense: bytes) -> None:
    """What is not HTTP is answered 502 `upstream_bad_response` and logged as that; the next request is served."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    await link.send(nonsense)
    refused = await client.response()
    assert (refused.status, code_of(refused)) == (502, "upstream_bad_response")
    await link.gone()
    assert (await rig.log.last())["reason"] == "upstream_bad_response"
    await client.send(request())
    following = await upstream.link()
    await following.request()
    await following.send(OK)
    assert (await client.response()).status == 200


@pytest.mark.raw  # under TLS no buffer is lent: the encrypted bytes are a copy
@pytest.mark.covers("EC-005", "T034a")
async def test_ec005_too_few_buffers(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """With all pooled buffers on loan to slow readers another is made: a warning, and every answer arrives whole."""
    body = bytes(range(251)) * 40_000

    async def large(link: Link) -> None:
        await link.request()
        await link.send(head(f"Content-Length: {len(body)}"), body)

    upstream.behaviour = large
    rig = await gateway_for(upstream)
    rig.gateway.buffers.capacity = 1
    clients = [await rig.connect(receive_buffer=4096) for _ in range(6)]
    with caplog.at_level(logging.WARNING, logger="gateway.wire.buffers"):
        for client in clients:
            await client.send(request())
        await eventually(lambda: rig.gateway.buffers.fallbacks > 0, "a buffer beyond the pool")
    assert "buffers are on loan" in caplog.text
    for client in clients:
        assert (await client.response()).body == body


@pytest.mark.raw  # as above
@pytest.mark.covers("FR-016", "T032", "T035", "T036", "T051", "T052", "T062")
async def test_t036_buffers_come_back_and_are_used_again(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Whatever was lent comes back, and later traffic of the same kind makes no buffer anew."""
    body = b"x" * (4 * MEGABYTE)

    async def large(link: Link) -> None:
        while True:
            await link.request()
            await link.send(head(f"Content-Length: {len(body)}"), body)

    upstream.behaviour = large
    rig = await gateway_for(upstream)
    pool = rig.gateway.buffers
    made: list[int] = []
    for _ in range(5):
        client = await rig.connect(receive_buffer=4096)
        assert len((await client.ask()).body) == len(body)
        await rig.settled()
        made.append(pool.allocations)
    assert pool.puts > 0, "no buffer was ever lent"
    assert pool.gets - 1 == pool.puts
    assert made[-1] <= made[0] + 1, f"buffers made: {made}"
