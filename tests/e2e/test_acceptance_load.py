"""Acceptance: NFR-001, NFR-003: what can be told of speed and numbers on any machine; the reports tell the rest."""

from __future__ import annotations

import asyncio
import statistics

import pytest
from harness.answers import OK, ok
from harness.client import request
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream

CALLERS = 1000


@pytest.mark.covers("NFR-001")
async def test_nfr001_the_gateway_itself_takes_little_time(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """At the median over 200 requests, as the gateway tells it and as the whole way takes it, upstream included."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(200):
        start = loop.time()
        assert (await client.ask()).status == 200
        took.append(loop.time() - start)
    lines = await rig.log.wait(200)
    assert statistics.median(line["proxy_latency_ms"] for line in lines) < 5
    assert statistics.median(took) < 0.005


@pytest.mark.covers("NFR-003")
async def test_nfr003_a_thousand_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A thousand callers, each on a connection of its own, are all inside before the first gets its answer."""
    door = asyncio.Event()
    inside = 0

    async def behaviour(link: Link) -> None:
        nonlocal inside
        await link.request()
        inside += 1
        await door.wait()
        await link.send(OK)
        await link.gone(within=20)

    upstream.behaviour = behaviour
    rig = await gateway_for(upstream)
    clients = [await rig.connect() for _ in range(CALLERS)]
    for client in clients:
        await client.send(request())
    await eventually(lambda: inside == CALLERS, "all are inside", 20)
    assert rig.gateway.exchanges == CALLERS
    door.set()
    assert {(await client.response()).body for client in clients} == {b"ok"}
