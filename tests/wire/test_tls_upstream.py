"""Bodies through TLS to the upstream: as they come, in bounded memory, and to the last byte."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

import pytest
from harness.answers import LAST_CHUNK, chunk, echo, head
from harness.client import code_of, request
from harness.message import Truncated
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream

UPLOADS = {
    "late": [b"x" * 100],
    "two pieces": [b"x" * 100, b"y" * 100],
    "five pieces": [b"%d" % number * 100 for number in range(5)],
    "a large one": [bytes([number]) * 50_000 for number in range(40)],
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("pieces", UPLOADS.values(), ids=UPLOADS.keys())
async def test_a_body_that_comes_after_its_head_is_relayed(
    gateway_for: GatewayFor, upstream: Upstream, pieces: list[bytes], framing: str
) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for _ in range(2):  # on a new connection, then on a pooled one
        chunked = framing == "chunked"
        line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
        await client.send(request("/", line, method="POST"))
        for piece in pieces:
            await asyncio.sleep(0.01)  # paces the segments; nothing waits for it
            await client.send(chunk(piece) if chunked else piece)
        if chunked:
            await client.send(b"0\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body) == (200, b"".join(pieces))
    assert upstream.accepted == 1


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_the_end_of_a_response_that_comes_faster_than_it_is_read(
    gateway_for: GatewayFor, upstream: Upstream, framing: str
) -> None:
    """The upstream has sent all and closed long before the client takes it: nothing may be lost on the way."""
    body = bytes(range(256)) * 2000
    lines = {"length": [f"Content-Length: {len(body)}"], "chunked": ["Transfer-Encoding: chunked"], "close": []}[
        framing
    ]

    async def serve(link: Link) -> None:
        await link.request()
        await link.send(
            head(*lines, "Connection: close"), *([chunk(body), LAST_CHUNK] if framing == "chunked" else [body])
        )

    upstream.behaviour = serve
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=4096)
    await client.send(request())
    await eventually(lambda: client.sock.recv(1, socket.MSG_PEEK) if readable(client.sock) else b"", "it has begun")
    await asyncio.sleep(0.05)  # the client rests
    response = await client.response()
    assert response.body == body


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


async def test_a_body_until_close_is_complete_at_the_close_and_at_nothing_less(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """RFC 9112 9.8: under TLS a FIN without close_notify may be anyone's. Without TLS nobody can tell."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    await link.send(head(), b"as much as ")
    await client.holds(b"as much as ")
    link.cut()
    if upstream.scheme == "http":
        assert (await client.response()).body == b"as much as "
        return
    with pytest.raises(Truncated):
        await client.response()
    assert (await rig.log.last())["reason"] == "upstream_reset"


async def test_an_upstream_that_speaks_first(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """As servers of other protocols do: what it says is no response to a request that it has not seen."""

    async def greet(link: Link) -> None:
        await link.send(b"220 mail.example ESMTP\r\n")
        await link.gone()

    upstream.behaviour = greet
    rig = await gateway_for(upstream)
    for _ in range(20):
        response = await rig.ask()
        assert response.status == 502
        assert code_of(response) in {"upstream_bad_response", "upstream_reset"}


@pytest.mark.secure
async def test_an_upload_and_its_response_through_a_tunnel(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forward proxy opens the tunnel; TLS inside it is ours, with the same backpressure and ends."""
    upstream.behaviour = echo()
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        rig = await gateway_for(f"https://upstream.test:{upstream.port}")
        client = await rig.connect()
        for size in (100, 3_000_000):
            await client.send(request("/", f"Content-Length: {size}", method="POST"))
            await asyncio.sleep(0.01)
            await client.send(b"x" * size)
            assert (await client.response()).body == b"x" * size
        assert asked == [b"CONNECT upstream.test:%d HTTP/1.1" % upstream.port]
        await rig.aclose(check=True)
