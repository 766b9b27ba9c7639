"""What the gateway's own code costs per request: real protocols, layers and log, transports that only count.

    python loadtest/micro/hot_path.py [requests]

Prints the best of seven rounds in microseconds. No sockets: what a kernel adds is not our doing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from gateway.app import Gateway
from gateway.config.document import Address, CircuitBreaker, Document, Proxy
from gateway.wire.connection import Connection
from gateway.wire.downstream import DownstreamConnection
from gateway.wire.head import HeadParser
from gateway.wire.upstream import UpstreamConnection

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:9401\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 02:45:55 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 153\r\nConnection: keep-alive\r\n\r\n" + b"x" * 153
)


class CountingTransport(asyncio.Transport):
    """Takes every byte at once and calls back with the whole of what one write brought."""

    def __init__(self, on_write: Callable[[], None]) -> None:
        super().__init__()
        self.write = lambda data: on_write()  # type: ignore[method-assign]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def abort(self) -> None: ...
    def close(self) -> None: ...


def feed(connection: Connection, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


async def main(count: int) -> None:
    loop = asyncio.get_running_loop()
    proxy = Proxy(
        "p", "/", "http://127.0.0.1:9", access_rule="true", max_concurrent=4096, circuit_breaker=CircuitBreaker(True)
    )
    with tempfile.TemporaryDirectory() as folder:
        document = Document((Address("127.0.0.1", 0),), str(Path(folder) / "log"), proxies=(proxy,))
        async with Gateway(document) as gateway:
            parser = HeadParser()
            upstream = UpstreamConnection(loop, gateway.buffers, parser)
            upstream.connection_made(CountingTransport(lambda: loop.call_soon(feed, upstream, RESPONSE)))
            gateway.upstreams["p"].pool.give_back(upstream)
            left, done = 0, asyncio.Event()

            def answered() -> None:
                nonlocal left
                left -= 1
                if left:
                    loop.call_soon(loop.call_soon, feed, downstream, REQUEST)
                else:
                    loop.call_soon(loop.call_soon, done.set)

            downstream = DownstreamConnection(loop, gateway.buffers, parser, gateway.server, b"http")
            downstream.connection_made(CountingTransport(answered))
            best = float("inf")
            for _ in range(7):
                left = count
                done.clear()
                began = time.perf_counter()
                feed(downstream, REQUEST)
                await done.wait()
                best = min(best, (time.perf_counter() - began) / count)
            print(f"{best * 1e6:.1f} us a request")
            downstream.connection_lost(None)
            upstream.connection_lost(None)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
