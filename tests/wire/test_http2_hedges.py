"""Hedges where the upstream speaks HTTP/2: the stream of the loser is reset, and its connection serves on."""

from __future__ import annotations

import asyncio

import pytest
from harness.client import request
from harness.http2_upstream import Session
from harness.patience import eventually
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker, Hedge
from gateway.wire.h2.codes import CANCEL

pytestmark = pytest.mark.plain

CUT_WITHIN = 0.1


@pytest.mark.parametrize("winner", [0, 1], ids=["the first wins", "the second wins"])
async def test_the_loser_is_reset_with_cancel(gateway_for: GatewayFor, upstream: Upstream, winner: int) -> None:
    breaker = CircuitBreaker(enabled=True, failure_threshold=1)
    settings = {"hedge": Hedge(0.02), "http2": "always", "circuit_breaker": breaker, "max_concurrent": 2}
    rig = await gateway_for(upstream, proxies=(proxy_to(upstream, **settings),))
    client = await rig.connect()
    await client.send(request())
    session = await Session(await upstream.link()).greet()
    streams = await session.head(), await session.head()
    await session.begin(streams[winner], (b"x-from", b"%d" % winner), ended=True)
    async with asyncio.timeout(CUT_WITHIN):
        assert await session.reset(streams[1 - winner]) == CANCEL
    response = await client.response()
    assert (response.status, response.get("x-from")) == (200, b"%d" % winner)
    line = await rig.log.last()
    assert (line["upstream_protocol"], line["attempts"]) == ("2", 2)
    assert line["hedge"]["result"] == ("won" if winner else "lost")
    await eventually(lambda: rig.p.limiter.in_flight == 0, "both permits are back")
    assert rig.p.endpoints[0].breaker.failures == 0
    await client.send(request("/next"))
    following = await session.head()
    await session.begin(following, ended=True)
    assert (await client.response()).status == 200
    assert upstream.accepted == 1


async def test_a_caller_that_leaves_resets_both(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, proxies=(proxy_to(upstream, hedge=Hedge(0.02), http2="always"),))
    client = await rig.connect()
    await client.send(request())
    session = await Session(await upstream.link()).greet()
    streams = await session.head(), await session.head()
    client.close()
    async with asyncio.timeout(CUT_WITHIN):
        assert [await session.reset(stream) for stream in streams] == [CANCEL, CANCEL]
