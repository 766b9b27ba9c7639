"""A real Prometheus scrapes a real gateway while everything that can go wrong goes wrong: every panel has data.

What the fake of `test_live` has by construction, this one has to live through: refusals, failures, retries, streams,
WebSockets, clients that leave, a queue, shadows and breakers.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing, nullcontext, suppress
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from harness import dashboards
from harness.answers import answer, chunk, head
from harness.client import Client
from harness.deployment import Deployment
from harness.message import Truncated
from harness.models import OPENAI_CHAT
from harness.patience import eventually
from harness.prometheus import Prometheus
from harness.tls import TlsClient, trusting, write_certificates
from harness.upstream import Link, Upstream, refused_url
from harness.websocket import SWITCHED, frame, masked, upgrade

pytestmark = pytest.mark.timeout(240)  # the first time, Prometheus may have to be fetched

PATIENCE = 60.0
PAUSE = 0.05
CROWD = 800
ALONE = 5
"""Requests that have all permits for themselves, one after the other."""
SHARED = 2.0
"""Seconds of all plays together between those."""
BREAKER = {"enabled": True, "failure_threshold": 2, "recovery_timeout": 0.5}


async def sidecar(link: Link) -> None:
    """Streams, answers, fails, and closes connections that were to be reused."""
    for number in count(1):
        asked = await link.request()
        kind = asked.target.rpartition(b"/")[2]
        if kind == b"stream":
            await link.send(head("Transfer-Encoding: chunked", "Content-Type: text/event-stream"))
            for _ in range(5):
                await link.send(chunk(b"data: token\n\n"))
                await asyncio.sleep(0.02)
            await link.send(b"0\r\n\r\n")
        elif kind == b"stall":
            await link.send(head("Transfer-Encoding: chunked", "Content-Type: text/event-stream"))
            await link.send(chunk(b"data: token\n\n"))
            await asyncio.sleep(0.2)
            await link.send(b"0\r\n\r\n")
        elif kind == b"model":
            await link.send(head("Transfer-Encoding: chunked", "Content-Type: text/event-stream"))
            for event in OPENAI_CHAT:
                await link.send(chunk(event))
                await asyncio.sleep(0.02)
            await link.send(b"0\r\n\r\n")
        elif kind == b"socket":
            await link.send(SWITCHED, frame(b"hello"))
            await link.expect(masked(b"hi"))
            return
        elif kind == b"slow":
            await asyncio.sleep(0.2)
            await link.send(answer(b"late"))
        elif kind == b"token":
            await link.send(answer(b'{"access_token": "t", "expires_in": 3600}'))
        elif kind == b"teapot":
            await link.send(answer(b"short and stout", status=418, reason="Teapot"))
        elif kind == b"broken" or (kind == b"flap" and number % 2):
            await link.send(answer(b"sorry", status=500, reason="Broken"))
        else:
            await link.send(answer(b"fine" * 100, "X-Capacity: 1/900"))
        if kind == b"last":
            return


@pytest.fixture
async def deployment(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Deployment]:
    upstream.behaviour = sidecar
    common = {"upstream": upstream.url, "access_rule": "true", "circuit_breaker": BREAKER}
    queue = {"max_waiting": 2, "timeout": 0.3}
    proxies = [
        # The one that is looked at in depth: it has everything.
        {**common, "name": "sidecar", "path": "/sidecar", "queue": queue, "websocket": True} | {"ai": "openai"},
        {**common, "name": "shadowed", "path": "/shadowed", "max_concurrent": 1, "limiter": {"mode": "shadow"}}
        | {"retries": {"attempts": 2, "on": ["500"], "mode": "shadow"}, "hedge": {"after": 0.01, "mode": "shadow"}},
        {**common, "name": "dead", "path": "/dead", "upstream": refused_url()},
        {**common, "name": "closed", "path": "/closed", "access_rule": "false"},
        {"name": "backed", "path": "/backed", "upstream": refused_url(), "access_rule": "true"}
        | {"fallback": {"on": ["connect"], "upstream": "small"}},
    ]
    # Two more endpoints that are down and fail; only one of them may be ejected, and all are used.
    proxies[0] |= {
        "endpoints": [{"url": refused_url()}, {"url": refused_url()}],
        "balance": "random",
        "health": {"path": "/fine", "interval": 0.2},
        "ejection": {"consecutive_failures": 1, "base_time": 0.3, "max_share": 0.4},
        "panic": 0.9,
    }
    proxies[0] |= {
        "circuit_breaker": {**BREAKER, "mode": "shadow"},
        "retries": {"attempts": 2, "on": ["500", "connect"], "budget": 1, "burst": 1000},
    }
    proxies[0]["hedge"] = {"after": 0.01}
    proxies[0]["stream"] = {"event_gap": 0.1}
    proxies[0]["rate_limits"] = [{"key": "client", "rate": 40}]
    # Never one alone: a hedge needs a permit of its own.
    proxies[0]["limiter"] = {"adaptive": {"initial": 2, "min": 2, "max": 3}}
    proxies[0]["capacity"] = {}
    proxies[0]["fallback"] = {"on": ["418"], "upstream": "tea"}
    folder = tmp_path / "gateway"
    folder.mkdir()
    write_certificates(folder)
    shown = {"client_cert": "a.pem", "client_key": "a.key"}
    proxies.append({**common, "name": "secure", "path": "/secure", "upstream": "https://h.invalid", "tls": shown})
    listen = "[127.0.0.1:0, {address: 127.0.0.2:0, tls: {certificates: [{cert: a.pem, key: a.key}]}}]"
    auth = {"type": "oauth2_client_credentials", "token_url": f"{upstream.url}/token", "client_id": "c"}
    connections = {"shop": {"base_url": upstream.url, "auth": auth | {"client_secret": "s"}}}
    small = {"name": "small", "endpoints": [{"url": upstream.url}], "max_concurrent": 4, "circuit_breaker": BREAKER}
    # It rejects the most of what falls back to it.
    tea = {"name": "tea", "endpoints": [{"url": upstream.url}], "rate_limits": [{"rate": 1}]}
    more = f"connections: {json.dumps(connections)}\nactions: {{call: {{connection: shop, path: /fine}}}}"
    more += f"\nupstreams: {json.dumps([small, tea])}"
    async with Deployment(folder, proxies=json.dumps(proxies), more=more, listen=listen) as made:
        yield made


Play = Callable[[Deployment], Awaitable[object]]


async def calls(deployment: Deployment) -> None:
    """An action, whose connection needs an access token."""
    await deployment.call("POST", "/execute", {"action_trn": "call"})


def asks(path: str) -> Play:
    async def play(deployment: Deployment) -> None:
        await deployment.get(path)

    play.__qualname__ = f"asks({path!r})"
    return play


async def prompts(deployment: Deployment) -> None:
    """A caller of a language model."""
    async with deployment.session.post(f"{deployment.url}/sidecar/model", json={"model": "m"}) as response:
        await response.read()


async def uploads(deployment: Deployment) -> None:
    async with deployment.session.post(f"{deployment.url}/sidecar/fine", data=b"x" * 2000) as response:
        await response.read()


async def leaves(deployment: Deployment) -> None:
    """A client that goes away before its answer."""
    with suppress(TimeoutError):
        await asyncio.wait_for(deployment.get("/sidecar/slow"), 0.05)


async def reloads(deployment: Deployment) -> None:
    """A configuration that is taken, and one that is not."""
    good = deployment.config.read_text()
    deployment.config.write_text(good.replace("drain_timeout: 5", "drain_timeout: 6") + "\n# changed\n")
    await asyncio.sleep(1)
    deployment.config.write_text("nonsense: true")
    await asyncio.sleep(1)
    deployment.config.write_text(good)
    await asyncio.sleep(1)


async def crowd(deployment: Deployment) -> None:
    """So many connections at a time that Python looks for garbage."""
    host, port = deployment.url.removeprefix("http://").split(":")
    with ExitStack() as opened:
        for _ in range(CROWD):
            opened.enter_context(closing(await Client.connect((host, int(port)))))
        await asyncio.sleep(1)


async def shakes_hands(deployment: Deployment) -> None:
    """A client of the listener with TLS."""
    found = re.findall(r"https://127\.0\.0\.2:(\d+)", deployment.log.read_text())
    client = await TlsClient.dial(("127.0.0.2", int(found[-1])), trusting(), "a.test")
    assert client.refused is None, client.refused
    client.close()


async def talks(deployment: Deployment) -> None:
    """A client with a WebSocket, which is rejected while there is no permit for it."""
    host, port = deployment.url.removeprefix("http://").split(":")
    client = await Client.connect((host, int(port)))
    with closing(client):
        await client.send(upgrade("/sidecar/socket"))
        if (await client.response()).status == 101:
            await client.send(masked(b"hi"))
            await client.rest()


async def lacks(deployment: Deployment) -> None:
    """A proxy whose secret is gone."""
    await deployment.get("/lacking/x")


PLAYS: tuple[Play, ...] = (
    *(
        asks(f"/sidecar/{kind}")
        for kind in ("fine", "slow", "slow", "slow", "slow", "stream", "stall", "broken", "flap", "teapot")
    ),
    *(asks(f"/sidecar/{kind}") for kind in ("broken", "broken", "last")),
    *(
        asks(path)
        for path in (
            "/shadowed/slow",
            "/shadowed/fine",
            "/shadowed/broken",
            "/dead/x",
            "/dead/y",
            "/closed/x",
            "/nowhere",
            "/backed/flap",
            "/backed/broken",
        )
    ),
    prompts,
    uploads,
    lacks,
    shakes_hands,
    talks,
    crowd,
    leaves,
    reloads,
    calls,
)
LONG: tuple[Play, ...] = (crowd, reloads)
"""They take no permit."""


class Turns:
    """The plays together, and sometimes one that has all permits for itself: a hedge is withheld without a free one."""

    def __init__(self) -> None:
        self._together = asyncio.Event()
        self._together.set()
        self._running = 0

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        await self._together.wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def alone(self, play: Play, deployment: Deployment) -> None:
        self._together.clear()
        try:
            await eventually(lambda: not self._running, "the others have ended")
            for _ in range(ALONE):
                await play(deployment)
        finally:
            self._together.set()


@asynccontextmanager
async def going_on(deployment: Deployment) -> AsyncIterator[None]:
    """All plays, again and again. Each is played to its end: one that does not come to it is named."""
    over = asyncio.Event()
    turns = Turns()

    async def again(play: Play) -> None:
        while not over.is_set():
            with suppress(aiohttp.ClientError, Truncated):
                async with nullcontext() if play in LONG else turns.together():
                    await play(deployment)
            await asyncio.sleep(PAUSE)

    async def slow_ones() -> None:
        while not over.is_set():
            await asyncio.sleep(SHARED)
            await turns.alone(asks("/sidecar/slow"), deployment)

    playing = {asyncio.ensure_future(again(play)): play.__qualname__ for play in PLAYS}
    playing[asyncio.ensure_future(slow_ones())] = slow_ones.__qualname__
    try:
        yield
    finally:
        over.set()
        _, hanging = await asyncio.wait(playing, timeout=PATIENCE)
        assert not hanging, [playing[task] for task in hanging]
    for task in playing:
        task.result()


async def test_every_panel_has_data_of_a_gateway_in_trouble(deployment: Deployment, tmp_path: Path) -> None:
    token = (await deployment.call("POST", "/tokens", {"name": "prometheus", "metrics": True}))["token"]
    await deployment.call("PUT", "/secrets/key", {"value": "value"})
    lacking = {"name": "lacking", "path": "/lacking", "upstream": "http://127.0.0.1:1", "access_rule": "true"}
    await deployment.call("POST", "/proxies", {**lacking, "headers": {"X-Key": "{secret.key}"}})
    await deployment.call("DELETE", "/secrets/key?force=true")
    folder = tmp_path / "prometheus"
    folder.mkdir()
    async with going_on(deployment), Prometheus(folder, deployment.admin, token) as prometheus:
        left = await dashboards.unanswered(prometheus, "sidecar", PATIENCE)
        assert not left, "\n".join(map(str, left))
        assert not [rule for rule in await prometheus.rules() if rule["health"] != "ok"]
