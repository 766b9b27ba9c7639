"""Whatever ends a WebSocket: both sides learn of it, the permit is free, and the breaker learns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from harness.answers import OK
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream
from harness.websocket import CLOSE, GOING_AWAY, SWITCHED, frame, masked, switched, unmask, upgrade

from gateway.config.records import CircuitBreaker, Limits, Queue
from gateway.observe import families

pytestmark = [pytest.mark.protocols, pytest.mark.http1]  # those of HTTP/2: test_http2_websocket.py

GUARDED = {
    "websocket": True,
    "max_concurrent": 1,
    "circuit_breaker": CircuitBreaker(enabled=True, failure_threshold=1),
}


async def opened(rig: Rig, upstream: Upstream, *, receive_buffer: int = 0) -> tuple[Client, Link]:
    client = await rig.connect(receive_buffer=receive_buffer)
    await client.send(upgrade())
    link = await upstream.link()
    await link.head()
    await link.send(SWITCHED)
    assert (await client.response()).status == 101
    return client, link


async def closed(client: Client, link: Link) -> None:
    link.half_close()
    await client.rest()
    client.close()
    await link.gone()


def cell(rig: Rig, at: int) -> int:
    rig.gateway.sample()
    return rig.gateway.counters.ints[dict(rig.gateway.counters.live())["p"] + at]


Ending = Callable[[Rig, Client, Link], Awaitable[None]]


async def the_client_closes(rig: Rig, client: Client, link: Link) -> None:
    client.close()
    assert await link.gone(0.5) in {"eof", "reset"}
    link.close()


async def the_client_resets(rig: Rig, client: Client, link: Link) -> None:
    client.reset()
    assert await link.gone(0.5) in {"eof", "reset"}


async def the_upstream_closes(rig: Rig, client: Client, link: Link) -> None:
    link.close()
    assert await client.rest() == b""
    client.close()


async def the_upstream_resets(rig: Rig, client: Client, link: Link) -> None:
    link.reset()
    assert await client.rest() == b""


async def the_upstream_vanishes(rig: Rig, client: Client, link: Link) -> None:
    """As with kill -9: FIN from the kernel, and under TLS no close_notify."""
    link.cut()
    assert await client.rest() == b""
    client.close()


async def both_say_close(rig: Rig, client: Client, link: Link) -> None:
    await client.send(masked(b"\x03\xe8", CLOSE))
    await link.expect(masked(b"\x03\xe8", CLOSE))
    await link.send(frame(b"\x03\xe8", CLOSE))
    await client.expect(frame(b"\x03\xe8", CLOSE))
    link.close()
    assert await client.rest() == b""
    client.close()


async def silence(rig: Rig, client: Client, link: Link) -> None:
    assert await client.rest() == b""
    await link.gone()


ENDINGS: dict[str, tuple[Ending, str, str]] = {
    "the client closes": (the_client_closes, "", "client"),
    "the client resets": (the_client_resets, "client_gone", "client"),
    "the upstream closes": (the_upstream_closes, "", "upstream"),
    "the upstream resets": (the_upstream_resets, "upstream_reset", "upstream"),
    "the upstream vanishes": (the_upstream_vanishes, "", "upstream"),
    "both say Close": (both_say_close, "", "upstream"),
    "silence": (silence, "tunnel_idle_timeout", "idle"),
}


@pytest.mark.parametrize(("ending", "reason", "word"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_the_permit_is_free_after_each_ending(
    gateway_for: GatewayFor, upstream: Upstream, ending: Ending, reason: str, word: str
) -> None:
    idle = 0.2 if ending is silence else 60
    rig = await gateway_for(upstream, tunnel_idle=idle, **GUARDED)
    for round_ in range(2):
        client, link = await opened(rig, upstream)
        refused = await rig.ask("/")
        assert (refused.status, code_of(refused)) == (429, "concurrency_limit"), "the permit covers the tunnel"
        assert cell(rig, families.TUNNELS) == 1
        await ending(rig, client, link)
        await rig.settled()
        assert cell(rig, families.TUNNELS) == 0
        assert rig.p.endpoints[0].breaker.failures == 0
        assert rig.p.endpoints[0].pool.open == 0, "its connection serves nothing else"
        line = (await rig.log.wait(2 * round_ + 2))[-1]
        if ending is the_upstream_vanishes and upstream.scheme == "https":
            reason = "upstream_reset"  # RFC 8446 6.1: a FIN may be anyone's
        assert (line["status_code"], line["reason"], line["tunnel"]["end"]) == (101, reason, word)
        assert line["tunnel"]["clean"] is (ending is both_say_close)
        assert 0 <= line["tunnel"]["open_ms"] <= line["duration_ms"]
    ends = [word == each for each in ("client", "upstream", "idle", "drained", "cut")]
    assert [cell(rig, families.TUNNELS_ENDED + at) for at in range(5)] == [2 * is_it for is_it in ends]


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_leaves_a_blocked_upstream(
    gateway_for: GatewayFor, upstream_class: type[Upstream], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read from the client, because the upstream takes nothing."""
    monkeypatch.setattr("gateway.wire.tunnel.FIN_SECONDS", 0.2)
    async with upstream_class(receive_buffer=4096) as upstream:
        rig = await gateway_for(upstream, tunnel_idle=60, **GUARDED)
        client, link = await opened(rig, upstream)
        server: Any = next(iter(rig.gateway.server.connections))
        async with asyncio.timeout(10):
            while server._reading:  # no more than that, so that the FIN of the client finds room
                await client.send(bytes(16384))
                await asyncio.sleep(0)
        client.reset() if way == "reset" else client.close()
        await eventually(lambda: rig.gateway.exchanges == 0, "it is noticed")
        await rig.settled()
        assert (await rig.log.last())["tunnel"]["end"] == "client"
        await link.gone()


async def test_how_soon_the_upstreams_side_ends_is_measured(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client, link = await opened(rig, upstream)
    client.reset()
    await link.gone(0.5)
    await rig.settled()
    gone = families.CLIENT_GONE
    base = dict(rig.gateway.counters.live())["p"]
    await eventually(lambda: sum(rig.gateway.counters.ints[base + gone.at : base + gone.sum_at]) == 1)
    assert 0.0 < rig.gateway.counters.floats[base + gone.sum_at] < 0.5


async def test_layers_apply_before_the_switch(gateway_for: GatewayFor, upstream: Upstream) -> None:
    proxies = (
        proxy_to(upstream, name="login", path="/login", access_rule="", websocket=True),
        proxy_to("http://127.0.0.1:1", name="down", path="/down", **GUARDED),
        proxy_to(upstream, name="slow", path="/slow", websocket=True, timeouts=replace(TIMEOUTS, response_header=0.1)),
        proxy_to(upstream, name="late", path="/late", websocket=True, timeouts=replace(TIMEOUTS, total=0.1)),
        proxy_to(upstream, name="queue", path="/queue", **(GUARDED | {"queue": Queue(1, 0.1)})),
    )
    rig = await gateway_for(upstream, proxies=proxies)

    async def asked(path: str) -> tuple[int, str]:
        client = await rig.connect()
        await client.send(upgrade(path))
        told = await client.response()
        return told.status, code_of(told)

    assert await asked("/login") == (401, "unauthenticated")
    assert await asked("/down") == (502, "dial_failed")
    assert await asked("/down") == (503, "breaker_open")
    assert await asked("/slow") == (504, "header_timeout")
    assert await asked("/late") == (504, "total_timeout")
    holding = await rig.connect()
    await holding.send(upgrade("/queue"))
    link = (await upstream.link(), await upstream.link(), await upstream.link())[-1]
    await link.head()
    await link.send(SWITCHED)
    assert (await holding.response()).status == 101
    assert await asked("/queue") == (429, "queue_timeout")
    await closed(holding, link)


async def test_the_breaker_learns_at_the_switch(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A probe gives its place back with the 101, and not when the tunnel ends."""
    breaker = CircuitBreaker(enabled=True, failure_threshold=1, recovery_timeout=0.1, half_open_requests=1)
    rig = await gateway_for(upstream, websocket=True, circuit_breaker=breaker)
    client = await rig.connect()
    await client.send(upgrade())
    link = await upstream.link()
    await link.head()
    link.reset()
    assert (await client.response()).status == 502
    assert rig.p.endpoints[0].breaker.state.name == "OPEN"
    await eventually(lambda: rig.p.endpoints[0].breaker.until_probe() == 0)
    client, link = await opened(rig, upstream)
    await eventually(lambda: rig.p.endpoints[0].breaker.state.name == "CLOSED", "the probe has succeeded")
    link.reset()
    await client.rest()
    await rig.settled()
    assert (rig.p.endpoints[0].breaker.state.name, rig.p.endpoints[0].breaker.failures) == ("CLOSED", 0)


async def test_a_stale_connection_before_the_switch_is_replaced(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, websocket=True)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    await link.send(OK)
    assert (await client.response()).status == 200
    await client.send(upgrade())
    await link.head()
    link.reset()
    link = await upstream.link()
    await link.head()
    await link.send(SWITCHED, frame(b"hello"))
    assert (await client.response()).status == 101
    await client.expect(frame(b"hello"))
    link.reset()
    await client.rest()
    await rig.settled()
    assert upstream.accepted == 2, "and never after it"
    assert [line["attempts"] for line in await rig.log.wait(2)] == [1, 2]


async def test_it_is_seen_while_it_runs(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client = await rig.connect()
    await client.send(upgrade("/", "X-Request-Id: the-socket"))
    link = await upstream.link()
    await link.head()
    await link.send(SWITCHED)
    await client.response()
    await client.send(masked(b"ping"))
    await link.expect(masked(b"ping"))
    found = rig.gateway.find("the-socket")
    assert found is not None
    assert (found["phase"], found["proxy_name"]) == ("tunnel", "p")
    told = rig.gateway.explain("p")
    assert told is not None
    assert [(one["request_id"], one["phase"]) for one in told["active"]] == [("the-socket", "tunnel")]
    assert (told["verdict"], told["reason"]) == ("refuse", "concurrency_limit")
    await closed(client, link)
    await rig.settled()
    line = rig.gateway.find("the-socket")
    assert line is not None
    assert line["status_code"] == 101
    assert cell(rig, families.BYTES_IN) == len(masked(b"ping"))
    durations = families.DURATION
    base = dict(rig.gateway.counters.live())["p"]
    assert rig.gateway.counters.floats[base + durations.sum_at] <= float(line["duration_ms"]) / 1000  # type: ignore[arg-type]


async def test_a_reload_leaves_it_alone(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, **GUARDED)
    client, link = await opened(rig, upstream)
    for changes in ({"websocket": False}, {"upstream": "http://127.0.0.1:1"}, {"active": False}):
        await rig.change(**changes)
        await client.send(masked(b"ping"))
        await link.expect(masked(b"ping"))
        await link.send(frame(b"pong"))
        await client.expect(frame(b"pong"))
    assert rig.gateway.exchanges == 1
    await closed(client, link)
    await rig.settled()


class TestDrain:
    async def test_close_is_said_and_the_gateway_waits_for_the_farewell(
        self, gateway_for: GatewayFor, upstream: Upstream
    ) -> None:
        rig = await gateway_for(upstream, **GUARDED)
        client, link = await opened(rig, upstream)
        await link.send(frame(b"data"))
        draining = asyncio.create_task(rig.gateway.drain(5))
        await client.expect(frame(b"data") + GOING_AWAY)
        said = await link.exactly(8)
        assert (said[:2], unmask(said[6:], said[2:6])) == (b"\x88\x82", b"\x03\xe9")
        await link.send(frame(b"late"), frame(b"\x03\xe9", CLOSE))
        await client.send(masked(b"late"), masked(b"\x03\xe9", CLOSE))
        assert await client.rest() == b"", "nothing follows a Close"
        assert await link.rest() == b""
        assert await draining, "nothing was cut"
        line = await rig.log.last()
        assert (line["status_code"], line["reason"]) == (101, "")
        assert (line["tunnel"]["end"], line["tunnel"]["clean"]) == ("drained", True)

    async def test_between_two_frames(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        rig = await gateway_for(upstream, **GUARDED)
        client, link = await opened(rig, upstream)
        down, up = frame(b"x" * 70_000), masked(b"y" * 70_000)
        await link.send(down[:40_000])
        await client.send(up[:3])
        await client.expect(down[:40_000])
        await link.expect(up[:3])
        draining = asyncio.create_task(rig.gateway.drain(5))
        await client.silence()
        await link.send(down[40_000:], frame(b"dropped"))
        await client.expect(down[40_000:] + GOING_AWAY)
        await client.send(up[3:], masked(b"\x03\xe9", CLOSE))
        await link.expect(up[3:])
        assert (await link.exactly(8))[:2] == b"\x88\x82"
        link.close()
        assert await client.rest() == b""
        client.close()
        assert await draining

    async def test_whoever_does_not_say_goodbye_is_cut(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        rig = await gateway_for(upstream, **GUARDED)
        client, link = await opened(rig, upstream)
        assert not await rig.gateway.drain(0.2)
        assert await client.rest() == GOING_AWAY
        assert len(await link.rest()) == 8
        line = await rig.log.last()
        assert (line["status_code"], line["reason"], line["tunnel"]["end"]) == (101, "draining", "cut")

    async def test_a_switch_that_comes_after_it_has_begun(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        rig = await gateway_for(upstream, **GUARDED)
        client = await rig.connect()
        await client.send(upgrade())
        link = await upstream.link()
        await link.head()
        draining = asyncio.create_task(rig.gateway.drain(5))
        await asyncio.sleep(0)
        await link.send(SWITCHED)
        assert (await client.response()).status == 101
        await client.expect(GOING_AWAY)
        await client.send(masked(b"\x03\xe9", CLOSE))
        await link.exactly(8)
        await link.send(frame(b"\x03\xe9", CLOSE))
        link.close()
        assert await client.rest() == b""
        client.close()
        assert await draining

    async def test_a_farewell_that_goes_on(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        rig = await gateway_for(upstream, **GUARDED)
        client, link = await opened(rig, upstream)
        await client.send(masked(b"\x03\xe8", CLOSE))
        await link.expect(masked(b"\x03\xe8", CLOSE))
        draining = asyncio.create_task(rig.gateway.drain(5))
        await client.silence()
        await link.send(frame(b"\x03\xe8", CLOSE))
        link.close()
        assert await client.rest() == frame(b"\x03\xe8", CLOSE)
        client.close()
        assert await draining
        assert (await rig.log.last())["tunnel"] == {
            "protocol": "websocket",
            "end": "upstream",
            "clean": True,
            "open_ms": (await rig.log.last())["tunnel"]["open_ms"],
        }


@pytest.mark.plain
@pytest.mark.parametrize("way", ["up", "down"])
async def test_very_small_frames_stand_in_line(gateway_for: GatewayFor, upstream: Upstream, way: str) -> None:
    """A flood of them does not keep another client waiting."""
    rig = await gateway_for(upstream, websocket=True)
    client, link = await opened(rig, upstream)
    flood = (masked(b"") if way == "up" else frame(b"")) * 2_000_000
    source, sink = (client, link) if way == "up" else (link, client)
    source.record = sink.record = False
    sending = asyncio.create_task(source.send(flood))

    async def take() -> None:
        got = 0
        while got < len(flood):
            got += len(await sink.exactly(65536))

    taking = asyncio.create_task(take())
    slowest = 0.0
    loop = asyncio.get_running_loop()
    for _ in range(20):
        begun = loop.time()
        assert (await rig.ask("/", "Upgrade: websocket", method="TRACE")).status == 501
        slowest = max(slowest, loop.time() - begun)
    assert not taking.done(), "the flood goes on"
    assert slowest < 0.5
    for task in (sending, taking):
        task.cancel()
    await asyncio.gather(sending, taking, return_exceptions=True)
    client.reset()
    link.reset()


@pytest.mark.plain
async def test_many_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Each gets its own bytes, and nothing is left of them."""

    async def echo(link: Link) -> None:
        await link.head()
        await link.send(switched())
        while data := link.take(1 << 20) or (await link.fill() and link.take(1 << 20)):
            await link.send(data)

    upstream.behaviour = echo
    rig = await gateway_for(upstream, websocket=True, limits=Limits(max_connections=0))

    async def talk(number: int) -> None:
        client = await rig.connect(receive_buffer=8192)
        await client.send(upgrade(), b"%06d" % number * 5)
        assert (await client.response()).status == 101
        await client.expect(b"%06d" % number * 5)
        piece = b"%06d" % number * 5000
        for _ in range(4):
            got = await asyncio.gather(client.send(piece), client.exactly(len(piece)))
            assert got[1] == piece
        client.half_close()
        assert await client.rest() == b""
        client.close()

    await asyncio.gather(*(talk(number) for number in range(60)))
    await rig.settled()
    assert {line["tunnel"]["end"] for line in await rig.log.wait(60)} == {"client"}
