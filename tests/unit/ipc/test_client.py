"""What is sent to the worker, and sent again to a new one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.config.records import Credentials, Document, Route, TokenRecord
from gateway.ipc.channel import ChannelClient, ChannelError, RefusedError, operations
from gateway.ipc.client import WorkerClient
from gateway.ipc.messages import DataPlane, Health, InForce, Refusals
from gateway.ipc.server import ChannelServer
from gateway.workers.local_plane import LocalPlane

FIRST = Document(routes=(Route("a", "/a", "a"),))
SECOND = Document(routes=(Route("b", "/b", "b"),))
CREDENTIALS = Credentials({"d": TokenRecord("1", "ci")})


class Worker(LocalPlane):
    """Remembers what it was sent; refuses documents whose first proxy is ``refused``. It serves no traffic."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.names: list[str] = []
        self.tokens: list[str] = []
        self.refused = ""
        self.wanted: tuple[str, ...] = ()
        self.server: ChannelServer

    async def ping(self) -> Health:
        return Health(False, self.wanted)

    async def apply(self, document: Document) -> InForce:
        name = document.routes[0].name
        if name == self.refused:
            raise OSError("the address is taken")
        self.names.append(name)
        return InForce(len(self.names), (("127.0.0.1", 80),))

    async def identify(self, credentials: Credentials) -> None:
        self.tokens = list(credentials.tokens)

    async def take_used(self) -> Mapping[str, float]:
        return {"d": 1.0}

    async def reset_breaker(self, name: str, by: str) -> bool:
        return (name, by) == ("a", "ann")

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        return {"request_id": request_id} if request_id == "r" else None

    async def refusals(self, since: int, most: int) -> Refusals:
        return {"next": since + most, "items": []}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        listener.bind(str(self.path))
        listener.listen()
        self.server = ChannelServer(operations(DataPlane), self)
        await self.server.start(listener)
        try:
            yield
        finally:
            await self.server.aclose()
            self.path.unlink(missing_ok=True)  # from Python 3.13 on the server itself does it
            await asyncio.sleep(0.01)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[WorkerClient]:
    channel = ChannelClient(str(tmp_path / "channel"), operations(DataPlane), timeout=1)
    yield WorkerClient(channel)
    await channel.aclose()


async def test_a_document_is_put_in_force(plane: WorkerClient, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "channel")
    async with worker.run():
        await plane.identify(CREDENTIALS)
        await plane.apply(FIRST)
        assert (worker.names, worker.tokens) == (["a"], ["d"])
        assert plane.in_force == InForce(1, (("127.0.0.1", 80),))


async def test_each_operation_reaches_the_worker(plane: WorkerClient, tmp_path: Path) -> None:
    async with Worker(tmp_path / "channel").run():
        assert await plane.ping() == Health(False, ())
        assert await plane.take_used() == {"d": 1.0}
        assert await plane.state() == {}
        assert await plane.reset_breaker("a", "ann")
        assert not await plane.reset_breaker("b", "ann")
        assert await plane.sample() == os.getpid()
        assert (await plane.usage())["open_fds"] > 0
        assert await plane.breakers() == {}
        assert await plane.explain("a") is None
        assert (await plane.find("r"), await plane.find("s")) == ({"request_id": "r"}, None)
        assert await plane.refusals(3, 4) == {"next": 7, "items": []}


async def test_missing_keys_are_asked_for_once(plane: WorkerClient, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "channel")
    worker.wanted = ("http://b/keys", "http://a/keys")
    watch = asyncio.create_task(plane.keep_synced())
    async with worker.run():
        await eventually(lambda: plane.reachable, "the first ping")
        assert plane.take_wanted() == ["http://a/keys", "http://b/keys"]
        worker.wanted = ()
    watch.cancel()


async def test_what_is_in_force_is_not_applied_again(plane: WorkerClient, tmp_path: Path) -> None:
    worker, fresh = Worker(tmp_path / "channel"), Worker(tmp_path / "channel")
    async with worker.run():
        for document in (FIRST, replace(FIRST), SECOND, FIRST):
            await plane.apply(document)
        assert worker.names == ["a", "b", "a"]
    async with fresh.run():
        await plane.apply(FIRST)
        assert fresh.names == ["a"], "it is another worker, which knows nothing"


async def test_what_was_refused_is_forgotten(plane: WorkerClient, tmp_path: Path) -> None:
    worker, fresh = Worker(tmp_path / "channel"), Worker(tmp_path / "channel")
    async with worker.run():
        await plane.apply(FIRST)
        worker.refused = "b"
        with pytest.raises(RefusedError, match="the address is taken"):
            await plane.apply(SECOND)
    watch = asyncio.create_task(plane.keep_synced())
    async with fresh.run():
        await eventually(lambda: fresh.names == ["a"], "the last good one")
        watch.cancel()


async def test_a_new_worker_hears_everything(plane: WorkerClient, tmp_path: Path) -> None:
    watch = asyncio.create_task(plane.keep_synced())
    await eventually(lambda: not plane.reachable)
    with pytest.raises(ChannelError):
        await plane.apply(FIRST)
    with pytest.raises(ChannelError):
        await plane.identify(CREDENTIALS)
    for _ in range(3):
        worker = Worker(tmp_path / "channel")
        async with worker.run():
            await eventually(lambda: plane.reachable and worker.names == ["a"] and worker.tokens == ["d"], "all of it")  # noqa: B023
        await eventually(lambda: not plane.reachable, "its end")
    watch.cancel()
