"""An operator drains an endpoint under load: no request fails, and none goes there until it is taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from harness.answers import LAST_CHUNK, chunk, head
from harness.client import Client, request
from harness.deployment import START, Deployment
from harness.fleet import load, pids, restarted
from harness.patience import eventually, when
from harness.upstream import Link, Upstream

pytestmark = pytest.mark.timeout(180)

ENOUGH = 40
"""Requests after which an endpoint that could get one has had some."""


async def stream(link: Link) -> None:
    """Each response takes as long as a short stream of tokens."""
    while True:
        await link.request()
        await link.send(head("Transfer-Encoding: chunked"))
        for _ in range(4):
            await asyncio.sleep(0.01)
            await link.send(chunk(b"token"))
        await link.send(LAST_CHUNK)


async def test_an_endpoint_is_drained_under_load_stays_so_over_restarts_and_comes_back(tmp_path: Path) -> None:
    async with Upstream(stream) as one, Upstream(stream) as two:
        # The upstream of tests closes connections that are idle for 3 s; a POST that meets that fails rightly.
        more = (
            f"workers: 2\nupstreams: [{{name: ai, endpoints: [{{url: '{one.url}'}}, {{url: '{two.url}'}}], "
            "timeout_config: {idle: 1}}]"
        )
        proxies = "[{name: web, path: /web, upstream: ai, access_rule: 'true'}]"
        async with Deployment(tmp_path, proxies=proxies, more=more) as gateway:

            async def still() -> bool:
                items = (await gateway.call("GET", "/upstreams/ai/endpoints"))["items"]
                return bool(items[0]["live"]["standing"] == "drained" and not items[0]["live"]["in_flight"])

            async def more_of(upstream: Upstream) -> None:
                before = len(upstream.requests)
                await eventually(lambda: len(upstream.requests) > before + ENOUGH, "requests", START)

            async with load(gateway) as failed:
                await more_of(one)
                done = await gateway.call("POST", "/upstreams/web/endpoints/drain", {"url": one.url})
                assert done["applied"] == {"generation": 2, "error": ""}
                await when(still, START, "those that ran have ended")
                drained = len(one.requests)
                await more_of(two)
                assert len(one.requests) == drained

                workers, control = pids(gateway), gateway.pid("control")
                await gateway.call("POST", "/workers/restart")
                await restarted(gateway, workers)
                gateway.kill("control")
                await gateway.replaced("control", control)
                await gateway.greeted(2)
                await more_of(two)
                assert await still()
                assert len(one.requests) == drained, "new processes know it too"

                undrained = await asyncio.to_thread(gateway.cli, "endpoint", "undrain", "ai", one.url)
                assert undrained.returncode == 0, undrained.stderr
                await more_of(one)  # a gateway that runs follows its database
            assert failed == []


async def hold(link: Link) -> None:
    """A response that lasts until the caller leaves."""
    await link.request()
    await link.send(head("Transfer-Encoding: chunked") + chunk(b"token"))
    await link.gone(2 * START)


async def test_a_stream_in_a_worker_that_was_replaced_is_waited_for(tmp_path: Path) -> None:
    async with Upstream(hold) as one, Upstream(hold) as two:
        more = (
            f"upstreams: [{{name: ai, balance: round_robin, endpoints: [{{url: '{one.url}'}}, {{url: '{two.url}'}}]}}]"
        )
        proxies = "[{name: web, path: /web, upstream: ai, access_rule: 'true'}]"
        async with Deployment(tmp_path, proxies=proxies, more=more) as gateway:
            clients = [await Client.connect(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) for _ in range(2)]
            for client in clients:
                await client.send(request("/web"))
            await eventually(lambda: one.accepted == two.accepted == 1)
            before = pids(gateway)
            await gateway.call("POST", "/workers/restart")
            await eventually(lambda: "is new; what runs in the old" in gateway.log.read_text(), "a new process", START)
            await gateway.call("POST", "/upstreams/web/endpoints/drain", {"url": one.url})

            async def shown(first: int, second: int) -> bool:
                items = (await gateway.call("GET", "/upstreams/ai/endpoints"))["items"]
                found = [(each["live"]["standing"], each["live"]["in_flight"]) for each in items]
                return found == [("drained", first), ("usable", second)]

            await when(lambda: shown(1, 1), START, "both streams are counted")
            for client in clients:
                client.close()
            await restarted(gateway, before)
            await when(lambda: shown(0, 0), START, "they have ended")
