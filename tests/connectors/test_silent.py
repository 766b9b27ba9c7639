"""A server that takes connections and says nothing: each connector gives up after its `connect_timeout_ms`."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from harness.calling import Calling
from harness.patience import eventually


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """Its port."""
    links: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for each in links:
            each.transport.abort()
            with suppress(OSError):
                await each.wait_closed()


SERVERS = {
    "postgresql": ("kind: sql, url: 'postgresql://reader@127.0.0.1:{}/n'", 'statement: "SELECT 1 AS one"'),
    "mysql": ("kind: sql, url: 'mysql://reader@127.0.0.1:{}/n'", 'statement: "SELECT 1 AS one"'),
    "redis": ("kind: redis, url: 'redis://127.0.0.1:{}'", "command: [PING]"),
    "mongodb": ("kind: mongodb, url: 'mongodb://127.0.0.1:{}/n'", "collection: orders"),
}


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("mode", ["off", "verify"])
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_says_nothing_is_a_dial_that_took_too_long(kind: str, mode: str) -> None:
    connection, action = SERVERS[kind]
    breaker = "circuit_breaker: {enabled: true, failure_threshold: 2}, connect_timeout_ms: 300, retry: once"
    async with silent() as port:
        text = f"connections: {{c: {{{connection.format(port)}, tls: {{mode: {mode}}}, {breaker}}}}}"
        async with Calling(f"{text}\nactions: {{ask: {{connection: c, {action}}}}}") as make:
            async with asyncio.timeout(20):  # a call itself has 30 seconds
                codes = [await make.code("ask") for _ in range(3)]
            assert codes == ["dial_timeout"] * 2 + ["breaker_open"]
            assert make.upstream.limiter.in_flight == 0
    if kind == "mongodb":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a dial that the client cancels leaves its socket
            gc.collect()


async def test_a_server_of_mcp_that_says_nothing_takes_the_time_of_the_call() -> None:
    """It speaks HTTP, where a connection begins with the request: no greeting is due before it."""
    async with silent() as port:
        connection = f"kind: mcp, base_url: 'http://127.0.0.1:{port}', retry: once, max_concurrent: 2, timeout_ms: 300"
        text = f"connections: {{c: {{{connection}}}}}"
        async with Calling(f"{text}\nactions: {{ask: {{connection: c, tool: add}}}}") as make:
            assert await make.code("ask") == "total_timeout"
            await eventually(lambda: make.upstream.limiter.in_flight == 0, "no permit in use")
