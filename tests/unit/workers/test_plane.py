"""What the worker is told, and told again when it is a new one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.patience import eventually

from gateway.config.document import Credentials, Document, Proxy, TokenRecord
from gateway.workers.channel import ChannelClient, ChannelError, ChannelServer, RefusedError
from gateway.workers.plane import Plane

FIRST = Document(proxies=(Proxy("a", "/a", "http://h"),))
SECOND = Document(proxies=(Proxy("b", "/b", "http://h"),))
CREDENTIALS = Credentials({"d": TokenRecord("1", "ci")})


class Worker:
    """Remembers what it was told; refuses documents whose first proxy is ``refused``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.tokens: list[str] = []
        self.refused = ""
        self.wanted: list[str] = []
        self.server: ChannelServer

    async def ping(self, _: Any) -> object:
        return {"draining": False, "wanted": self.wanted}

    async def apply(self, body: Any) -> object:
        name = body["proxies"][0]["name"]
        if name == self.refused:
            raise OSError("the address is taken")
        self.names.append(name)
        return {"generation": len(self.names), "addresses": [["127.0.0.1", 80]]}

    async def identify(self, body: Any) -> object:
        self.tokens = list(body["tokens"])
        return None

    async def state(self, _: Any) -> object:
        return {}

    async def used(self, _: Any) -> object:
        return {"d": 1.0}

    async def reset_breaker(self, body: Any) -> object:
        return body == {"name": "a", "by": "ann"}

    async def sample(self, _: Any) -> object:
        return {"pid": 7}

    async def breakers(self, _: Any) -> object:
        return {"a": {"breaker": "off"}}

    async def explain(self, body: Any) -> object:
        return {"proxy": body["name"]}

    async def request(self, body: Any) -> object:
        return {"request_id": body["id"]} if body["id"] == "r" else None

    async def refusals(self, body: Any) -> object:
        return {"next": body["since"] + body["most"], "items": []}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        listener.bind(str(self.path))
        listener.listen()
        names = ("ping", "apply", "identify", "state", "used", "reset_breaker", "sample", "breakers", "explain")
        names += ("request", "refusals")
        self.server = ChannelServer({name: getattr(self, name) for name in names})
        await self.server.start(listener)
        try:
            yield
        finally:
            await self.server.aclose()
            self.path.unlink(missing_ok=True)  # from Python 3.13 on the server itself does it
            await asyncio.sleep(0.01)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    channel = ChannelClient(str(tmp_path / "channel"), timeout=1)
    yield Plane(channel)
    await channel.aclose()


async def test_a_document_is_put_in_force(plane: Plane, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "channel")
    async with worker.run():
        await plane.identify(CREDENTIALS)
        await plane.apply(FIRST)
        assert (worker.names, worker.tokens) == (["a"], ["d"])
        assert (plane.generation, plane.addresses) == (1, [("127.0.0.1", 80)])
        assert await plane.used() == {"d": 1.0}
        assert await plane.state() == {}
        assert await plane.reset_breaker("a", "ann")
        assert not await plane.reset_breaker("b", "ann")
        assert await plane.sample() == {"pid": 7}
        assert await plane.breakers() == {"a": {"breaker": "off"}}
        assert await plane.explain("a") == {"proxy": "a"}
        assert (await plane.request("r"), await plane.request("s")) == ({"request_id": "r"}, None)
        assert await plane.refusals(3, 4) == {"next": 7, "items": []}


async def test_what_is_in_force_is_not_applied_again(plane: Plane, tmp_path: Path) -> None:
    worker, fresh = Worker(tmp_path / "channel"), Worker(tmp_path / "channel")
    async with worker.run():
        for document in (FIRST, replace(FIRST), SECOND, FIRST):
            await plane.apply(document)
        assert worker.names == ["a", "b", "a"]
    async with fresh.run():
        await plane.apply(FIRST)
        assert fresh.names == ["a"], "it is another worker, which knows nothing"


async def test_what_was_refused_is_forgotten(plane: Plane, tmp_path: Path) -> None:
    worker, fresh = Worker(tmp_path / "channel"), Worker(tmp_path / "channel")
    async with worker.run():
        await plane.apply(FIRST)
        worker.refused = "b"
        with pytest.raises(RefusedError, match="the address is taken"):
            await plane.apply(SECOND)
    watch = asyncio.create_task(plane.keep_told())
    async with fresh.run():
        await eventually(lambda: fresh.names == ["a"], "the last good one")
        watch.cancel()


async def test_a_new_worker_hears_everything(plane: Plane, tmp_path: Path) -> None:
    watch = asyncio.create_task(plane.keep_told())
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
