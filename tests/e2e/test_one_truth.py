"""Limits and breakers of several workers: what the upstream itself sees, and what callers get."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from harness.answers import answer, each_request
from harness.counting_upstream import CountingUpstream, counting_upstream
from harness.deployment import START, Deployment
from harness.fleet import metrics, pids, restarted
from harness.patience import ANSWER, PATIENCE, eventually, when
from harness.upstream import Upstream

REQUESTS = int(os.environ.get("TRUTH_REQUESTS", "1500"))
"""In a test with kills; `make soak` makes 100,000."""
SLOWEST = 50
"""Requests a second on a machine that is busy; the upstream alone allows `LIMIT` in 0.02 s, which is 250."""

pytestmark = pytest.mark.timeout(180 + REQUESTS / SLOWEST)

DEATHS = 3
RESTARTS = int(os.environ.get("TRUTH_RESTARTS", "5"))
"""Of a gateway with one worker."""
LIMIT = 5
CALLERS = 24


def proxies(upstream: CountingUpstream, more: str) -> str:
    return f"[{{name: ai, path: /ai, upstream: '{upstream.url}', access_rule: 'true', {more}}}]"


class Callers:
    """Each has a connection of its own for some requests, and closes a tenth of them in the middle of an exchange.

    They end after ``requests``, and not before ``enough`` is true: refusals are so fast that a number alone may be over
    before anything has happened to the workers.
    """

    def __init__(
        self,
        port: int,
        requests: int,
        enough: Callable[[], bool],
        aborts: float = 0.1,
        path: str = "/ai",
        number: int = CALLERS,
        pause: float = 0.0,
    ) -> None:
        """``pause``: after a refusal, in seconds."""
        self.port, self.left, self.enough, self.aborts = port, requests, enough, aborts
        self.request, self.number = b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % path.encode(), number
        self.pause = pause
        self.statuses: Counter[int] = Counter()
        self.dice = random.Random(requests)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.number):
                group.create_task(self.call())

    @property
    def go_on(self) -> bool:
        return self.left > 0 or not self.enough()

    async def call(self) -> None:
        while self.go_on:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            try:
                while self.go_on and await self.ask(reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError):
                self.statuses[0] += 1
            finally:
                writer.close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection serves another one."""
        self.left -= 1
        writer.write(self.request)
        if self.dice.random() < self.aborts:
            await asyncio.sleep(self.dice.uniform(0.0, 0.01))
            self.statuses[-1] += 1
            return False
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
        await reader.readexactly(int(lines[b"content-length"]))
        self.statuses[int(head[9:12])] += 1
        if self.pause and head[9:12] == b"429":
            await asyncio.sleep(self.pause)
        return self.dice.random() < 0.95 and lines.get(b"connection") != b"close"


async def settled(deployment: Deployment) -> None:
    """Wait until the ledger shows no request."""

    async def idle() -> bool:
        shown = await deployment.call("GET", "/upstreams/ai/explain")
        return bool(shown["limiter"]["in_flight"] == 0 and shown["active_count"] == 0)

    await when(idle, 20, "all permits are free")


async def killing(deployment: Deployment, every: float, deaths: list[int]) -> None:
    dice = random.Random(1)
    while True:
        await asyncio.sleep(every)
        victim = dice.choice(deployment.pids("worker"))
        os.kill(victim, signal.SIGKILL)
        deaths.append(victim)


@pytest.mark.parametrize(("queue", "refusals"), [("", {429}), ("queue: {max_waiting: 100, timeout: 5}", set[int]())])
async def test_the_upstream_never_sees_more_than_the_limit(tmp_path: Path, queue: str, refusals: set[int]) -> None:
    with counting_upstream(0.02) as upstream:
        settings = proxies(upstream, f"max_concurrent: {LIMIT}{', ' + queue if queue else ''}")
        async with Deployment(tmp_path, proxies=settings, more="workers: 4") as deployment:
            deaths = list[int]()
            port = int(deployment.url.rpartition(":")[2])
            callers = Callers(port, REQUESTS, lambda: len(deaths) >= DEATHS)
            killer = asyncio.create_task(killing(deployment, 0.7, deaths))
            await callers.run()
            killer.cancel()
            await settled(deployment)
            most, total = upstream.seen()
    assert most == LIMIT, f"{total} requests in all, {len(deaths)} deaths, {callers.statuses}"
    assert callers.statuses[200] > REQUESTS / 20
    assert set(callers.statuses) <= {0, -1, 200, *refusals}
    assert callers.statuses[0] <= CALLERS * len(deaths), "only what a killed worker held has failed"


@pytest.mark.parametrize("queue", ["", "queue: {max_waiting: 100, timeout: 5}"])
async def test_hedges_are_within_the_limit_too(tmp_path: Path, queue: str) -> None:
    """A second attempt has a permit, and the endpoint has seen the end of the one that was cut before that is free."""
    generous = "hedge: {after: 0.005}, retries: {budget: 1, burst: 1000}"
    with counting_upstream(0.03) as upstream:
        settings = proxies(upstream, f"max_concurrent: {LIMIT}, {generous}{', ' + queue if queue else ''}")
        async with Deployment(tmp_path, proxies=settings, more="workers: 2") as deployment:
            port = int(deployment.url.rpartition(":")[2])
            callers = Callers(port, 600, lambda: True, number=LIMIT - 2)
            await callers.run()
            crowd = Callers(port, 600, lambda: True)
            await crowd.run()
            await settled(deployment)
            most, total = upstream.seen()
            found = await metrics(deployment)
    made = {word: found.get(("gateway_hedges_total", f"proxy=ai,result={word}"), 0.0) for word in ("won", "lost")}
    withheld = found.get(("gateway_hedges_withheld_total", "cause=permit,proxy=ai"), 0.0)
    assert most == LIMIT, f"{total} requests in all, {made}, {withheld} withheld, {callers.statuses}"
    assert min(made.values()) > 10, f"the test would show nothing: {made}"
    assert withheld > 0
    assert callers.statuses[0] == 0, "no request fails"


async def restarting(deployment: Deployment, times: int, done: list[int]) -> None:
    dice = random.Random(2)
    while len(done) < times:
        await asyncio.sleep(dice.uniform(0.1, 0.6))  # the new one is alone, or is not yet
        deployment.signal(signal.SIGUSR2)
        ended = len(done) + 1
        said = "the worker that was replaced has ended"
        await eventually(lambda: deployment.log.read_text().count(said) >= ended, "the restart", START)  # noqa: B023
        done.append(ended)


@pytest.mark.timeout(120 + 15 * RESTARTS)
async def test_the_limit_of_one_worker_holds_while_it_is_replaced(tmp_path: Path) -> None:
    """With and without a queue, each at an upstream of its own. An open breaker stays open, an empty bucket empty."""
    with counting_upstream(0.05) as rejecting, counting_upstream(0.05) as queueing:
        settings = ", ".join(
            f"{{name: {name}, path: /{name}, upstream: '{upstream.url}', access_rule: 'true', {more}}}"
            for name, upstream, more in (
                ("ai", rejecting, f"max_concurrent: {LIMIT}"),
                ("queued", queueing, f"max_concurrent: {LIMIT}, queue: {{max_waiting: 100, timeout: {START}}}"),
                ("bad", rejecting, "circuit_breaker: {enabled: true, failure_threshold: 3, recovery_timeout: 600}"),
                ("rated", rejecting, "rate_limits: [{key: client, rate: 2, per: 86400}]"),
            )
        )
        async with Deployment(tmp_path, proxies=f"[{settings}]", more="workers: 1") as deployment:
            done = list[int]()
            port = int(deployment.url.rpartition(":")[2])
            assert [await fresh(port, b"/bad/fail") for _ in range(3)] == [500] * 3
            await opened(deployment, "bad")
            assert [await fresh(port, b"/rated") for _ in range(3)] == [200, 200, 429]
            rejected, queued = (
                Callers(port, 0, lambda: len(done) >= RESTARTS, path=path, number=CALLERS // 2, pause=0.01)
                for path in ("/ai", "/queued")
            )
            await asyncio.gather(restarting(deployment, RESTARTS, done), rejected.run(), queued.run())
            await settled(deployment)
            seen = rejecting.seen()[0], queueing.seen()[0]
            assert await fresh(port, b"/bad") == 503
            assert await fresh(port, b"/rated") == 429
            moves = (await deployment.call("GET", "/upstreams/bad/explain"))["breaker"]["moves"]
            assert [outcome["status"] for outcome in moves[-1]["outcomes"]] == [500] * 3
    assert seen == (LIMIT, LIMIT), f"{rejected.statuses}, {queued.statuses}"
    assert set(rejected.statuses) == {-1, 200, 429}, "no request fails"
    assert set(queued.statuses) == {-1, 200}, "no one waits in vain"


async def test_failures_in_different_workers_open_one_breaker(tmp_path: Path) -> None:
    with counting_upstream(0.0) as upstream:
        breaker = "circuit_breaker: {enabled: true, failure_threshold: 3, recovery_timeout: 30}"
        async with Deployment(tmp_path, proxies=proxies(upstream, breaker), more="workers: 3") as deployment:
            port = int(deployment.url.rpartition(":")[2])
            for _ in range(6):
                await deployment.call("POST", "/proxies/ai/breaker/reset")
                before = upstream.seen()[1]
                for _ in range(3):
                    assert await fresh(port, b"/ai/fail") == 500
                await opened(deployment)
                assert [await fresh(port, b"/ai") for _ in range(6)] == [503] * 6, "whichever worker gets it"
                assert upstream.seen()[1] == before + 3
            shown = await deployment.call("GET", "/upstreams/ai/explain")
            last = shown["breaker"]["moves"][-1]
            assert [outcome["status"] for outcome in last["outcomes"]] == [500] * 3


@pytest.mark.parametrize(("scope", "key"), [("upstream", "breaker"), ("both", "upstream_breaker")])
async def test_failures_at_different_endpoints_open_the_breaker_of_their_upstream(
    tmp_path: Path, scope: str, key: str
) -> None:
    """In all workers. One that takes the place of another finds it open."""
    with counting_upstream(0.0) as upstream:
        rules = f"{{enabled: true, failure_threshold: 4, recovery_timeout: 600, scope: {scope}}}"
        same = f"endpoints: [{{url: '{upstream.url.replace('127.0.0.1', 'localhost')}'}}], balance: round_robin"
        settings = proxies(upstream, f"{same}, circuit_breaker: {rules}")
        async with Deployment(tmp_path, proxies=settings, more="workers: 2") as deployment:
            port = int(deployment.url.rpartition(":")[2])
            for _ in range(4):
                assert await fresh(port, b"/ai/fail") == 500
            await opened(deployment, key=key)
            before, workers = upstream.seen()[1], pids(deployment)
            await deployment.call("POST", "/workers/restart")
            await restarted(deployment, workers)
            assert [await fresh(port, b"/ai") for _ in range(12)] == [503] * 12, "whichever worker gets it"
            assert upstream.seen()[1] == before
            shown = await deployment.call("GET", "/upstreams/ai/explain")
            assert [outcome["status"] for outcome in shown[key]["moves"][-1]["outcomes"]] == [500] * 4
            assert "it is the breaker of the upstream, which judges its 2 endpoints together" in shown["sentence"]
            await deployment.call("POST", "/proxies/ai/breaker/reset")
            assert [await fresh(port, b"/ai") for _ in range(6)] == [200] * 6


async def opened(deployment: Deployment, name: str = "ai", key: str = "breaker") -> None:
    """Wait until the breaker is open: a caller may have its response a moment before the attempt is judged."""

    async def is_open() -> bool:
        shown = await deployment.call("GET", f"/upstreams/{name}/explain")
        return bool(shown[key]["state"] == "open")

    await when(is_open, 5, "three failures open it")


async def fresh(port: int, target: bytes) -> int:
    """The status of a request on a connection of its own, which the kernel gives to any worker."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % target)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head[9:12])


async def test_idle_connections_of_one_worker_starve_no_other(tmp_path: Path) -> None:
    """The upstream has as many threads as it admits requests, each with one connection, as small servers do."""
    with counting_upstream(0.0, connections=3) as upstream:
        settings = proxies(upstream, "max_concurrent: 3, queue: {max_waiting: 50, timeout: 10}")
        async with Deployment(tmp_path, proxies=settings, more="workers: 3") as deployment:
            port = int(deployment.url.rpartition(":")[2])
            for _ in range(6):
                began = time.monotonic()
                assert set(await asyncio.gather(*(fresh(port, b"/ai") for _ in range(6)))) == {200}
                assert time.monotonic() - began < 5, "an idle connection is closed when another worker needs its thread"


async def test_no_stranger_can_open_the_page(tmp_path: Path) -> None:
    """It is memory without a name, and the control process does not get it."""

    def holds(pid: int) -> bool:
        links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
        return any("memfd:gateway-page" in link.name for link in links)

    with counting_upstream(0.0) as upstream:
        settings = proxies(upstream, "max_concurrent: 3")
        for name, workers in (("two", 2), ("one", 1)):  # one alone shares while it is replaced
            (tmp_path / name).mkdir()
            async with Deployment(tmp_path / name, proxies=settings, more=f"workers: {workers}") as deployment:
                assert [holds(pid) for pid in deployment.pids("worker")] == [True] * workers
                assert holds(deployment.pid("supervisor"))
                assert not holds(deployment.pid("control"))


async def test_rate_limits_are_exact_over_all_workers(tmp_path: Path) -> None:
    """Buckets that fill in a day admit what they hold, however many workers are asked at the same time."""
    with counting_upstream(0.0) as upstream:
        limits = "rate_limits: [{key: all, rate: 120, per: 86400}, {key: client, rate: 150, per: 86400}]"
        async with Deployment(tmp_path, proxies=proxies(upstream, limits), more="workers: 2") as deployment:
            port = int(deployment.url.rpartition(":")[2])
            callers = Callers(port, 400, lambda: True, aborts=0.0, number=12)
            await callers.run()
            shown = await deployment.call("GET", "/upstreams/ai/explain")
            seen = upstream.seen()[1]
    assert seen == callers.statuses[200] == 120, callers.statuses
    assert callers.statuses.keys() == {200, 429}
    assert (shown["verdict"], shown["reason"]) == ("refuse", "rate_limit")
    assert [limit["keys"] for limit in shown["rates"]] == [1, 1]


async def test_an_upstream_that_is_only_a_fallback_is_shown_by_its_name(tmp_path: Path) -> None:
    """Each request comes on a connection of its own, so on either worker."""
    async with Upstream(each_request(lambda _: answer(b"small"))) as upstream:
        fallback = {"on": ["connect"], "upstream": "small"}
        proxy = {"name": "ai", "path": "/ai", "upstream": "http://127.0.0.1:1", "access_rule": "true"}
        small = {"name": "small", "endpoints": [{"url": upstream.url}], "max_concurrent": 4}
        more = f"workers: 2\nupstreams: {json.dumps([small])}"
        async with Deployment(tmp_path, proxies=json.dumps([proxy | {"fallback": fallback}]), more=more) as deployment:
            for _ in range(20):
                async with (
                    aiohttp.ClientSession(timeout=ANSWER) as session,
                    session.get(f"{deployment.url}/ai") as response,
                ):
                    assert await response.read() == b"small"
            found = await metrics(deployment)
    assert found["gateway_upstream_concurrency_limit", "upstream=small"] == 4, "it is one limit for both workers"
    assert found["gateway_upstream_in_flight", "upstream=small"] == 0
    labels = f"endpoint={upstream.url},outcome=success,upstream=small"
    assert found["gateway_endpoint_requests_total", labels] == 20


async def test_tokens_of_models_are_counted_over_all_workers(tmp_path: Path) -> None:
    """Each request comes on a connection of its own, so on either worker: 10 tokens, of 95 that come in a day."""
    body = json.dumps({"model": "m", "usage": {"prompt_tokens": 4, "completion_tokens": 6}}).encode()
    async with Upstream(each_request(lambda _: answer(body, "Content-Type: application/json"))) as upstream:
        limit = {"key": "all", "rate": 95, "per": 86400, "unit": "tokens"}
        proxy = {"name": "ai", "path": "/ai", "upstream": upstream.url, "access_rule": "true", "ai": "openai"}
        settings = json.dumps([proxy | {"rate_limits": [limit]}])
        async with Deployment(tmp_path, proxies=settings, more="workers: 2") as deployment:

            async def asked() -> int:
                url = f"{deployment.url}/ai"
                async with aiohttp.ClientSession(timeout=ANSWER) as session, session.post(url, data=b"{}") as answered:
                    await answered.read()
                    return answered.status

            async def left(tokens: int) -> bool:
                shown = await deployment.call("GET", "/upstreams/ai/explain")
                return [each["left"] for each in shown["rates"]] == [tokens]

            for number in range(1, 11):
                assert await asked() == 200
                tokens = max(0, 95 - 10 * number)
                await when(functools.partial(left, tokens), PATIENCE, "they are taken after the last byte")
            assert [await asked() for _ in range(6)] == [429] * 6, (
                "the tenth came for five that were left, and took ten"
            )
            shown = await deployment.call("GET", "/upstreams/ai/explain")
    assert (shown["verdict"], shown["reason"]) == ("refuse", "rate_limit")
