"""Several workers and an endpoint that says what it bears: the limit of the machine follows, whoever hears it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from harness.answers import answer
from harness.deployment import Deployment
from harness.patience import eventually, when
from harness.upstream import Link, Upstream

pytestmark = pytest.mark.timeout(120)


class Sidecar:
    def __init__(self) -> None:
        self.says, self.running, self.most = "0/2", 0, 0
        self.free = asyncio.Event()

    async def __call__(self, link: Link) -> None:
        while True:
            asked = await link.request()
            if asked.target.endswith(b"/held"):
                self.running += 1
                self.most = max(self.most, self.running)
                await self.free.wait()
                self.running -= 1
            await link.send(answer(b"a", f"X-Capacity: {self.says}"))


async def status(deployment: Deployment, path: str) -> int:
    async with deployment.session.get(f"{deployment.url}{path}") as response:
        assert "X-Capacity" not in response.headers
        await response.read()
        return response.status


async def test_the_limit_of_the_machine_is_what_the_endpoint_reports(tmp_path: Path) -> None:
    sidecar = Sidecar()
    async with Upstream(sidecar) as upstream:
        more = "max_concurrent: 6, capacity: {max_age: 30}, health: {path: /health, interval: 0.1}"
        proxies = f"[{{name: ai, path: /ai, upstream: '{upstream.url}', access_rule: 'true', {more}}}]"
        async with Deployment(tmp_path, proxies=proxies, more="workers: 2") as deployment:

            async def bounded(limit: int) -> bool:
                shown = await deployment.call("GET", "/upstreams/ai/explain")
                return bool(shown["limiter"]["max_concurrent"] == limit)

            await when(lambda: bounded(2), 20, "the report")
            asking = [asyncio.ensure_future(status(deployment, "/ai/held")) for _ in range(12)]
            await eventually(lambda: sum(each.done() for each in asking) == 10, "all but two are rejected", 20)
            await eventually(lambda: sidecar.running == 2, "those two are there")
            sidecar.free.set()
            assert Counter(await asyncio.gather(*asking)) == {200: 2, 429: 10}
            assert sidecar.most == 2
            sidecar.says = "0/5"
            await when(lambda: bounded(5), 20, "more places")
            sidecar.says = "drain"
            await when(lambda: bounded(6), 20, "the only one that drains: what is configured holds")
            assert await status(deployment, "/ai/x") == 200
            shown = await deployment.call("GET", "/upstreams/ai/explain")
            (endpoint,) = shown["group"]["endpoints"]
            assert (endpoint["standing"], endpoint["reported"]["total"]) == ("leaving", 0)
