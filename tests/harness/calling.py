"""A gateway in this process with a configuration file, and calls of its actions."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Protocol, Self

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import AdHoc, Asked, Called
from harness.patience import eventually


class Freezing(Protocol):
    """A server that can stand still."""

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


class Calling:
    """``async with``. ``text``: the connections and actions of the file."""

    def __init__(self, text: str, env: dict[str, str] | None = None) -> None:
        self.env = env or {}
        self.gateway = Gateway(load.parse(_whole(text), "yaml", "f", self.env))

    async def __aenter__(self) -> Self:
        await self.gateway.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.aclose()

    async def reload(self, text: str) -> None:
        await self.gateway.reload(load.parse(_whole(text), "yaml", "f", self.env))

    async def __call__(self, action: str, **given: object) -> Called:
        return await self.gateway.actions.call(self.gateway.server, Asked("default", action, given))

    async def body(self, action: str, **given: object) -> Any:
        """Of a response, whatever its status."""
        called = await self(action, **given)
        assert called["failure"] is None, called["failure"]
        return json.loads(called["body"])

    async def code(self, action: str, **given: object) -> str:
        """Why there is no response; empty when there is one."""
        failure = (await self(action, **given))["failure"]
        return "" if failure is None else failure["code"]

    async def fill_limit_of_five(self, server: Freezing, action: str, **given: object) -> None:
        """Twelve calls at once, at a server that stands still meanwhile: five wait for it, and seven are rejected."""
        await asyncio.gather(*(self.code(action, **given) for _ in range(5)))  # the connections are there
        server.freeze()
        calls = [asyncio.ensure_future(self.code(action, **given)) for _ in range(12)]
        await eventually(lambda: sum(call.done() for call in calls) == 7, "seven rejections")
        server.thaw()
        assert sorted(await asyncio.gather(*calls)) == [""] * 5 + ["concurrency_limit"] * 7
        assert self.upstream.limiter.in_flight == 0

    async def test(self, connection: str) -> str:
        """Why it does not work; empty when it does."""
        asked = Asked("default", adhoc=AdHoc(connection, test=True))
        failure = (await self.gateway.actions.call(self.gateway.server, asked))["failure"]
        return "" if failure is None else failure["message"]

    @property
    def upstream(self) -> Any:
        """The machines of its one connection."""
        (upstream,) = self.gateway.upstreams.values()
        return upstream


def _whole(text: str) -> str:
    return f"listen: 127.0.0.1:0\naccess_log: null\n{text}"
