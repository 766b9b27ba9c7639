"""The scripted upstream of the load tests: shared work, death by overrun, faults on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import http1
import pytest
from harness.patience import eventually
from sidecar import Connection, Sidecar
from work import Behaviour, Machine

Serving = Callable[..., Awaitable["Scene"]]


class Scene:
    """A sidecar on a real socket."""

    def __init__(self, sidecar: Sidecar, port: int) -> None:
        self.sidecar = sidecar
        self._port = port

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, path: str, body: bytes = b"", method: str = "GET") -> tuple[int, bytes]:
        reader, writer = await self.dial()
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            return int(head[9:12]), await reader.readexactly(http1.number(head, b"content-length"))
        finally:
            writer.close()

    async def stats(self) -> dict[str, Any]:
        return dict(json.loads((await self.ask("/stats"))[1]))


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    servers: list[asyncio.Server] = []

    async def start(**behaviour: Any) -> Scene:
        loop = asyncio.get_running_loop()
        sidecar = Sidecar(loop, Behaviour(**behaviour))
        server = await loop.create_server(lambda: Connection(sidecar), "127.0.0.1")
        servers.append(server)
        return Scene(sidecar, server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()


ROUNDING = 0.005
"""The loop counts whole milliseconds, once for each timer; other speeds are farther away than that."""


async def finished_after(capacity: int, thrash: float, jobs: int) -> list[float]:
    """Seconds after which each of some equal jobs of 50 ms was done, that begin at once."""
    loop = asyncio.get_running_loop()
    machine, began, done = Machine(loop, Behaviour(capacity=capacity, thrash=thrash)), loop.time(), []

    def finish() -> None:
        done.append(loop.time() - began)
        machine.leave()

    for _ in range(jobs):
        machine.enter()
        machine.work(0.05, finish)
    await eventually(lambda: len(done) == jobs, "all jobs are done")
    return done


async def test_up_to_the_capacity_all_run_at_full_speed() -> None:
    assert min(await finished_after(4, 1.5, 4)) >= 0.05 - ROUNDING


async def test_above_it_all_are_slower() -> None:
    assert min(await finished_after(2, 1.0, 4)) >= 0.1 - ROUNDING


async def test_one_who_leaves_gives_his_share_back() -> None:
    loop = asyncio.get_running_loop()
    machine, done = Machine(loop, Behaviour(capacity=1, thrash=1.0)), asyncio.Event()
    machine.enter()
    machine.enter()
    machine.work(0.1, done.set)
    began = loop.time()
    other = machine.work(60.0, lambda: pytest.fail("he left"))
    other.left = True
    machine.leave()
    await done.wait()
    assert loop.time() - began >= 0.1 - ROUNDING
    assert machine.speed == 1.0


async def test_requests_are_answered_and_counted(serving: Serving) -> None:
    scene = await serving(median=0.001)
    assert (await scene.ask("/answer"))[0] == 200
    assert (await scene.ask("/answer", bytes(100_000), "POST"))[0] == 200
    told = await scene.stats()
    assert (told["started"], told["answered"], told["inside"], told["received"]) == (2, 2, 0, 100_000)


async def test_a_client_that_leaves_takes_its_work_along(serving: Serving) -> None:
    scene = await serving(median=60.0)
    _, writer = await scene.dial()
    writer.write(b"GET /answer HTTP/1.1\r\n\r\n")
    await eventually(lambda: scene.sidecar.stats.inside == 1, "it is inside")
    writer.close()
    await eventually(lambda: scene.sidecar.stats.abandoned == 1, "it is gone")
    assert (await scene.stats())["inside"] == 0


async def test_one_too_many_kills_it_for_a_while(serving: Serving) -> None:
    scene = await serving(median=60.0, breaks=1, restart=0.1)
    _, first = await scene.dial()
    first.write(b"GET /answer HTTP/1.1\r\n\r\n")
    await eventually(lambda: scene.sidecar.stats.inside == 1, "one is inside")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await scene.ask("/answer")
    told = await scene.stats()
    assert (told["crashes"], told["failed"], told["inside"], told["abandoned"]) == (1, 2, 0, 0)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await scene.ask("/answer")
    scene.sidecar.behave(median=0.001)
    await eventually(lambda: not scene.sidecar.down, "it is back")
    assert (await scene.ask("/answer"))[0] == 200
    first.close()


async def test_it_fails_on_demand(serving: Serving) -> None:
    scene = await serving(median=0.001)
    await scene.ask("/behave", b'{"failing": true}', "POST")
    assert (await scene.ask("/answer"))[0] == 500
    await scene.ask("/behave", b'{"failing": false}', "POST")
    assert (await scene.ask("/answer"))[0] == 200


async def test_tokens_come_one_by_one(serving: Serving) -> None:
    scene = await serving()
    reader, writer = await scene.dial()
    writer.write(b"GET /tokens?n=2&interval=0.01 HTTP/1.1\r\n\r\n")
    stream = await reader.readuntil(b"0\r\n\r\n")
    assert (stream.count(b'{"token"'), stream.count(b"[DONE]")) == (2, 1)
    writer.close()


async def test_bytes_come_all(serving: Serving) -> None:
    scene = await serving()
    status, body = await scene.ask("/bytes?n=1000000")
    assert (status, len(body)) == (200, 1_000_000)


async def test_one_seed_has_one_series_of_work() -> None:
    loop = asyncio.get_running_loop()
    behaviour = Behaviour(median=0.1, sigma=0.5, seed=7)
    series = [[Sidecar(loop, behaviour).seconds() for _ in range(2)] for _ in range(2)]
    assert series[0] == series[1]
    many = Sidecar(loop, behaviour)
    assert sum(many.seconds() for _ in range(5000)) / 5000 == pytest.approx(behaviour.mean, rel=0.05)
