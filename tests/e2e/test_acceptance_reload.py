"""Acceptance: changes to other proxies pass by live streams, breakers and limiters without touching them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from harness.answers import LAST_CHUNK, chunk, head, status_on_demand
from harness.client import Client, request
from harness.patience import eventually
from harness.records import proxies_of, proxy, serving
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.stream import Stream
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker, Document

STREAMS = 200
RELOADS = 50


class Tokens:
    """An upstream that streams: everybody gets event ``n`` when the test says so, and the end at the end."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    async def behaviour(self, link: Link) -> None:
        message = await link.request()
        if message.target.startswith(b"/status"):
            await link.send(head("Content-Length: 0", status="500 Broken"))
            return
        await link.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        self.links.append(link)
        await link.gone(within=60)

    async def say(self, data: bytes) -> None:
        await asyncio.gather(*(link.send(data) for link in self.links))


def others(document: Document, turn: int, url: str) -> Document:
    """The same first proxy; the others come, go, and change their limits, breakers and paths with ``turn``."""
    changing = [
        proxy(f"other-{number}", f"/other/{number}-{turn % 3}", url, max_concurrent=turn % 5, access_rule="true")
        for number in range(turn % 7)
    ]
    busy = proxy_to(url, name="busy", path="/busy", circuit_breaker=CircuitBreaker(turn % 2 == 0, 1 + turn))
    return serving(document, proxies_of(document)[0], busy, *changing)


async def all_get(clients: list[Client], data: bytes) -> None:
    async def one(stream: Stream) -> None:
        await stream.expect(data)

    await asyncio.gather(*(one(client) for client in clients))


async def open_streams(rig: Rig, tokens: Tokens) -> list[Client]:
    clients = [await rig.connect() for _ in range(STREAMS)]
    for client in clients:
        await client.send(request("/stream"))
    await eventually(lambda: len(tokens.links) == STREAMS, "all streams are open", 10)
    for client in clients:
        await client.until(b"\r\n\r\n")
    return clients


@pytest.mark.timeout(60)
async def test_200_live_streams_survive_50_reloads(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Every stream gets every event in order across 50 reloads that change other proxies, and ends as it should.

    The limiter, breaker and pool of the streaming proxy stay the same objects with the same counts: 200 permits in use
    and one failure on record, before, after and at each reload.
    """
    tokens = Tokens()
    upstream.behaviour = tokens.behaviour
    breaker = CircuitBreaker(enabled=True, failure_threshold=2, recovery_timeout=30)
    rig = await gateway_for(
        upstream, max_concurrent=STREAMS + 1, circuit_breaker=breaker, timeouts=replace(TIMEOUTS, body_idle=30)
    )
    clients = await open_streams(rig, tokens)
    assert (await rig.ask("/status/500")).status == 500
    before = rig.p
    machines = (before.limiter, before.endpoints[0].breaker, before.endpoints[0].pool)
    for turn in range(RELOADS):
        await rig.gateway.reload(others(rig.document, turn, upstream.url))
        event = chunk(b"data: %d\n\n" % turn)
        await tokens.say(event)
        await all_get(clients, event)
        now = (rig.p.limiter, rig.p.endpoints[0].breaker, rig.p.endpoints[0].pool)
        assert all(new is old for new, old in zip(now, machines, strict=True))
        assert (rig.p.limiter.in_flight, rig.p.endpoints[0].breaker.failures) == (STREAMS, 1)
    assert rig.gateway.generation == RELOADS + 1
    assert rig.gateway.exchanges == STREAMS
    await tokens.say(LAST_CHUNK)
    await all_get(clients, LAST_CHUNK)
    assert not any(client.ended for client in clients)
    lines = await rig.log.wait(STREAMS + 1)
    assert sum(line["status_code"] == 200 and not line["reason"] for line in lines) == STREAMS


async def test_an_open_breaker_stays_open_across_reloads(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A reload that changes another proxy does not let callers at an upstream that is fenced off."""
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(upstream, circuit_breaker=CircuitBreaker(True, 2, 30))
    for _ in range(2):
        assert (await rig.ask("/status/500")).status == 500
    for turn in range(RELOADS):
        await rig.gateway.reload(others(rig.document, turn, upstream.url))
        assert (await rig.ask("/status/200")).status == 503
    assert len(upstream.requests) == 2
