"""Hedges, retries, a fallback, a queue with comments, a breaker and reloads at once, with faults in random order: each
caller gets one whole response of one attempt, or an end that is seen, and no place is lost."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from random import Random
from typing import Final

import pytest
from harness.answers import LAST_CHUNK, answer, chunk, head
from harness.client import Client, request
from harness.message import Message, Truncated
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Endpoint, Hedge, Limiter, Queue, Retries, Stream
from gateway.core.hedge import RESULTS
from gateway.observe import families

pytestmark = pytest.mark.plain

EXCHANGES: Final = int(os.environ.get("MIXED_FAULTS", "400"))
CALLERS: Final = 16
PARTS: Final = 4
"""Of each response: every part names the attempt that it comes from."""
CHUNKED: Final = "Transfer-Encoding: chunked"
EVENTS: Final = "Content-Type: text/event-stream"
INSTEAD: Final = FixedResponse(299, "instead", "text/plain")
"""Of the fallback: neither its status nor its body is that of an attempt."""
_MARK: Final = re.compile(rb"<(\d+)>")
_METHODS: Final = ("GET", "GET", "GET", "HEAD", "PUT", "DELETE", "POST")


class Faulty:
    """The behaviour of endpoints that do anything that is allowed, and much that is not."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._links = 0
        self._made = 0

    async def __call__(self, link: Link) -> None:
        self._links += 1
        random = Random(f"{self._seed} link {self._links}")
        while not link.ended:
            asked = await link.request()
            self._made += 1
            part = b"<%d>" % self._made
            await asyncio.sleep(random.choice((0.0, 0.0, 0.001, 0.005, 0.03, 0.1)))
            with suppress(OSError):
                if not await self._respond(link, random, part, bodiless=asked.start.startswith(b"HEAD")):
                    return

    async def _respond(self, link: Link, random: Random, part: bytes, *, bodiless: bool) -> bool:
        """Whether the connection serves another request."""
        kind = random.randrange(14)
        whole = part * PARTS
        if bodiless:
            await link.send(head(f"Content-Length: {len(whole)}", status="503 No" if kind == 0 else "200 OK"))
        elif kind < 5:
            await link.send(*[head("Link: </a>", status="103 Early Hints")] * (kind == 4), answer(whole))
        elif kind < 7:
            events = [b"data: %b\n\n" % part for _ in range(PARTS)]
            await link.send(head(EVENTS, CHUNKED))
            for event in [b": hello\n\n", *events]:
                await link.send(chunk(event))
                await asyncio.sleep(random.choice((0.0, 0.002)))
            await link.send(LAST_CHUNK if kind == 5 else b"0\r\nX-Sum: 1\r\n\r\n")
        elif kind == 7:
            await link.send(answer(whole, status=503, reason="Busy"))
        elif kind == 8:
            await link.send(head("Content-Length: 900", status="503 Busy"), whole)
            await link.gone()
        elif kind == 9:
            await link.send(answer(whole, "Connection: close"))
            return False
        elif kind == 10:
            await link.send(head(EVENTS, CHUNKED), chunk(b": nothing\n\n"))
            await link.gone()
        elif kind == 11:
            await link.send(head(CHUNKED), chunk(part))
            link.reset()
        elif kind == 12:
            link.reset()
        else:
            await link.send(b"nonsense\r\n\r\n")
        return kind not in (8, 10, 11, 12, 13)


async def caller(rig: Rig, random: Random, count: int) -> None:
    """Requests on a connection as long as that lasts, and some that are not waited for."""
    client: Client | None = None
    try:
        for _ in range(count):
            client = client or await rig.connect()
            if not await exchanged(client, random):
                client.close()
                client = None
    finally:
        if client is not None:
            client.close()


async def exchanged(client: Client, random: Random) -> bool:
    """Whether the connection serves another request."""
    method = random.choice(_METHODS)
    body = b"x" * random.choice((1, 300)) if method in ("PUT", "POST") else b""
    lines = ["Accept: text/event-stream"] * (random.random() < 0.2)
    await client.send(request("/", *lines, method=method, body=body))
    if random.random() < 0.15:
        await asyncio.sleep(random.choice((0.0, 0.003, 0.02)))
        return False
    try:
        response = await client.final(method)
    except Truncated:
        return False
    check(response, method)
    return response.get("connection") != b"close"


def check(response: Message, method: str) -> None:
    """It is of one attempt alone, and nothing of it is missing."""
    marks = _MARK.findall(response.body)
    assert len(set(marks)) <= 1, response
    if b"event: error" in response.body or (not marks and without_marks(response, method)):
        return
    assert len(marks) == PARTS, response


def without_marks(response: Message, method: str) -> bool:
    """Whether the response is whole without the body of an attempt."""
    instead = (INSTEAD.status, INSTEAD.body.encode())
    return method == "HEAD" or response.status >= 400 or (response.status, response.body) == instead


async def reloads(rig: Rig, random: Random, proxied: Proxied) -> None:
    """Until it is cancelled: other settings, and another endpoint that is drained or gone."""
    endpoints = proxied.upstream.endpoints
    while True:
        await asyncio.sleep(0.05)
        some = random.choice((endpoints, endpoints[:2], endpoints[1:], endpoints[:1]))
        if len(some) == 3:
            some = (replace(some[0], drain=random.random() < 0.5), *some[1:])
        hedge = Hedge(random.choice((0.0, 0.002, 0.01, "p95")), mode=random.choice(("enforce", "enforce", "shadow")))
        await rig.change(endpoints=some, hedge=hedge, max_concurrent=random.choice((4, 40, 40)))


@pytest.mark.parametrize("seed", range(int(os.environ.get("MIXED_SEEDS", "2"))))
async def test_whatever_comes_nothing_is_mixed_up_or_lost(gateway_for: GatewayFor, seed: int) -> None:
    """Each task has a generator of its own, because the seed does not decide in which order the tasks run."""
    async with AsyncExitStack() as stack:
        faulty = Faulty(seed)
        upstreams = [await stack.enter_async_context(Upstream(faulty)) for _ in range(3)]
        proxied = of(*upstreams)
        rig = await gateway_for("", proxies=(proxied,))
        async with asyncio.TaskGroup() as tasks:
            changing = tasks.create_task(reloads(rig, Random(f"{seed} reloads"), proxied))
            try:
                async with asyncio.TaskGroup() as callers:
                    for n in range(CALLERS):
                        callers.create_task(caller(rig, Random(f"{seed} {n}"), EXCHANGES // CALLERS))
            finally:
                changing.cancel()
        await rig.settled()
        members = [endpoint.member for endpoint in rig.p.endpoints]
        await eventually(lambda: not any(member.in_flight for member in members), "no endpoint has an attempt")
        assert "hedged attempt" not in {task.get_name() for task in asyncio.all_tasks()}
        counted = results(rig)
        assert all(counted), "hedges have won and lost"
        await eventually(lambda: logged(rig) == counted, "the log says the same as the metrics")


def results(rig: Rig) -> list[int]:
    """How many hedges have won and lost, by the metrics."""
    rig.gateway.sample()
    base = dict(rig.gateway.counters.live())["p"] + families.HEDGES
    return [rig.gateway.counters.ints[base + at] for at in range(len(RESULTS))]


def logged(rig: Rig) -> list[int]:
    found = [line["hedge"]["result"] for line in rig.log.lines() if "hedge" in line]
    return [found.count(result) for result in RESULTS]


def of(*upstreams: Upstream) -> Proxied:
    first = proxy_to("http://127.0.0.1:1")
    endpoints = tuple(Endpoint(each.url) for each in upstreams)
    upstream = replace(first.upstream, endpoints=endpoints, balance="least_request")
    return Proxied(first.route, upstream).having(
        hedge=Hedge(0.002),
        max_concurrent=40,
        queue=Queue(16, 0.2, comments=0.01),
        limiter=Limiter(),
        timeouts=replace(TIMEOUTS, response_header=0.2, body_idle=0.2, total=1.0),
        retries=Retries(3, ("503", "reset", "connect", "stall", "timeout"), 1.0, backoff=Backoff(0.0, 0.001)),
        stream=Stream(first_event=0.03, event_gap=1.0, on_stall="error_event"),
        fallback=Fallback(("reset", "breaker", "stall"), ((503, 503),), response=INSTEAD),
        circuit_breaker=CircuitBreaker(enabled=True, failure_threshold=5, recovery_timeout=0.05),
    )
