"""Bodies flow as they come, in bounded memory, and no two streams ever mix."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket

import pytest
from harness.answers import answer, chunk, head
from harness.client import request
from harness.message import Message
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream


async def test_each_event_arrives_while_the_next_is_withheld(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
    await client.until(b"\r\n\r\n")
    for i in range(5):
        event = b"data: %d\n\n" % i
        await link.send(chunk(event))
        await client.expect(chunk(event))
    await link.send(b"0\r\n\r\n")
    await client.expect(b"0\r\n\r\n")


async def test_the_upload_arrives_before_it_is_complete(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/", "Transfer-Encoding: chunked", method="POST"), chunk(b"first"))
    link = await upstream.link()
    await link.head()
    await link.expect(chunk(b"first"))
    await client.send(chunk(b"second"))
    await link.expect(chunk(b"second"))
    await client.send(b"0\r\n\r\n")
    await link.expect(b"0\r\n\r\n")
    await link.send(head("Content-Length: 0"))
    assert (await client.response()).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_many_streams_never_mix(gateway_for: GatewayFor, upstream_class: type[Upstream], chunked: bool) -> None:
    """Random bodies at random pace through the shared buffers, up and down at once, compared by their hashes."""
    size = 400_000

    def body(seed: bytes) -> bytes:
        return random.Random(seed).randbytes(size)

    async def serve(link: Link) -> None:
        asked: Message = await link.request()
        seed = asked.start.split()[1]
        assert asked.body == body(seed + b"up")
        data = body(seed)
        if not chunked:
            await link.send(head(f"Content-Length: {size}", "Connection: close"), data)
            return
        await link.send(head("Transfer-Encoding: chunked", "Connection: close"))
        pace = random.Random(seed + b"pace")
        position = 0
        while position < size:
            step = pace.choice([1, 57, 4095, 4096, 33_000, 70_000])
            await link.send(chunk(data[position : position + step]))
            position += step
        await link.send(b"0\r\n\r\n")

    async with upstream_class(serve) as upstream:
        rig = await gateway_for(upstream)

        async def one(i: int) -> None:
            target = f"/{i}"
            response = await rig.ask(target, method="POST", body=body(target.encode() + b"up"))
            assert response.status == 200, response.body
            wanted = body(target.encode())
            assert hashlib.sha256(response.body).digest() == hashlib.sha256(wanted).digest()

        await asyncio.gather(*(one(i) for i in range(24)))


@pytest.mark.raw  # under TLS no buffer is lent: the encrypted bytes are a copy
async def test_a_reader_that_stops_holds_one_buffer_and_the_upstream_waits(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=4096)
    await client.send(request())
    link = await upstream.link()
    await link.head()
    size = 20_000_000
    sending = asyncio.ensure_future(link.send(head(f"Content-Length: {size}"), b"x" * size))
    await eventually(lambda: rig.gateway.buffers.outstanding == 1, "the reader has stopped the flow")
    assert not sending.done()
    response = await client.response()
    assert len(response.body) == size
    await sending
    assert rig.gateway.buffers.allocations <= 4


async def test_a_slow_reader_of_the_last_bytes_does_not_spoil_the_connection_for_the_next(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    slow = await rig.connect(receive_buffer=4096)
    await eventually(lambda: not rig.gateway.server.handshakes and rig.gateway.connections == 1)
    (connection,) = rig.gateway.server.connections
    assert connection.transport is not None
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await slow.send(request())
    link = await upstream.link()
    await link.request()
    await link.send(head("Content-Length: 30000"))
    await slow.until(b"\r\n\r\n")
    await link.send(b"x" * 30_000)
    await eventually(lambda: rig.p.endpoints[0].pool.idle == 1, "the upstream has done its part")
    assert connection.full, "the client has not: else this test tests nothing"
    other = await rig.connect()
    await other.send(request())
    assert (await link.request()).method == b"GET"
    await link.send(answer(b"next"))
    assert (await other.response()).body == b"next"
    assert await slow.exactly(30_000) == b"x" * 30_000
