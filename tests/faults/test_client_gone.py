"""A client that leaves ends the upstream's work at once, frees its place, and teaches the breaker nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.answers import answer, chunk, head
from harness.client import Client, request
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import BlackHole, Upstream

from gateway.config.records import CircuitBreaker, Queue
from gateway.observe import families

pytestmark = pytest.mark.protocols

GUARDED = {"max_concurrent": 10, "circuit_breaker": CircuitBreaker(enabled=True, failure_threshold=1)}
WAYS = ["close", "reset", "half-close"]


def leave(client: Client, way: str) -> None:
    {"half-close": client.half_close, "reset": client.reset, "close": client.close}[way]()


async def nothing_learnt(rig: Rig) -> None:
    await rig.settled()
    assert rig.p.endpoints[0].breaker.failures == 0
    line = await rig.log.last()
    assert (line["status_code"], line["reason"]) == (499, "client_gone")


@pytest.mark.parametrize("way", WAYS)
async def test_before_the_first_byte(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    leave(client, way)
    await link.gone()
    await nothing_learnt(rig)


@pytest.mark.parametrize("way", WAYS)
async def test_in_the_middle_of_the_answer(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"begun"))
    await eventually(lambda: rig.p.limiter.in_flight == 1)
    leave(client, way)
    await link.gone()
    await nothing_learnt(rig)


@pytest.mark.parametrize("way", WAYS)
async def test_in_the_middle_of_the_upload(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 100000", method="POST"), b"x" * 1000)
    link = await upstream.link()
    await link.head()
    leave(client, way)
    await link.gone()
    await nothing_learnt(rig)


@pytest.mark.plain
@pytest.mark.parametrize("way", WAYS)
async def test_while_dialling(gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole, way: str) -> None:
    rig = await gateway_for(black_hole, timeouts=replace(TIMEOUTS, dial=30), **GUARDED)
    client = await rig.connect()
    await client.send(request())
    await eventually(lambda: rig.p.endpoints[0].pool.dials == 1)
    leave(client, way)
    await nothing_learnt(rig)


@pytest.mark.parametrize("way", WAYS)
async def test_in_the_queue(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    """The place becomes free at once: the next in the queue moves up, and the upstream never hears of who left."""
    guarded = GUARDED | {"max_concurrent": 1, "queue": Queue(5, 30)}
    rig = await gateway_for(upstream, **guarded)
    first, gone, last = [await rig.connect() for _ in range(3)]
    await first.send(request("/first"))
    link = await upstream.link()
    await link.head()
    await gone.send(request("/gone"))
    await eventually(lambda: rig.p.limiter.waiting == 1)
    await last.send(request("/last"))
    await eventually(lambda: rig.p.limiter.waiting == 2)
    leave(gone, way)
    await eventually(lambda: rig.p.limiter.waiting == 1)
    await link.send(answer(b"1"))
    assert (await link.head()).start.startswith(b"GET /last ")
    await link.send(answer(b"2"))
    assert (await last.response()).body == b"2"
    assert rig.p.endpoints[0].breaker.failures == 0
    assert {line["reason"] for line in await rig.log.wait(3)} == {"", "client_gone"}


async def test_how_soon_the_upstreams_work_ends_is_measured(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    client.close()
    await link.gone()
    gone = families.CLIENT_GONE
    base = dict(rig.gateway.counters.live())["p"]

    def measured() -> int:
        return sum(rig.gateway.counters.ints[base + gone.at : base + gone.sum_at])

    await eventually(lambda: measured() == 1)
    assert 0.0 < rig.gateway.counters.floats[base + gone.sum_at] < 3.0


@pytest.mark.parametrize("way", WAYS)
async def test_while_the_upstream_takes_nothing(
    gateway_for: GatewayFor, upstream: Upstream, over: str, way: str
) -> None:
    """Nothing is read from the client then, and its end is behind bytes that nobody reads. In HTTP/2 the window is
    closed, and all the rest is read.
    """
    watched = int(over != "h2")
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    client.sock.setblocking(False)
    await client.send(request("/", "Content-Length: 100000000", method="POST"))
    link = await upstream.link()
    await link.head()
    await eventually(
        lambda: not client.offer(bytes(65536)) and len(rig.gateway.server.hangups) == watched, "the peer is watched"
    )
    leave(client, way)
    await link.gone()
    await nothing_learnt(rig)
    assert len(rig.gateway.server.hangups) == 0


@pytest.mark.http1
@pytest.mark.parametrize("way", WAYS)
async def test_with_more_behind_the_request_than_is_read_ahead(
    gateway_for: GatewayFor, upstream: Upstream, way: str
) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    await client.send(request("/first"))
    link = await upstream.link()
    await link.head()
    await client.send(request("/more") * 2000)
    await eventually(lambda: len(rig.gateway.server.hangups) == 1, "the peer is watched")
    leave(client, way)
    await link.gone()
    await nothing_learnt(rig)
