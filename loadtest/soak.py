"""Soaks: what must hold after many aborts, through very large bodies, and over a million requests.

    python loadtest/soak.py aborts | slow-reader | slow-sender | requests | log | kills | spread | cores | costly
                             | mixed [--count N] [--https]

The gateway runs in a process of its own; clients and upstream are raw sockets in this one. Every case is bounded in
count and time, prints a table, and exits with 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Self

import http1
import uvloop
from aborts import aborts
from cores import cores, costly
from kills import kills
from mixed import mixed
from spread import spread
from stage import HOST, MEGABYTE, GatewayProcess, Memory, listener, port_of, table
from terminator import Terminator

GIGABYTE = 1024 * MEGABYTE
GROWTH = 20.0
"""MiB that a body of any size may add to the process at its peak."""
LOG_GROWTH = 24.0
"""MiB that lines which nobody takes may add before they are dropped, with all that is kept for explanations."""
FLAT = 4.0
"""MiB that the process may grow after the first `WARM` requests."""
WARM = 100_000
STEP = 50_000
CONNECTIONS = 32
LIMIT = 2400.0
"""Seconds after which a case is given up."""

ANSWER = http1.response(b"ok")
REQUEST = http1.request("/small", "soak.test", "Accept: */*", "User-Agent: soak")


async def until_head(sock: socket.socket) -> bytes:
    """Read one head; what came after it."""
    loop, data = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in data:
        more = await loop.sock_recv(sock, 65536)
        if not more:
            raise ConnectionError("ended inside a head")
        data += more
    return data.partition(b"\r\n\r\n")[2]


async def drink(sock: socket.socket, wanted: int, rate: float) -> int:
    """Read up to ``wanted`` bytes at ``rate`` bytes a second; how many came."""
    loop, start, got = asyncio.get_running_loop(), time.monotonic(), 0
    buffer = bytearray(256 * 1024)
    while got < wanted and (more := await loop.sock_recv_into(sock, buffer)):
        got += more
        ahead = got / rate - (time.monotonic() - start)
        if ahead > 0.01:
            await asyncio.sleep(ahead)
    return got


async def pour(sock: socket.socket, total: int, burst: int, pause: float) -> None:
    """Send ``total`` bytes in bursts with a pause after each."""
    loop, block, sent = asyncio.get_running_loop(), bytes(MEGABYTE), 0
    while sent < total:
        await loop.sock_sendall(sock, block)
        sent += MEGABYTE
        if pause and sent % burst == 0:
            await asyncio.sleep(pause)


async def dial(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
    return sock


def told(case: str, got: int, seconds: float, memory: Memory) -> bool:
    """Print what a body of `GIGABYTE` cost; whether it came whole and within `GROWTH`."""
    (rss, pss), (peak, _) = memory.growth, memory.peak
    head = ("MiB through", "seconds", "samples", "RSS before", "RSS peak", "RSS growth", "PSS growth", "bound")
    row = (got / MEGABYTE, seconds, memory.samples, memory.start[0], peak, rss, pss, GROWTH)
    table(f"{case}: 1 GiB", [head, tuple(f"{cell:.1f}" for cell in row)])
    return got == GIGABYTE and max(rss, pss) < GROWTH


async def slow_reader(_: int) -> bool:
    """1 GiB from an upstream that sends as fast as it may, to a client that reads 50 MiB a second."""
    loop, upstream = asyncio.get_running_loop(), listener()

    async def serve() -> None:
        while True:
            sock, _ = await loop.sock_accept(upstream)
            await until_head(sock)
            await loop.sock_sendall(sock, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
            await pour(sock, GIGABYTE, GIGABYTE, 0)

    server = asyncio.create_task(serve())
    async with GatewayProcess(port_of(upstream), max_concurrent=10) as gateway:
        client = await dial(gateway.port)
        async with Memory(gateway) as memory:
            start = time.monotonic()
            await loop.sock_sendall(client, REQUEST)
            early = len(await until_head(client))
            got = early + await drink(client, GIGABYTE - early, 50 * MEGABYTE)
            seconds = time.monotonic() - start
        client.close()
    server.cancel()
    return told("slow-reader", got, seconds, memory)


async def slow_sender(_: int) -> bool:
    """1 GiB from a client that sends 16 MiB at a time and rests, to an upstream that reads 60 MiB a second."""
    loop, upstream = asyncio.get_running_loop(), listener()
    arrived: asyncio.Future[int] = loop.create_future()

    async def serve() -> None:
        sock, _ = await loop.sock_accept(upstream)
        early = len(await until_head(sock))
        arrived.set_result(early + await drink(sock, GIGABYTE - early, 60 * MEGABYTE))
        await loop.sock_sendall(sock, ANSWER)

    server = asyncio.create_task(serve())
    async with GatewayProcess(port_of(upstream), max_concurrent=10) as gateway:
        client = await dial(gateway.port)
        async with Memory(gateway) as memory:
            start = time.monotonic()
            head = b"POST /upload HTTP/1.1\r\nHost: soak.test\r\nContent-Length: %d\r\n\r\n" % GIGABYTE
            await loop.sock_sendall(client, head)
            await pour(client, GIGABYTE, 16 * MEGABYTE, 0.2)
            body = await until_head(client)
            seconds = time.monotonic() - start
        client.close()
    await server
    return body == b"ok" and told("slow-sender", await arrived, seconds, memory)


class Answering(http1.Answering):
    """The upstream of `requests`."""

    def asked(self, target: bytes) -> None:
        self.transport.write(ANSWER)


class Asking(http1.Asking):
    """One keep-alive client: the next request as soon as a response is whole, while ``tickets`` lasts."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    def opened(self) -> None:
        self._next()

    def _next(self) -> None:
        if self._count.take():
            self.transport.write(REQUEST)

    def answered(self, head: bytes, body: bytes) -> None:
        self._count.answered(ok=head.startswith(b"HTTP/1.1 200 ") and body == b"ok")
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        self._count.lost()


class Count:
    """Requests to send and answers that came; samples memory at every `STEP` answers."""

    def __init__(self, wanted: int, gateway: GatewayProcess) -> None:
        self._left = self._wanted = wanted
        self._gateway = gateway
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.good = self.bad = 0
        self.samples: list[tuple[int, float, float, float]] = []
        """Answers, seconds, RSS and PSS in MiB."""
        self._start = time.monotonic()

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def answered(self, *, ok: bool) -> None:
        self.good, self.bad = self.good + ok, self.bad + (not ok)
        answers = self.good + self.bad
        if answers % STEP == 0:
            self.samples.append((answers, time.monotonic() - self._start, *self._gateway.memory()))
        if answers == self._wanted and not self.done.done():
            self.done.set_result(None)

    def lost(self) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"a connection ended after {self.good + self.bad} answers"))


async def requests(wanted: int) -> bool:
    """Small requests on keep-alive connections, one at a time on each, with every protection on."""
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(Answering, sock=upstream)
    fence = {"enabled": True}
    async with GatewayProcess(port_of(upstream), max_concurrent=CONNECTIONS, circuit_breaker=fence) as gateway:
        count = Count(wanted, gateway)
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Asking(count), HOST, gateway.port)
        await count.done
    server.close()
    return flat(count)


def flat(count: Count) -> bool:
    rows: list[tuple[str, ...]] = [("answers", "seconds", "RSS", "PSS")]
    rows += [(f"{n}", f"{seconds:.1f}", f"{rss:.2f}", f"{pss:.2f}") for n, seconds, rss, pss in count.samples]
    table(f"requests: {CONNECTIONS} connections, {count.bad} errors; MiB", rows)
    warm = [sample for sample in count.samples if sample[0] >= WARM]
    if len(warm) < 2:
        print(f"too few requests to judge: at least {WARM + STEP}")
        return False
    growth = max(rss for *_, rss, _ in warm) - warm[0][2]
    print(f"growth after the first {WARM}: {growth:.2f} MiB (bound {FLAT})")
    return count.bad == 0 and growth < FLAT


class SlowPipe:
    """A named pipe that is read at ``rate`` bytes a second; 0: it is held open and never read."""

    def __init__(self, folder: Path, rate: int) -> None:
        self.path = folder / f"pipe-{rate}"
        self.read = b""
        self._rate = rate

    async def __aenter__(self) -> Self:
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._task = asyncio.create_task(self._drink())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        os.close(self._fd)

    async def _drink(self) -> None:
        while self._rate:
            await asyncio.sleep(0.1)
            with suppress(BlockingIOError):
                self.read += os.read(self._fd, self._rate // 10)

    @property
    def whole(self) -> bool:
        """Every line that came is one, but for the last, which may still be coming."""
        return all(line.startswith(b'{"ts":') and line.endswith(b"}") for line in self.read.split(b"\n")[:-1])


async def log(wanted: int) -> bool:
    """The same requests with the access log on a good file, a full disk, a blocked pipe, and a slow reader."""
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(Answering, sock=upstream)
    rows: list[tuple[str, ...]] = [("access log", "answers", "errors", "requests/s", "RSS growth MiB")]
    held = True
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as name:
        folder = Path(name)
        async with SlowPipe(folder, 0) as blocked, SlowPipe(folder, 100_000) as slow:
            targets = {
                "a file": folder / "good",
                "full disk": Path("/dev/full"),
                "blocked pipe": blocked.path,
                "slow reader": slow.path,
            }
            for told, path in targets.items():
                async with GatewayProcess(port_of(upstream), log=path) as gateway:
                    count = Count(wanted // len(targets), gateway)
                    for _ in range(CONNECTIONS):
                        await loop.create_connection(lambda count=count: Asking(count), HOST, gateway.port)
                    await count.done
                _, seconds, *_ = count.samples[-1]
                growth = max(rss for *_, rss, _ in count.samples) - count.samples[0][2]
                pace = count.samples[-1][0] / seconds
                rows.append((told, f"{count.good}", f"{count.bad}", f"{pace:.0f}", f"{growth:.2f}"))
                held = held and count.bad == 0 and growth < LOG_GROWTH
            held = held and slow.whole and len(slow.read) > 0
    server.close()
    table("log: what nobody takes is dropped, and no request suffers for it", rows)
    return held


async def shared_limit(wanted: int) -> bool:
    """Processes that share a limiter are killed: never too many inside, and nothing lost."""
    rows: list[tuple[str, ...]] = [("processes", "limit", "deaths", "entered", "most inside", "full again, ms", "")]
    held = True
    for processes, limit, every in ((4, 5, 0.25), (4, 1, 0.2), (8, 5, 0.25), (2, 5, 0.1)):
        result = await asyncio.to_thread(kills, wanted // 4, processes, limit, every, processes)
        full = f"{median(result.recovered) * 1e3:.1f} / {max(result.recovered) * 1e3:.1f}" if result.recovered else "-"
        numbers = processes, limit, result.deaths, result.entered, result.most
        rows.append((*map(str, numbers), full, "; ".join(result.faults())))
        held = held and not result.faults() and result.deaths > 0
    table("a limiter shared by processes that are killed", rows)
    return held


CASES: dict[str, tuple[Callable[[int], Awaitable[bool]], int]] = {
    "aborts": (aborts, 1000),
    "slow-reader": (slow_reader, 1),
    "slow-sender": (slow_sender, 1),
    "requests": (requests, 1_000_000),
    "log": (log, 1_000_000),
    "kills": (shared_limit, 200_000),
    "spread": (spread, 400),
    "cores": (cores, 2),
    "costly": (costly, 3),
    "mixed": (mixed, 1800),
}


async def bounded(case: str, count: int) -> bool:
    run, default = CASES[case]
    async with asyncio.timeout(LIMIT):
        return await run(count or default)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument(
        "--count",
        type=int,
        default=0,
        help="aborts in each phase, requests or connections in all, or seconds",
    )
    parser.add_argument("--https", action="store_true", help="reach the upstream over TLS")
    options = parser.parse_args()
    if options.https:
        GatewayProcess.terminator = Terminator
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        held = runner.run(bounded(options.case, options.count))
    print("every bound held" if held else "A BOUND IS BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
