"""Endpoints that say how many requests they may have, or that they leave: limit and balancer follow at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from faults.test_endpoints import asked, cell, explained, named, over, series, several
from harness.answers import answer, chunk, each_request, head
from harness.client import Client, code_of, request
from harness.http2_upstream import Session, speaking
from harness.patience import eventually
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream
from harness.websocket import upgrade

from gateway.config.records import Adaptive, Backoff, Capacity, HealthCheck, Limiter, Queue, Retries
from gateway.observe import families

pytestmark = pytest.mark.plain

HEEDED = Capacity(True, max_age=3600.0)


class Sidecar:
    """Says what stands in ``says``, if anything; a request for ``/held`` is responded to when ``free`` is set."""

    def __init__(self, name: str, says: str = "", status: int = 200) -> None:
        self.name, self.says, self.status = name, says, status
        self.free = asyncio.Event()
        self.running = 0

    async def __call__(self, link: Link) -> None:
        while True:
            asked_for = await link.request()
            self.running += 1
            if asked_for.target.endswith(b"/held"):
                await self.free.wait()
            self.running -= 1
            await link.send(self.answer())

    def answer(self) -> bytes:
        lines = [f"X-Capacity: {self.says}"] if self.says else []
        return answer(self.name.encode(), *lines, status=self.status)


async def held(rig: Rig, count: int) -> list[Client]:
    """So many more requests that wait for their response."""
    clients = [await rig.connect() for _ in range(count)]
    for client in clients:
        await client.send(request("/held"))
    return clients


async def bodies(clients: list[Client]) -> list[bytes]:
    return sorted([(await client.response()).body for client in clients])


def limit(rig: Rig) -> int:
    return int(rig.p.limiter.max)


async def test_a_report_lowers_the_limit_at_once_and_raises_it_again(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/2")
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED)
    assert limit(rig) == 5
    assert (await rig.ask()).status == 200
    assert (limit(rig), cell(rig, families.LIMIT)) == (2, 2)
    clients = await held(rig, 2)
    await eventually(lambda: sidecar.running == 2)
    assert code_of(await rig.ask()) == "concurrency_limit"
    explanation = rig.gateway.explain("p")
    assert explanation is not None
    assert explanation["limiter"] is not None
    assert explanation["limiter"]["max_concurrent"] == 2
    sidecar.says = "1/4"
    sidecar.free.set()
    assert await bodies(clients) == [b"a", b"a"]
    assert limit(rig) == 4
    sidecar.says = "1/400"
    await rig.ask()
    assert limit(rig) == 5, "never above what is configured"


async def test_who_waits_is_admitted_by_a_report(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/1")
    queue = Queue(max_waiting=5, timeout=3600.0)
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED, queue=queue)
    await rig.ask()
    clients = await held(rig, 3)
    await eventually(lambda: rig.p.limiter.waiting == 2)
    assert sidecar.running == 1
    rig.p.reports.note(rig.p.endpoints[0].member, b"1/3")  # as by a health check
    await eventually(lambda: sidecar.running == 3)
    sidecar.free.set()
    assert await bodies(clients) == [b"a"] * 3


async def test_callers_do_not_see_the_field_unless_they_are_to(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: answer(b"a", "Server: x", "x-CAPACITY: 1/2", "X-More: y"))
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED)
    for _ in range(2):  # the head of the second one is known to the connection
        response = await rig.ask()
        assert (response.get("x-capacity"), response.get("server"), response.get("x-more")) == (None, b"x", b"y")
    await rig.change(capacity=replace(HEEDED, forward=True))
    assert (await rig.ask()).get("x-capacity") == b"1/2"
    await rig.change(capacity=Capacity())
    assert (await rig.ask()).get("x-capacity") == b"1/2", "what is not asked for is any field"
    assert limit(rig) == 5, "with the reports the bound ends"


@pytest.mark.parametrize("lie", ["0/0", "-1/4", "4/-4", "4", "3/9999999", "a/b", "9" * 300, "1/2, 1/2", "drained"])
async def test_what_cannot_be_true_is_counted_and_ignored(
    gateway_for: GatewayFor, upstream: Upstream, lie: str
) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/3")
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED)
    await rig.ask()
    sidecar.says = lie
    response = await rig.ask()
    assert (response.status, response.get("x-capacity"), limit(rig)) == (200, None, 3)
    found = series(rig)[f"p {upstream.url}"]
    assert (found["capacity"], found["drain"], found["lies"], found["places"]) == (1, 0, 1, 3)


async def test_a_report_that_is_too_old_bounds_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/1")
    rig = await gateway_for(upstream, max_concurrent=3, capacity=Capacity(True, max_age=0.1))
    await rig.ask()
    sidecar.says = ""
    await eventually(lambda: limit(rig) == 3, "the end of the report")
    clients = await held(rig, 3)
    await eventually(lambda: sidecar.running == 3)
    sidecar.free.set()
    assert await bodies(clients) == [b"a"] * 3


async def test_a_full_endpoint_is_passed_over_while_another_has_places(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    a, b = Sidecar("a", "1/1"), Sidecar("b", "1/3")
    async with several(a, b) as endpoints:
        proxies = (over(endpoints, balance="round_robin", max_concurrent=10, capacity=HEEDED),)
        rig = await gateway_for(upstream, proxies=proxies)
        assert await asked(rig, 2) == {"a": 1, "b": 1}
        clients = await held(rig, 4)
        await eventually(lambda: (a.running, b.running) == (1, 3))
        assert code_of(await rig.ask()) == "concurrency_limit", "the limit is the sum"
        a.free.set()
        b.free.set()
        assert await bodies(clients) == [b"a", b"b", b"b", b"b"]


async def test_requests_of_others_at_the_endpoint_take_its_places(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(Sidecar("a", "4/4"), Sidecar("b", "1/4")) as endpoints:
        proxies = (over(endpoints, balance="round_robin", max_concurrent=10, capacity=HEEDED),)
        rig = await gateway_for(upstream, proxies=proxies)
        assert await asked(rig, 2) == {"a": 1, "b": 1}
        a = rig.p.endpoints[0].member
        assert rig.p.endpoints[0].condition.reported.others == 3
        assert await asked(rig, 4) == {"a": 2, "b": 2}, "one place of a is free"
        rig.p.reports.note(a, b"4/4")  # while none of ours is there
        assert await asked(rig, 4) == {"b": 4}


async def test_with_least_request_an_endpoint_gets_by_its_places(gateway_for: GatewayFor, upstream: Upstream) -> None:
    a, b = Sidecar("a", "1/12"), Sidecar("b", "1/3")
    async with several(a, b) as endpoints:
        proxies = (over(endpoints, balance="least_request", max_concurrent=20, capacity=HEEDED),)
        rig = await gateway_for(upstream, proxies=proxies)
        await eventually_asked(rig, "a", "b")
        clients = await held(rig, 10)
        await eventually(lambda: a.running + b.running == 10)
        assert (a.running, b.running) in {(8, 2), (7, 3), (9, 1)}
        a.free.set()
        b.free.set()
        await bodies(clients)


async def eventually_asked(rig: Rig, *names: str) -> None:
    """Each has been asked once at least."""
    found: set[str] = set()
    while found != set(names):
        found |= set(await asked(rig, 1))


async def test_one_that_drains_itself_gets_no_new_request_and_ends_what_runs(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    says = "1/8"

    async def leaves(link: Link) -> None:
        while True:
            asked_for = await link.request()
            if asked_for.target == b"/stream":
                await link.send(head("Transfer-Encoding: chunked", "X-Capacity: drain"), chunk(b"one "))
                await go_on.wait()
                await link.send(chunk(b"two"), chunk(b""))
            else:
                await link.send(answer(b"b", f"X-Capacity: {says}"))

    go_on = asyncio.Event()
    async with several(named("a"), leaves) as endpoints:
        health = HealthCheck(True, "/health", 3600.0)
        proxies = (over(endpoints, balance="round_robin", max_concurrent=9, capacity=HEEDED, health=health),)
        rig = await gateway_for(upstream, proxies=proxies)
        clients = [await rig.connect() for _ in range(2)]
        for client in clients:
            await client.send(request("/stream"))
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "leaving")
        assert await asked(rig, 10) == {"a": 10}
        assert cell(rig, families.ENDPOINTS + families.ENDPOINT_STATES.index("leaving")) == 1
        assert series(rig)[f"p {endpoints[1].url}"]["up"] == 0
        go_on.set()
        assert await bodies(clients) == [b"a", b"one two"]
        rig.p.reports.note(rig.p.endpoints[1].member, b"0/8")  # as its next health check says
        assert (await asked(rig, 10))["b"] == 5
        assert cell(rig, families.ENDPOINT_CHANGES + families.ENDPOINT_CHANGES_BY.index("returned")) == 1


async def test_health_checks_carry_reports_and_bring_an_endpoint_back(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    a, b = Sidecar("a", "0/2"), Sidecar("b", "0/3")
    async with several(a, b) as endpoints:
        health = HealthCheck(True, "/health", 0.05, 0.0, 5.0)
        proxies = (over(endpoints, balance="round_robin", max_concurrent=9, capacity=HEEDED, health=health),)
        rig = await gateway_for(upstream, proxies=proxies)
        await eventually(lambda: limit(rig) == 5, "the sum, without a request")
        b.says = "drain"
        await eventually(lambda: limit(rig) == 2, "the drain")
        assert await asked(rig, 6) == {"a": 6}
        b.says, b.status = "0/4", 503
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "down", "a bad check reports too")
        await eventually(lambda: limit(rig) == 2, "the limit without it")
        b.status = 200
        await eventually(lambda: limit(rig) == 6, "it is back")
        assert await asked(rig, 6) == {"a": 3, "b": 3}


async def test_the_only_endpoint_that_drains_serves_on(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/2")
    rig = await gateway_for(upstream, max_concurrent=3, capacity=HEEDED)
    await rig.ask()
    sidecar.says = "drain"
    for _ in range(3):
        assert (await rig.ask()).status == 200
    assert explained(rig)[upstream.url]["standing"] == "leaving"
    assert limit(rig) == 3


async def test_when_all_drain_all_are_used(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(Sidecar("a", "drain"), Sidecar("b", "drain")) as endpoints:
        proxies = (over(endpoints, balance="round_robin", max_concurrent=9, capacity=HEEDED),)
        rig = await gateway_for(upstream, proxies=proxies)
        assert await asked(rig, 6) == {"a": 3, "b": 3}


async def test_a_response_that_the_caller_does_not_get_reports_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(Sidecar("a", "3/3", status=503), Sidecar("b", "1/4")) as endpoints:
        retries = Retries(attempts=2, on=("503",), backoff=Backoff(0.0, 0.0))
        proxies = (over(endpoints, balance="round_robin", max_concurrent=9, capacity=HEEDED, retries=retries),)
        rig = await gateway_for(upstream, proxies=proxies)
        assert await asked(rig, 2) == {"b": 2}
        assert limit(rig) == 7


@pytest.mark.http1
async def test_a_switch_to_a_websocket_reports_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def socket(link: Link) -> None:
        await link.request()
        switched = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        await link.send(head(*switched, "X-Capacity: 1/2", status="101 Switching Protocols"))

    upstream.behaviour = socket
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED, websocket=True)
    client = await rig.connect()
    await client.send(upgrade("/"))
    response = await client.response()
    assert (response.status, response.get("x-capacity"), limit(rig)) == (101, None, 2)


async def test_a_limit_that_adapts_stays_below_the_report(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = sidecar = Sidecar("a", "1/2")
    adaptive = Limiter(adaptive=Adaptive(initial=6, min=4, max=9))
    rig = await gateway_for(upstream, limiter=adaptive, capacity=HEEDED)
    assert limit(rig) == 6
    await rig.ask()
    assert limit(rig) == 2
    rig.p.adaptive.look()
    assert (limit(rig), rig.p.limiter.wanted) == (2, 6)
    sidecar.says = "1/5"
    await rig.ask()
    assert limit(rig) == 5
    await rig.change(capacity=Capacity())
    assert limit(rig) == 6


async def test_a_reload_keeps_what_was_reported(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = Sidecar("a", "1/2")
    rig = await gateway_for(upstream, max_concurrent=5, capacity=HEEDED)
    await rig.ask()
    await rig.change(max_concurrent=7)
    assert limit(rig) == 2
    await rig.change(capacity=replace(HEEDED, mode="shadow"))
    assert (limit(rig), explained(rig)[upstream.url]["reported"]["total"]) == (5, 2)
    await rig.ask()
    assert limit(rig) == 5
    await rig.change(capacity=HEEDED)
    assert limit(rig) == 2


async def test_over_http_2_reports_are_read_and_removed_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def reports(session: Session) -> None:
        while True:
            asked = await session.request()
            await session.respond(asked, b"a", (b"x-capacity", b"1/3"), (b"x-more", b"y"))

    upstream.behaviour = speaking(reports)
    proxied = proxy_to(upstream, max_concurrent=5, capacity=HEEDED, http2="always")
    rig = await gateway_for(upstream, proxies=(proxied,))
    for _ in range(2):
        response = await rig.ask()
        assert (response.get("x-capacity"), response.get("x-more"), limit(rig)) == (None, b"y", 3)
