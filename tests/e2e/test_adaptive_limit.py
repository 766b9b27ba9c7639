"""A limit that adapts, with two workers: one limit is found, as the upstream itself sees it, and outlives a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import pytest
from harness.deployment import START, Deployment
from harness.fleet import pids
from harness.patience import eventually, when

pytestmark = pytest.mark.timeout(180)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
CALLERS, SLOTS, FEWER, INITIAL = 24, 8, 4, 2
BEGINS, LASTS = 0.1, 0.2
"""Seconds from the start of the work to the first byte, and from there to the last."""
SETTLES = 60.0
"""Seconds for the limit to arrive: it grows once a second, and a busy machine makes responses late by itself."""
STAYS = 3.0


class Pool:
    """An upstream with a few workers and a queue before them; the first byte comes when a worker has begun.

    ``async with Pool(8) as pool``. Work goes on when its caller has left, as in a worker that does not look.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.working = self.inside = self.most = 0
        """``inside``: requests that have come and are not over, ``most`` of them at once."""
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def resize(self, slots: int) -> None:
        async with self._changed:
            self.slots = slots
            self._changed.notify_all()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                self.inside += 1
                self.most = max(self.most, self.inside)
                try:
                    await self._work(writer)
                finally:
                    self.inside -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has left, which is seen here when the work is over
        finally:
            writer.close()

    async def _work(self, writer: asyncio.StreamWriter) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.working < self.slots)
            self.working += 1
        try:
            for seconds, data in ((BEGINS, HEAD + b"1\r\nx\r\n"), (LASTS, b"0\r\n\r\n")):
                await asyncio.sleep(seconds)
                if not writer.is_closing():
                    writer.write(data)
        finally:
            async with self._changed:
                self.working -= 1
                self._changed.notify_all()


@asynccontextmanager
async def callers(port: int) -> AsyncIterator[dict[int, int]]:
    """Ask again after each response, and a moment after a rejection; what came, by status (0: the connection ended)."""
    came: dict[int, int] = {}

    async def call() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    while True:
                        status = await ask(reader, writer)
                        came[status] = came.get(status, 0) + 1
                        await asyncio.sleep(0.05 if status == 429 else 0.0)
                finally:
                    writer.close()
            came[0] = came.get(0, 0) + 1

    tasks = [asyncio.create_task(call()) for _ in range(CALLERS)]
    try:
        yield came
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    writer.write(b"GET /ai HTTP/1.1\r\nHost: test\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    else:
        await reader.readuntil(b"0\r\n\r\n")
    return int(head[9:12])


async def limit(gateway: Deployment) -> int:
    return int((await gateway.call("GET", "/upstreams/ai/explain"))["adaptive"]["limit"])


async def stays(gateway: Deployment, pool: Pool, seconds: float) -> tuple[int, int]:
    """The lowest and the highest limit in so many seconds; meanwhile the upstream counts what is inside at most."""
    end, seen = time.monotonic() + seconds, [await limit(gateway)]
    pool.most = pool.inside

    async def over() -> bool:
        seen.append(await limit(gateway))
        return time.monotonic() >= end

    await when(over, seconds + START)
    return min(seen), max(seen)


async def test_two_workers_find_one_limit_and_it_outlives_one_of_them(tmp_path: Path) -> None:
    adaptive = f"limiter: {{adaptive: {{initial: {INITIAL}, min: 1, max: 64}}}}"
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(Pool(SLOTS))
        proxies = f"[{{name: ai, path: /ai, upstream: '{pool.url}', access_rule: 'true', {adaptive}}}]"
        gateway = await stack.enter_async_context(Deployment(tmp_path, proxies=proxies, more="workers: 2"))
        port = int(gateway.url.rpartition(":")[2])

        async def finds(least: int, most: int) -> bool:
            return least <= await limit(gateway) <= most

        async with callers(port) as came:
            await when(lambda: finds(SLOTS - 1, SLOTS + 1), SETTLES, "as many as the upstream works on")
            lowest, highest = await stays(gateway, pool, STAYS)
            assert SLOTS - 3 <= lowest <= highest <= SLOTS + 4, "it stays there"
            assert pool.most <= highest + 1, "both workers together send no more"
            assert pool.most >= SLOTS - 1, "and no less"
            items = (await gateway.call("GET", "/workers"))["items"]
            assert [each["requests"] > 0 for each in items] == [True, True], "both have callers"

            victim = pids(gateway)[0]
            os.kill(victim, signal.SIGKILL)
            await eventually(lambda: pids(gateway).get(0, victim) != victim, "another worker", START)
            assert await limit(gateway) > INITIAL + 2, "what was learnt is kept"

            await pool.resize(FEWER)
            await when(lambda: finds(FEWER - 1, FEWER + 1), SETTLES, "as many as it works on now")
            assert came[200] > SLOTS
            assert came.get(0, 0) <= CALLERS, "only what was inside the killed worker"
            assert set(came) <= {0, 200, 429}
