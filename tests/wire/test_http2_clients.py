"""HTTP/2 with clients that people use: curl, nghttp and h2load, and python-hyper's h2."""

from __future__ import annotations

import asyncio
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from harness.answers import answer, each_request, echo
from harness.client import Client
from harness.debian import found, prepare
from harness.rig import GatewayFor
from harness.tls import listener_tls, write_authority
from harness.toolbox import unavailable
from harness.upstream import Upstream
from harness.websocket import frame, masked

from gateway.proxy.bridge import accepted

pytestmark = [pytest.mark.plain, pytest.mark.raw]
BODY = bytes(range(256)) * 1024


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    prepare(("curl",), "curl")
    prepare(("nghttp2-client",), "nghttp")


async def run(*command: str | Path) -> tuple[int, bytes]:
    """Exit code and standard output."""
    if not found(str(command[0])):
        unavailable(f"{command[0]} is not installed here")
    pipe = asyncio.subprocess.PIPE
    made = await asyncio.create_subprocess_exec(*map(str, command), stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    async with asyncio.timeout(60):
        out, _ = await made.communicate()
    assert made.returncode is not None
    return made.returncode, out


def base(rig) -> str:  # type: ignore[no-untyped-def]
    host, port = rig.gateway.addresses[0]
    return f"http://{host}:{port}"


@pytest.mark.parametrize(("offered", "spoken"), [("--http2", b"2"), ("--http1.1", b"1.1")])
async def test_curl_chooses_in_the_handshake(
    gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path, offered: str, spoken: bytes
) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream, http2=True, tls=listener_tls())
    port, body, back = rig.gateway.addresses[0][1], tmp_path / "body", tmp_path / "back"
    body.write_bytes(BODY)
    curl = ("curl", "-sS", offered, "--max-time", "30", "--cacert", write_authority(tmp_path))
    where = ("--resolve", f"gateway.test:{port}:127.0.0.1", f"https://gateway.test:{port}/a")
    code, out = await run(*curl, "-o", back, "-w", "%{http_version} %{response_code}", "-T", body, *where)
    assert (code, out) == (0, spoken + b" 200")
    assert back.read_bytes() == BODY
    line = await rig.log.last()
    assert (line["protocol"], line["tls"]) == (spoken.decode(), "TLSv1.3")


async def test_curl(gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path) -> None:
    upstream.behaviour = echo()
    url = base(await gateway_for(upstream, http2=True))
    body, back = tmp_path / "body", tmp_path / "back"
    body.write_bytes(BODY)
    curl = ("curl", "-sS", "--http2-prior-knowledge", "--max-time", "30")
    code, out = await run(*curl, "-o", back, "-w", "%{http_version} %{response_code}", "--data-binary", f"@{body}", url)
    assert (code, out) == (0, b"2 200")
    assert back.read_bytes() == BODY
    code, out = await run(*curl, "-o", back, "-w", "%{http_version}", "-T", body, url)  # with Expect: 100-continue
    assert (code, out, back.read_bytes() == BODY) == (0, b"2", True)
    code, out = await run(*curl, "-I", url)
    assert (code, out[:10]) == (0, b"HTTP/2 200")


async def test_nghttp_with_trailers(gateway_for: GatewayFor, upstream: Upstream, tmp_path: Path) -> None:
    upstream.behaviour = echo()
    url = base(await gateway_for(upstream, http2=True))
    body = tmp_path / "body"
    body.write_bytes(BODY)
    nghttp = ("nghttp", "-t", "20", "--no-content-length", "--trailer", "x-sum: 7", "-H", "te: trailers", "-d", body)
    code, out = await run(*nghttp, url)
    assert (code, out) == (0, BODY)
    assert upstream.requests[0].trailers == [b"x-sum: 7"]


@pytest.mark.parametrize("window", ["16", "5"], ids=["64 KiB", "31 bytes"])
async def test_h2load(gateway_for: GatewayFor, upstream: Upstream, window: str) -> None:
    """``-w``: the window of a stream is 2**w - 1 bytes."""
    upstream.behaviour = each_request(lambda m: answer(BODY[:4096] if window == "16" else BODY[:400]))
    rig = await gateway_for(upstream, http2=True)
    code, out = await run("h2load", "-n", "600", "-c", "6", "-m", "8", "-w", window, base(rig))
    assert code == 0
    assert {line["reason"] for line in await rig.log.wait(600)} == {""}
    assert b"600 succeeded, 0 failed, 0 errored, 0 timeout" in out


async def test_h2(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The strictest reader of what we send."""
    upstream.behaviour = each_request(lambda m: answer(m.body + BODY))
    rig = await gateway_for(upstream, http2=True)
    client = await Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    for ident in (1, 3, 5):
        connection.send_headers(ident, fields)
        connection.send_data(ident, b"body %d" % ident, end_stream=True)
    bodies: dict[int, bytes] = {}
    ended: set[int] = set()
    while len(ended) < 3:
        await client.send(connection.data_to_send())
        assert await client.fill()
        for event in connection.receive_data(client.take(1 << 20)):
            assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated))
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                ended.add(event.stream_id)
    assert bodies == {ident: b"body %d" % ident + BODY for ident in (1, 3, 5)}


async def test_a_websocket_of_h2(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, websocket=True)
    client = await Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    events: list[h2.events.Event] = []

    async def until(kind: type[h2.events.Event]) -> h2.events.Event:
        while not any(isinstance(event, kind) for event in events):
            await client.send(connection.data_to_send())
            assert await client.fill()
            events.extend(connection.receive_data(client.take(1 << 20)))
        await client.send(connection.data_to_send())
        return next(event for event in events if isinstance(event, kind))

    await until(h2.events.RemoteSettingsChanged)
    assert connection.remote_settings.enable_connect_protocol
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a")]
    connection.send_headers(1, [*fields, (":path", "/"), ("sec-websocket-version", "13")])
    await client.send(connection.data_to_send())
    link = await upstream.link()
    key = (await link.head()).get("sec-websocket-key") or b""
    agreed = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accepted(key)
    await link.send(b"HTTP/1.1 101 Switching Protocols\r\n" + agreed + b"\r\n\r\n" + frame(b"hello"))
    response = await until(h2.events.ResponseReceived)
    assert dict(response.headers)[b":status"] == b"200"  # type: ignore[attr-defined]
    assert (await until(h2.events.DataReceived)).data == frame(b"hello")  # type: ignore[attr-defined]
    connection.send_data(1, masked(b"bye"), end_stream=True)
    await client.send(connection.data_to_send())
    await link.expect(masked(b"bye"))
    assert await link.rest() == b""
    link.close()
    await until(h2.events.StreamEnded)
    assert not any(isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)) for event in events)
