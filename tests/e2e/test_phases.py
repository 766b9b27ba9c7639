"""Fifty milliseconds in one phase move that phase, and the log, Server-Timing and the metric say the same."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness.answers import chunk, head
from harness.client import Client, request
from harness.message import Message
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import Queue
from gateway.observe import families
from gateway.observe.timing import PHASES
from gateway.proxy.rewrite import RequestRewrite

INJECTED = 50.0
TOLERANCE = 5.0
TRIES = 5
"""A busy machine adds time of its own; what is wrong is wrong each time."""
CHUNKED = "Transfer-Encoding: chunked"
LARGE = b"x" * 100_000
ASK = request("/", "TE: trailers", "Connection: TE", "Content-Length: 4", method="POST")

Play = Callable[["Scene"], Awaitable[Message]]
Seen = dict[str, float]
"""Milliseconds by phase."""


class Scene:
    """One exchange after the other on a connection of the client's and one of the upstream's."""

    def __init__(self, rig: Rig, client: Client, upstream: Upstream, patch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.client = client
        self.upstream = upstream
        self.patch = patch
        self.link: Link | None = None
        self.told = 0

    async def asked(self, *, pause: float = 0.0) -> Link:
        """The client has sent its request whole, its last byte ``pause`` seconds after the others."""
        await self.client.send(ASK, b"abc")
        if pause:
            await asyncio.sleep(pause)
        await self.client.send(b"d")
        return await self.received()

    async def received(self) -> Link:
        if self.link is None:
            self.link = await self.upstream.link()
        await self.link.request()
        return self.link

    async def done(self, link: Link, *parts: bytes) -> Message:
        await link.send(head(CHUNKED), *map(chunk, parts or (b"body",)), b"0\r\n\r\n")
        return await self.client.response()

    async def seen(self, play: Play) -> tuple[dict[str, Seen], float]:
        """What each place says of an exchange, and its wall time in milliseconds."""
        before = self.metric()
        message = await play(self)
        self.patch.undo()
        self.told += 1
        line = (await self.rig.log.wait(self.told))[-1]
        after = self.metric()
        assert message.status == 200, message
        (trailer,) = [value for value in message.trailers if value.lower().startswith(b"server-timing:")]
        places = {
            "log": {phase: line[LOGGED[phase]] for phase in PHASES},
            "Server-Timing": timing(trailer),
            "metric": {phase: (after[phase] - before[phase]) * 1e3 for phase in PHASES},
        }
        return places, line["duration_ms"]

    def metric(self) -> Seen:
        self.rig.gateway.sample()
        base = dict(self.rig.gateway.counters.live())["p"]
        at = base + families.PHASE
        return dict(zip(PHASES, self.rig.gateway.counters.floats[at : at + len(PHASES)].tolist(), strict=True))


LOGGED = {phase: f"{phase}_ms" for phase in PHASES} | {"own": "proxy_latency_ms", "first_byte": "upstream_latency_ms"}


def timing(field: bytes) -> Seen:
    found = re.findall(rb"gw-([a-z-]+);dur=([0-9.]+)", field)
    return {name.decode().replace("-", "_"): float(value) for name, value in found}


async def plain(scene: Scene) -> Message:
    return await scene.done(await scene.asked())


async def slow_identity(scene: Scene) -> Message:
    authenticator = scene.rig.gateway.authenticator
    scene.patch.setattr(authenticator, "authenticate", slowly(authenticator.authenticate))
    return await plain(scene)


async def slow_queue(scene: Scene) -> Message:
    limiter = scene.rig.p.limiter
    asyncio.get_running_loop().call_later(INJECTED / 1e3, limiter.release, limiter.try_acquire())
    return await plain(scene)


async def slow_pool(scene: Scene) -> Message:
    pool = scene.rig.p.endpoints[0].pool
    scene.patch.setattr(pool, "take", slowly(pool.take))
    return await plain(scene)


async def slow_dial(scene: Scene) -> Message:
    pool, dial = scene.rig.p.endpoints[0].pool, scene.rig.p.endpoints[0].pool.dial

    async def late() -> Any:
        await asyncio.sleep(INJECTED / 1e3)
        return await dial()

    scene.patch.setattr(pool, "take", lambda: None)
    scene.patch.setattr(pool, "dial", late)
    scene.link = None
    return await plain(scene)


async def slow_upload(scene: Scene) -> Message:
    return await scene.done(await scene.asked(pause=INJECTED / 1e3))


async def slow_first_byte(scene: Scene) -> Message:
    link = await scene.asked()
    await asyncio.sleep(INJECTED / 1e3)
    return await scene.done(link)


async def slow_transfer(scene: Scene) -> Message:
    link = await scene.asked()
    await link.send(head(CHUNKED), chunk(b"first"))
    await asyncio.sleep(INJECTED / 1e3)
    await link.send(chunk(b"last"), b"0\r\n\r\n")
    return await scene.client.response()


async def large(scene: Scene, pause: float = 0.0) -> Message:
    """An answer that the client takes in small pieces, after ``pause`` seconds."""
    for connection in scene.rig.gateway.server.connections:
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").setsockopt(1, 7, 4096)  # SO_SNDBUF
    link = await scene.asked()
    sending = asyncio.ensure_future(link.send(head(CHUNKED), chunk(LARGE), b"0\r\n\r\n"))
    await asyncio.sleep(pause)
    message = await scene.client.response()
    await sending
    return message


async def slow_client(scene: Scene) -> Message:
    """It takes nothing for a while, though all is there."""
    return await large(scene, INJECTED / 1e3)


async def slow_gateway(scene: Scene) -> Message:
    scene.patch.setattr(RequestRewrite, "request", slowly(RequestRewrite.request))
    return await plain(scene)


def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
    def late(*arguments: Any) -> Any:
        time.sleep(INJECTED / 1e3)
        return function(*arguments)

    return late


PLAYS: dict[str, Play] = {
    "identity": slow_identity,
    "queue": slow_queue,
    "pool": slow_pool,
    "dial": slow_dial,
    "upload": slow_upload,
    "first_byte": slow_first_byte,
    "transfer": slow_transfer,
    "blocked": slow_client,
    "own": slow_gateway,
}


def test_every_phase_is_tried() -> None:
    assert list(PLAYS) == list(PHASES)


@pytest.mark.covers("FR-021")
@pytest.mark.parametrize(
    "phase",
    # These three are injected by replacing a method of the gateway's.
    [pytest.param(p, marks=[pytest.mark.interpreted] if p in ("pool", "dial", "own") else []) for p in PLAYS],
)
async def test_what_takes_time_is_told_as_what_it_is(
    phase: str, gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await gateway_for(
        upstream,
        access_rule="@request.method = 'POST'",
        max_concurrent=1,
        queue=Queue(5, 5.0),
        server_timing=True,
    )
    scene = Scene(rig, await rig.connect(receive_buffer=4096), upstream, monkeypatch)
    wrong = ""
    for _ in range(TRIES):
        usual, _ = await scene.seen(large if phase == "blocked" else plain)
        places, wall = await scene.seen(PLAYS[phase])
        told = places["log"]
        agree = all(
            sum(seen.values()) == pytest.approx(wall, abs=1.0) and seen == pytest.approx(told, abs=1.0)
            for seen in places.values()
        )
        moved = {name: places["log"][name] - usual["log"][name] for name in PHASES}
        expected = {name: INJECTED if name == phase else 0.0 for name in PHASES}
        if agree and moved == pytest.approx(expected, abs=TOLERANCE):
            return
        wrong = f"{moved} is not {expected}, or these disagree with {wall} ms in all: {places}"
    raise AssertionError(wrong)


async def test_a_refusal_tells_its_timing_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, access_rule="false", server_timing=True)
    answer = await rig.ask()
    assert answer.status == 403
    found = timing(answer.get("server-timing") or b"")
    line = await rig.log.last()
    assert sum(found.values()) <= line["duration_ms"]
    assert found["identity"] == pytest.approx(line["identity_ms"], abs=0.01)


async def test_a_head_tells_of_what_is_over_and_adds_up(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, server_timing=True)
    client = await rig.connect()
    await client.send(request("/"))
    link = await upstream.link()
    await link.request()
    await link.send(head("Content-Length: 2", "Server-Timing: db;dur=5"), b"ok")
    answer = await client.response()
    mine, own = answer.all("server-timing")[::-1]
    assert own == b"db;dur=5", "the upstream's own stays"
    assert list(timing(mine)) == ["identity", "queue", "pool", "dial", "upload", "first_byte", "own"]
    line = await rig.log.last()
    rest = line["transfer_ms"] + line["proxy_latency_ms"]  # what came after the head is in one of the two
    assert line["duration_ms"] - rest - 0.1 <= sum(timing(mine).values()) <= line["duration_ms"] + 0.1
    assert answer.trailers == []


@pytest.mark.parametrize("lines", [(), ("TE: gzip", "Connection: TE")])
async def test_who_takes_no_trailers_gets_none(
    lines: tuple[str, ...], gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, server_timing=True)
    client = await rig.connect()
    await client.send(request("/", *lines))
    link = await upstream.link()
    await link.request()
    await link.send(head(CHUNKED), chunk(b"body"), b"0\r\n\r\n")
    answer = await client.response()
    assert (answer.trailers, answer.get("trailer")) == ([], None)
    assert answer.get("server-timing") is not None


async def test_nobody_is_told_unless_the_proxy_says_so(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/", "TE: trailers", "Connection: TE"))
    link = await upstream.link()
    await link.request()
    await link.send(head(CHUNKED), chunk(b"body"), b"0\r\n\r\n")
    answer = await client.response()
    assert (answer.get("server-timing"), answer.trailers) == (None, [])
