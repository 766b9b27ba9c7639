"""Everything at once: HTTP/1.1, TLS, HTTP/2 on both sides, WebSockets, aborts, reloads, and a worker that is killed.

Every response is looked at. What a worker holds is compared between the first and the last fifth of its life; when the
traffic is over nothing may be left of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import struct
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import aiohttp
import certificate
from aiohttp import web
from stage import HOST, GatewayProcess, reserved_port, table, until

GROWTH = 6.0
"""MiB between the medians of the first and the last fifth of a worker's samples."""
AWAY = 3.0
"""Seconds after a kill in which requests may fail."""
RESET = struct.pack("ii", 1, 0)
KINDS = 9
"""Of traffic, each of which has to have gone well."""
IDLE = 100
"""Connections that a pool keeps (`idle` of its upstream)."""


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(20):
        await response.write(b"%02d" % number * 500)
        await asyncio.sleep(0.005)
    return response


async def socket_echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        if message.type is aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


class Traffic:
    """All that runs besides each other until `until`; failures outside of a kill are counted by name."""

    def __init__(self, plain: str, secure: str, trust: ssl.SSLContext, seconds: float) -> None:
        self._bases = (plain, secure)
        self._trust = trust
        self.until = time.monotonic() + seconds
        self.good: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.killed = -AWAY
        self.dice = random.Random(1)  # noqa: S311 - the same in every run

    async def run(self, session: aiohttp.ClientSession) -> None:
        kinds: list[tuple[str, Callable[[], Awaitable[bool]]]] = []
        for base in self._bases:
            scheme = base.partition(":")[0]
            kinds += [(f"{scheme} echo", lambda base=base: self._echo(session, base))] * 3
            kinds += [(f"{scheme} stream", lambda base=base: self._stream(session, base))] * 2
            kinds += [(f"{scheme} websocket", lambda base=base: self._websocket(session, base))] * 2
            kinds += [(f"{scheme} HTTP/2", lambda base=base: self._h2load(base))]
        kinds += [("aborts", self._abort)]
        await asyncio.gather(*(self._repeat(name, once) for name, once in kinds))

    async def _repeat(self, name: str, once: Callable[[], Awaitable[bool]]) -> None:
        while time.monotonic() < self.until:
            try:
                held = await once()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                held = False
                name_of = type(error).__name__
            else:
                name_of = "wrong"
            if held:
                self.good[name] += 1
            elif time.monotonic() - self.killed > AWAY:
                self.bad[f"{name}: {name_of}"] += 1
            else:
                await asyncio.sleep(0.1)

    async def _echo(self, session: aiohttp.ClientSession, base: str) -> bool:
        body = self.dice.randbytes(self.dice.choice([0, 10, 5000, 200_000]))
        async with session.post(f"{base}/echo", data=body, ssl=self._trust) as response:
            return response.status == 200 and await response.read() == body

    async def _stream(self, session: aiohttp.ClientSession, base: str) -> bool:
        async with session.get(f"{base}/stream", ssl=self._trust) as response:
            if self.dice.random() < 0.2:  # it leaves in the middle
                response.close()
                return response.status == 200
            return len(await response.read()) == 20 * 1000

    async def _websocket(self, session: aiohttp.ClientSession, base: str) -> bool:
        async with session.ws_connect(f"{base}/ws", ssl=self._trust) as ws:
            for _ in range(self.dice.randrange(20)):
                data = self.dice.randbytes(self.dice.choice([1, 200, 20_000]))
                await ws.send_bytes(data)
                if (await ws.receive(10)).data != data:
                    return False
        return True

    async def _h2load(self, base: str) -> bool:
        """To the upstream of HTTP/1.1, and to that of HTTP/2."""
        path = self.dice.choice(["/echo", "/h2/file"])
        line = ("h2load", "-n", "300", "-c", "3", "-m", "8", f"{base}{path}")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*line, stdout=pipe, stderr=pipe)
        if self.dice.random() < 0.1:
            await asyncio.sleep(0.1)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return True
        output, _ = await process.communicate()
        return b"300 succeeded, 0 failed, 0 errored, 0 timeout" in output and b"status codes: 300 2xx" in output

    async def _abort(self) -> bool:
        """A client that leaves with RST, in the middle of a head, of a body, or of a response."""
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        host, _, port = self._bases[0].removeprefix("http://").partition(":")
        with sock:
            await loop.sock_connect(sock, (host, int(port)))
            whole = b"POST /echo HTTP/1.1\r\nHost: soak.test\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000)
            await loop.sock_sendall(sock, whole[: self.dice.choice([30, 200, len(whole)])])
            await asyncio.sleep(0.02)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return True


class Life:
    """What one worker held, sample by sample: resident MiB and open descriptors."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.descriptors: list[int] = []

    def sample(self, gateway: GatewayProcess) -> None:
        self.memory.append(gateway.memory()[0])
        self.descriptors.append(gateway.descriptors())

    @property
    def growth(self) -> float:
        """MiB from the median of its second fifth, when it is warm, to that of its last."""
        fifth = max(1, len(self.memory) // 5)
        return median(self.memory[-fifth:]) - median(self.memory[fifth : 2 * fifth])


async def operate(gateway: GatewayProcess, traffic: Traffic, seconds: float) -> list[Life]:
    """Reload every two seconds, with another limit each time; kill the worker in the middle."""
    lives, half, limit = [Life()], time.monotonic() + seconds / 2, 60
    while time.monotonic() < traffic.until:
        limit = 180 - limit
        gateway.reload(max_concurrent=limit)
        await asyncio.sleep(2)
        if time.monotonic() > half and len(lives) == 1:
            traffic.killed = time.monotonic()
            gateway.kill_worker()
            assert await until(gateway.replaced, 10), "no worker came"
            lives.append(Life())
            await asyncio.sleep(AWAY)
        lives[-1].sample(gateway)
    return lives


@asynccontextmanager
async def upstreams(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The ports of one that speaks HTTP/1.1 and WebSocket, and of nghttpd, which speaks HTTP/2."""
    (folder / "file").write_bytes(b"f" * 3000)
    app = web.Application(client_max_size=1 << 20)
    app.add_routes([web.route("*", "/echo", echo), web.get("/stream", stream), web.get("/ws", socket_echo)])
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients leave, on purpose
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    port = reserved_port()
    nghttpd = await asyncio.create_subprocess_exec("nghttpd", "--no-tls", "-a", HOST, "-d", str(folder), str(port))
    try:
        yield runner.addresses[0][1], port
    finally:
        nghttpd.terminate()
        await nghttpd.wait()
        await runner.cleanup()


async def mixed(seconds: int) -> bool:
    """Needs h2load and nghttpd (Debian: nghttp2-client, nghttp2-server)."""
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as name:
        folder = Path(name)
        secure = certificate.made(folder, HOST)
        trust = ssl.create_default_context(cafile=str(secure.authority))
        common = {"access_rule": "true", "circuit_breaker": {"enabled": True}}
        async with upstreams(folder) as (h1, h2), aiohttp.ClientSession() as session:
            proxies = [
                {"name": "p", "path": "/", "upstream": f"http://{HOST}:{h1}", "websocket": True, **common},
                {"name": "h2", "path": "/h2", "upstream": f"h2c://{HOST}:{h2}", **common},
            ]
            proxies[0] |= {"max_concurrent": 60, "queue": {"max_waiting": 500, "timeout": 20}}
            async with GatewayProcess(h1, admin=True, https=False, proxies=proxies, secure=secure) as gateway:
                before = gateway.descriptors()
                bases = (f"http://{HOST}:{gateway.port}", f"https://{HOST}:{gateway.secure_port}")
                traffic = Traffic(*bases, trust, seconds)
                _, lives = await asyncio.gather(traffic.run(session), operate(gateway, traffic, seconds))
                await session.close()
                # What is left in the end are the idle connections to the upstreams alone.
                rested = await until(lambda: gateway.descriptors() <= before + IDLE, 60, 0.5)
    return judged(traffic, lives) and rested


def judged(traffic: Traffic, lives: list[Life]) -> bool:
    table("mixed: good", [("kind", "times"), *((name, str(count)) for name, count in sorted(traffic.good.items()))])
    table("mixed: bad", [("kind", "times"), *((name, str(count)) for name, count in sorted(traffic.bad.items()))])
    rows = [("worker", "samples", "MiB first", "MiB last", "growth", "descriptors at most")]
    for number, life in enumerate(lives, 1):
        ends = f"{life.memory[0]:.1f}", f"{life.memory[-1]:.1f}"
        rows.append((f"{number}", f"{len(life.memory)}", *ends, f"{life.growth:.2f}", f"{max(life.descriptors)}"))
    table(f"mixed: growth bound {GROWTH} MiB", rows)
    every = len(traffic.good) == KINDS and min(traffic.good.values()) > 0
    return every and not traffic.bad and len(lives) == 2 and all(life.growth < GROWTH for life in lives)
