"""What a scrape takes with many proxies under load, and what it costs the traffic.

    python loadtest/scrape.py [--proxies 500] [--seconds 20] [--rate 2000] [--workers 1]

A whole gateway with its control process; every proxy has traffic, from raw sockets in this process. What a request
takes of the workers' CPU is measured in turns with and without scrapes, so that what the machine does besides falls on
both. ``--rate 0`` asks as fast as it goes: with two cores, gateway, clients and scrapes then fight for them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time

import http1
import uvloop
from soak import Answering
from stage import HOST, GatewayProcess, cpu, listener, port_of, table

CONNECTIONS = 32
TURNS = 5
PAUSE = 0.5
"""Seconds between scrapes: thirty times as often as Prometheus usually asks."""
BOUND = 50.0
"""Milliseconds for a scrape."""


class Asking(http1.Asking):
    """A keep-alive client that asks one proxy after the other."""

    def __init__(self, paths: list[str], at: int, pause: float) -> None:
        super().__init__()
        self._pause = pause
        self._requests = [http1.request(path, "scrape.test") for path in paths]
        self._at = at
        self.answers = self.errors = 0

    def opened(self) -> None:
        self._next()

    def _next(self) -> None:
        if self.transport.is_closing():
            return
        self._at = (self._at + 1) % len(self._requests)
        self.transport.write(self._requests[self._at])

    def answered(self, head: bytes, body: bytes) -> None:
        self.answers += 1
        self.errors += not head.startswith(b"HTTP/1.1 200 ")
        if self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._next)
        else:
            self._next()


async def scrapes(api: str, token: str, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each scrape, as a process of its own sees them, and the bytes of the last."""
    times, size = [], 0
    end = time.monotonic() + seconds
    written = ("--silent", "--fail", "--output", "/dev/null", "--write-out", "%{time_total} %{size_download}")
    while time.monotonic() < end:
        command = ("curl", *written, "--header", f"Authorization: Bearer {token}", f"{api}/metrics")
        curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        told, _ = await curl.communicate()
        assert curl.returncode == 0, "a scrape failed"
        took, size = told.split()[0], int(told.split()[1])
        times.append(float(took) * 1e3)
        await asyncio.sleep(PAUSE)
    return times, size


async def measure(proxies: int, seconds: float, rate: int, workers: int) -> bool:
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(Answering, sock=upstream)
    documents = [
        {
            "name": f"proxy-{number}",
            "path": f"/{number}",
            "upstream": f"http://{HOST}:{port_of(upstream)}",
            "access_rule": "true",
            "max_concurrent": 100,
            "circuit_breaker": {"enabled": True},
        }
        for number in range(proxies)
    ]
    settings = {"workers": workers}
    async with GatewayProcess(port_of(upstream), admin=True, proxies=documents, settings=settings) as gateway:
        paths = [f"/{number}" for number in range(proxies)]
        pause = CONNECTIONS / rate if rate else 0.0
        clients = [Asking(paths, number * proxies // CONNECTIONS, pause) for number in range(CONNECTIONS)]
        for client in clients:
            await loop.create_connection(lambda client=client: client, HOST, gateway.port)
        await asyncio.sleep(2)
        held = await turns(clients, gateway, seconds)
    server.close()
    return held


def _cpu(gateway: GatewayProcess) -> float:
    """Seconds of all workers."""
    return sum(map(cpu, gateway.workers()))


async def turns(clients: list[Asking], gateway: GatewayProcess, seconds: float) -> bool:
    token = gateway.token("--metrics")
    times: list[float] = []
    costs: dict[bool, list[float]] = {True: [], False: []}
    size, control = 0, 0.0
    for turn in range(2 * TURNS):
        scraped = turn % 2 == 0
        before, began = sum(client.answers for client in clients), _cpu(gateway)
        if scraped:
            asked = cpu(gateway.control)
            more, size = await scrapes(gateway.api, token, seconds / 2 / TURNS)
            control += cpu(gateway.control) - asked
            times += more
        else:
            await asyncio.sleep(seconds / 2 / TURNS)
        costs[scraped].append((_cpu(gateway) - began) * 1e6 / (sum(client.answers for client in clients) - before))
    errors = sum(client.errors for client in clients)
    quiet, busy = statistics.median(costs[False]), statistics.median(costs[True])
    rows = [
        (
            "scrapes",
            "p50 ms",
            "max ms",
            "CPU ms of control",
            "bytes",
            "CPU us a request without",
            "with",
            "ratio",
            "errors",
        ),
        (
            f"{len(times)}",
            f"{statistics.median(times):.1f}",
            f"{max(times):.1f}",
            f"{control / len(times) * 1e3:.1f}",
            f"{size}",
            f"{quiet:.1f}",
            f"{busy:.1f}",
            f"{busy / quiet:.3f}",
            f"{errors}",
        ),
    ]
    table("scrape", rows)
    return errors == 0 and statistics.median(times) < BOUND


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=2000, help="requests a second; 0: as many as it can")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        held = runner.run(
            asyncio.wait_for(measure(options.proxies, options.seconds, options.rate, options.workers), 300)
        )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
