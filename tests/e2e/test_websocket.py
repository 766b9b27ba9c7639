"""WebSocket between real peers: the `websockets` library on both sides, and the gateway as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.deployment import START, Deployment
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.tls import server_context, write_authority
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

SECONDS = 20

ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Peers:
    """A server of the library, and what it noticed of its connections."""

    def __init__(self) -> None:
        self.closed: list[tuple[int | None, str]] = []
        self.seen: list[ServerConnection] = []

    async def handle(self, ws: ServerConnection) -> None:
        self.seen.append(ws)
        try:
            async for message in ws:
                await ws.send(message)
        except ConnectionClosed:
            pass
        self.closed.append((ws.close_code, ws.close_reason or ""))


@asynccontextmanager
async def serving(peers: Peers, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[str]:
    async with serve(peers.handle, "127.0.0.1", 0, ssl=tls, **options) as server:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port_of(server)}"


def port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def address(rig: Rig) -> str:
    host, port = rig.gateway.addresses[0]
    return f"ws://{host}:{port}/chat"


@pytest.fixture(params=["http", "https"])
async def peers_and_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Peers, str]]:
    peers = Peers()
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    context = server_context() if request.param == "https" else None
    async with serving(peers, context, max_size=None) as url:
        yield peers, url


async def test_messages_of_all_sizes_compressed_end_to_end(
    gateway_for: GatewayFor, peers_and_url: tuple[Peers, str]
) -> None:
    peers, url = peers_and_url
    rig = await gateway_for(url, websocket=True, max_concurrent=1)
    async with asyncio.timeout(SECONDS), connect(address(rig), max_size=None, proxy=None) as ws:
        for message in ("", "x", "ä" * 500, b"\x00" * 125, b"\x01" * 126, b"ab" * 100_000, os.urandom(1_000_000)):
            await ws.send(message)
            assert await ws.recv() == message
        assert any(isinstance(extension, PerMessageDeflate) for extension in ws.protocol.extensions)
        assert any(isinstance(extension, PerMessageDeflate) for extension in peers.seen[0].protocol.extensions)
        await (await ws.ping())
        await ws.close(4000, "enough")
    await rig.settled()
    await eventually(lambda: peers.closed == [(4000, "enough")])
    line = await rig.log.last()
    assert (line["status_code"], line["reason"], line["tunnel"]["clean"]) == (101, "", True)
    assert 1_000_000 < line["bytes_in"] < 1_100_000, "zeros travelled compressed"


async def test_fragments_and_many_at_once(gateway_for: GatewayFor, peers_and_url: tuple[Peers, str]) -> None:
    peers, url = peers_and_url
    rig = await gateway_for(url, websocket=True)

    async def talk(number: int) -> None:
        async with connect(address(rig), proxy=None, compression=None if number % 2 else "deflate") as ws:
            await ws.send(f"{number}-{part}" for part in range(20))
            assert await ws.recv() == "".join(f"{number}-{part}" for part in range(20))
            for turn in range(20):
                await ws.send(f"{number}:{turn}")
            assert [await ws.recv() for _ in range(20)] == [f"{number}:{turn}" for turn in range(20)]

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(talk(number) for number in range(30)))
    await rig.settled()
    assert {code for code, _ in peers.closed} == {1000}
    assert all(line["tunnel"]["clean"] for line in await rig.log.wait(30))


async def test_the_server_says_goodbye_first(gateway_for: GatewayFor, peers_and_url: tuple[Peers, str]) -> None:
    peers, url = peers_and_url
    rig = await gateway_for(url, websocket=True)
    async with asyncio.timeout(SECONDS), connect(address(rig), proxy=None) as ws:
        await eventually(lambda: bool(peers.seen))
        await peers.seen[0].close(4001, "moved")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (4001, "moved")
    await rig.settled()
    assert (await rig.log.last())["tunnel"]["clean"] is True


async def test_a_handshake_that_the_server_refuses(gateway_for: GatewayFor) -> None:
    peers = Peers()
    async with serving(peers, origins=["https://a.test"]) as url:
        rig = await gateway_for(url, websocket=True)
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(rig), proxy=None, origin="https://evil.test")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
        async with connect(address(rig), proxy=None, origin="https://a.test") as ws:  # type: ignore[arg-type]
            await ws.send("in")
            assert await ws.recv() == "in"
        await rig.settled()


async def test_a_drain_closes_with_1001_on_both_sides(
    gateway_for: GatewayFor, peers_and_url: tuple[Peers, str]
) -> None:
    peers, url = peers_and_url
    rig = await gateway_for(url, websocket=True)
    sockets: list[ClientConnection] = []
    async with asyncio.timeout(SECONDS):
        for _ in range(10):
            sockets.append(await connect(address(rig), proxy=None))
            await sockets[-1].send("x" * 100_000)
            await sockets[-1].recv()
        assert await rig.gateway.drain(10), "nothing had to be cut"
        for ws in sockets:
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1001
            await ws.close()
        await eventually(lambda: [code for code, _ in peers.closed] == [1001] * 10)
    lines = await rig.log.wait(10)
    assert {(line["reason"], line["tunnel"]["end"], line["tunnel"]["clean"]) for line in lines} == {
        ("", "drained", True)
    }


class TestProcesses:
    pytestmark = pytest.mark.timeout(120)

    @asynccontextmanager
    async def deployed(self, folder: Path, upstream: str, **settings: object) -> AsyncIterator[Deployment]:
        async with Deployment(folder) as gateway:
            proxy = {"name": "chat", "path": "/chat", "upstream": upstream, "access_rule": "true", "websocket": True}
            await gateway.call("POST", "/proxies", proxy | settings)
            async with asyncio.timeout(START):
                while True:
                    try:
                        async with connect(self.socket(gateway), proxy=None):
                            break
                    except (InvalidStatus, OSError):
                        await asyncio.sleep(0.05)
            yield gateway

    def socket(self, gateway: Deployment) -> str:
        return gateway.url.replace("http", "ws", 1) + "/chat"

    async def test_sigterm_and_reload(self, tmp_path: Path) -> None:
        peers = Peers()
        async with (
            serving(peers) as url,
            self.deployed(tmp_path, url, max_concurrent=1) as gateway,
            connect(self.socket(gateway), proxy=None) as ws,
        ):
            await ws.send("before")
            assert await ws.recv() == "before"
            version = (await gateway.call("GET", "/proxies/chat"))["version"]
            await gateway.call("PATCH", "/proxies/chat", {"version": version, "websocket": False})
            async with asyncio.timeout(START):
                while (told := await self.refusal(gateway)) != 501:
                    assert told == 429, "the permit is taken until the change is there"
                    await asyncio.sleep(0.02)
            await ws.send("after")
            assert await ws.recv() == "after"
            metrics = await self.metrics(gateway)
            assert 'gateway_tunnels{proxy="chat"} 1' in metrics
            gateway.signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), SECONDS)
            assert ws.close_code == 1001
            assert await gateway.ended() == 0
            await eventually(lambda: peers.closed[-1:] == [(1001, "")])
        lines = (tmp_path / "access.log").read_text().splitlines()
        assert sum('"tunnel":{"protocol":"websocket","end":"drained","clean":true' in line for line in lines) == 1

    async def refusal(self, gateway: Deployment) -> int:
        try:
            async with connect(self.socket(gateway), proxy=None):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    async def metrics(self, gateway: Deployment) -> str:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        async with gateway.session.get(f"{gateway.admin}/api/gateway/metrics", headers=headers) as told:
            return await told.text()

    async def test_the_upstream_is_killed(self, tmp_path: Path) -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout is not None
            port = int(await process.stdout.readline())
            async with self.deployed(tmp_path, f"http://127.0.0.1:{port}", max_concurrent=1) as gateway:
                async with connect(self.socket(gateway), proxy=None) as ws:
                    await ws.send("ping")
                    assert await ws.recv() == "ping"
                    process.kill()
                    with pytest.raises(ConnectionClosedError):
                        await asyncio.wait_for(ws.recv(), SECONDS)
                    assert ws.close_code == 1006, "no Close frame came"
                assert await self.refusal(gateway) == 502, "its permit is free"
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def test_the_worker_is_killed(self, tmp_path: Path) -> None:
        peers = Peers()
        async with (
            serving(peers) as url,
            self.deployed(tmp_path, url) as gateway,
            connect(self.socket(gateway), proxy=None) as ws,
        ):
            await ws.send("ping")
            assert await ws.recv() == "ping"
            gateway.kill("worker")
            with pytest.raises(ConnectionClosedError):
                await asyncio.wait_for(ws.recv(), SECONDS)
            await eventually(lambda: peers.closed[-1:] == [(1006, "")], "the upstream learns of it")
