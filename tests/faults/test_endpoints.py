"""Several endpoints behind one upstream: who gets a request, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness.answers import answer, each_request
from harness.client import Client, code_of, request
from harness.message import Message, Truncated
from harness.patience import PATIENCE, eventually, when
from harness.ports import reserved_port
from harness.records import Proxied, serving
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Behaviour, Link, Upstream

from gateway.config.records import CircuitBreaker, Ejection, Endpoint, HealthCheck
from gateway.observe import families
from gateway.observe.counters import Kind

pytestmark = pytest.mark.plain

CHECKS = HealthCheck(True, "/health", 0.05, 0.0, 1.0, healthy_after=2, unhealthy_after=2)
EJECTS = Ejection(True, consecutive_failures=3, base_time=3600, max_time=3600)


def named(name: str, status: int = 200) -> Behaviour:
    return each_request(lambda _: answer(name.encode(), status=status))


@asynccontextmanager
async def several(*behaviours: Behaviour | None) -> AsyncIterator[list[Upstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Upstream(behaviour)) for behaviour in behaviours]


def over(endpoints: list[Upstream] | list[str], weights: tuple[int, ...] = (), **settings: Any) -> Proxied:
    """The proxy ``p`` with these endpoints."""
    first = proxy_to("http://127.0.0.1:1")
    urls = [each if isinstance(each, str) else each.url for each in endpoints]
    found = tuple(Endpoint(url, *weights[at : at + 1]) for at, url in enumerate(urls))
    return Proxied(first.route, replace(first.upstream, endpoints=found)).having(**settings)


async def asked(rig: Rig, count: int, target: str = "/", *lines: str) -> Counter[str]:
    """The bodies of good responses, and the reasons of others, one request after the other."""
    found: Counter[str] = Counter()
    for _ in range(count):
        response = await rig.ask(target, *lines)
        found[response.body.decode() if response.status == 200 else outcome(response)] += 1
    return found


def outcome(response: Message) -> str:
    return code_of(response) if response.get("x-gateway-reason") else str(response.status)


async def until(rig: Rig, word: str) -> Counter[str]:
    """As `asked`, for as many requests as it takes until one has this outcome."""
    found: Counter[str] = Counter()

    async def came() -> bool:
        found.update(await asked(rig, 1))
        return bool(found[word])

    await when(came, PATIENCE, f"a request has the outcome {word}")
    return found


def explained(rig: Rig) -> dict[str, Any]:
    explanation = rig.gateway.explain("p")
    assert explanation is not None
    group = explanation.get("group")
    assert group is not None
    return {each["url"]: each for each in group["endpoints"]} | {"": explanation}


def cell(rig: Rig, at: int) -> int:
    rig.gateway.sample()
    return rig.gateway.counters.ints[dict(rig.gateway.counters.live())["p"] + at]


async def test_round_robin_is_exact(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a"), named("b"), named("c")) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, (3, 2, 1), balance="round_robin"),))
        for _ in range(3):
            assert await asked(rig, 6) == {"a": 3, "b": 2, "c": 1}


async def test_the_log_names_the_endpoint(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a"), named("b")) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin"),))
        await asked(rig, 2)
        await eventually(lambda: len(rig.log.lines()) == 2)
        assert {line["upstream"] for line in rig.log.lines()} == {f"127.0.0.1:{each.port}" for each in endpoints}


async def test_least_requests_go_past_an_endpoint_that_is_slow(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(None, named("b"), named("c")) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="least_request"),))
        held: list[Client] = []
        while not endpoints[0].accepted:  # drawn at random
            client = await rig.connect()
            await client.send(request())
            held.append(client)
            # It is over, or it is there.
            await eventually(lambda: len(rig.log.lines()) + endpoints[0].accepted >= len(held))
        assert "a" not in await asked(rig, 30)
        link = await endpoints[0].link()
        await link.request()
        await link.send(answer(b"a"))
        assert b"a" in [(await client.response()).body for client in held]


class VirtualTime:
    """Endpoints that take so many seconds for a request, on a clock that goes on when all callers wait.

    So the order of the responses is that of the seconds, however busy the machine is.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.running: list[tuple[float, int, asyncio.Event]] = []
        self.counts: Counter[str] = Counter()

    def endpoint(self, name: str, seconds: float) -> Behaviour:
        async def serve(link: Link) -> None:
            while True:
                await link.request()
                self.counts[name] += 1
                over = asyncio.Event()
                heapq.heappush(self.running, (self.now + seconds, self.counts.total(), over))
                await over.wait()
                await link.send(answer(name.encode()))

        return serve

    async def end_next(self, callers: int) -> None:
        """End the request that is over first, as soon as those of all ``callers`` are there."""
        await eventually(lambda: len(self.running) == callers)
        self.now, _, over = heapq.heappop(self.running)
        over.set()


@pytest.mark.parametrize("balance", ["least_request", "round_robin"])
async def test_one_of_four_endpoints_is_ten_times_slower(
    gateway_for: GatewayFor, upstream: Upstream, balance: str
) -> None:
    """With 16 requests in flight it gets less than 15 % of 480 by least requests. In turn it gets its quarter."""
    time, callers, total = VirtualTime(), 16, 480
    speeds = {"slow": 10.0, "b": 1.0, "c": 1.0, "d": 1.0}
    async with several(*(time.endpoint(name, seconds) for name, seconds in speeds.items())) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance=balance),))
        left = iter(range(total))

        async def caller() -> Counter[str]:
            return sum([await asked(rig, 1) for _ in left], Counter())

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(caller()) for _ in range(callers)]
            for ended in range(total):
                await time.end_next(min(callers, total - ended))
        assert sum((task.result() for task in tasks), Counter()) == time.counts
    assert time.counts.total() == total
    if balance == "round_robin":
        assert time.counts == dict.fromkeys(speeds, total // 4)
    else:
        assert time.counts["slow"] < 0.15 * total, time.counts


@pytest.mark.parametrize(
    ("hash_on", "line"),
    [("header:x-session", "X-Session: {}"), ("cookie:sid", "Cookie: other=1; sid={}; more=2")],
    ids=["header", "cookie"],
)
async def test_a_hash_sends_equal_requests_to_the_same_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, hash_on: str, line: str
) -> None:
    async with several(named("a"), named("b"), named("c")) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="ring_hash", hash_on=hash_on),))
        found = {key: await asked(rig, 3, "/", line.format(key)) for key in range(20)}
        assert all(len(each) == 1 for each in found.values())
        assert len({name for each in found.values() for name in each}) == 3


async def test_a_hash_of_the_client_keeps_to_one_endpoint(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a"), named("b"), named("c")) as endpoints:
        rig = await gateway_for(
            upstream,
            trusted_proxies=("127.0.0.1",),
            proxies=(over(endpoints, balance="ring_hash", hash_on="client"),),
        )
        found = [await asked(rig, 3, "/", f"X-Forwarded-For: 192.0.2.{host}") for host in range(20)]
        assert all(len(each) == 1 for each in found)
        assert len({name for each in found for name in each}) == 3
        assert len(await asked(rig, 5)) == 1


async def test_an_endpoint_that_fails_is_ejected_and_comes_back_by_a_single_request(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    statuses = {"b": 503}

    def reply(message: Message) -> bytes:
        return answer(b"b", status=statuses["b"])

    async with several(named("a"), each_request(reply), named("c")) as endpoints:
        ejects = Ejection(True, consecutive_failures=3, base_time=0.3)
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=ejects),))
        assert await asked(rig, 9) == {"a": 3, "503": 3, "c": 3}
        assert await asked(rig, 20) == {"a": 10, "c": 10}
        shown = explained(rig)[endpoints[1].url]
        assert (shown["standing"], shown["ejected_because"]) == ("ejected", "3 failures in a row")
        assert cell(rig, families.ENDPOINTS + families.ENDPOINT_STATES.index("ejected")) == 1
        await until(rig, "503")
        shown = explained(rig)[endpoints[1].url]
        assert (shown["standing"], shown["ejections"]) == ("ejected", 2)
        assert "503" not in await asked(rig, 10)  # it still failed: that cost one request
        statuses["b"] = 200
        assert "503" not in await until(rig, "b")
        assert (await asked(rig, 9))["b"] == 3
        assert explained(rig)[endpoints[1].url]["standing"] == "usable"


async def test_one_that_comes_back_and_still_fails_costs_one_request_of_many_at_once(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    asked_of_it, verdict = 0, asyncio.Event()

    async def failing(link: Link) -> None:
        nonlocal asked_of_it
        while True:
            await link.request()
            asked_of_it += 1
            if asked_of_it > 3:
                await verdict.wait()
            await link.send(answer(b"b", status=503))

    async with several(named("a"), failing) as endpoints:
        ejects = Ejection(True, consecutive_failures=3, base_time=0.1, max_time=3600)
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=ejects),))
        assert await asked(rig, 6) == {"a": 3, "503": 3}

        async with asyncio.TaskGroup() as tasks:
            probe = tasks.create_task(until(rig, "503"))
            await eventually(lambda: asked_of_it == 4)
            others = await asyncio.gather(*(tasks.create_task(asked(rig, 1)) for _ in range(60)))
            assert sum(others, Counter()) == {"a": 60}
            verdict.set()
        assert probe.result()["503"] == 1
        shown = explained(rig)[endpoints[1].url]
        assert (shown["ejections"], asked_of_it) == (2, 4)


@pytest.mark.parametrize("ending", ["reset", "status"])
async def test_fast_failures_attract_no_requests(gateway_for: GatewayFor, upstream: Upstream, ending: str) -> None:
    """Without an ejection: of two endpoints, the one that fails at once gets half of the requests and no more."""

    async def slow(link: Any) -> None:
        while True:
            await link.request()
            await asyncio.sleep(0.02)
            await link.send(answer(b"a"))

    async def reset(link: Any) -> None:
        await link.request()
        link.reset()

    failing = reset if ending == "reset" else named("b", 500)
    async with several(slow, failing) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="least_request"),))
        found: Counter[str] = Counter()

        async def caller() -> None:
            nonlocal found
            found += await asked(rig, 30)

        await asyncio.gather(*(caller() for _ in range(8)))
        assert found["a"] >= 0.4 * found.total()


async def test_one_that_is_down_gets_no_request_and_comes_back(gateway_for: GatewayFor, upstream: Upstream) -> None:
    well = True
    served: Counter[str] = Counter()

    def reply(message: Message) -> bytes:
        served[message.target.decode()] += 1
        return answer(b"b", status=200 if well else 500)

    async with several(named("a"), each_request(reply)) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", health=CHECKS),))
        assert await asked(rig, 4) == {"a": 2, "b": 2}
        well = False
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "down")
        before = served["/"]
        assert await asked(rig, 20) == {"a": 20}
        assert served["/"] == before
        shown = explained(rig)[endpoints[1].url]
        assert (shown["health"], shown["check_failure"]) == ("down", "status 500, where 200-299 is expected")
        well = True
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "usable")
        assert (await asked(rig, 10))["b"] == 5


async def test_checks_in_shadow_mode_are_counted_and_keep_nothing_away(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """As soon as they are enforced, what they have found holds."""

    def reply(message: Message) -> bytes:
        return answer(b"b", status=200 if message.target == b"/" else 500)

    async with several(named("a"), each_request(reply)) as endpoints:
        shadow = over(endpoints, balance="round_robin", health=replace(CHECKS, mode="shadow"))
        rig = await gateway_for(upstream, proxies=(shadow,))
        await eventually(lambda: explained(rig)[endpoints[1].url]["health"] == "down")
        assert await asked(rig, 10) == {"a": 5, "b": 5}
        shown = explained(rig)
        assert (shown[endpoints[1].url]["standing"], shown[""]["group"]["health_mode"]) == ("usable", "shadow")
        assert cell(rig, families.ENDPOINT_CHANGES + families.ENDPOINT_CHANGES_BY.index("down")) == 1
        await rig.change(health=CHECKS)
        assert await asked(rig, 10) == {"a": 10}
        await rig.change(health=replace(CHECKS, mode="shadow"))
        assert await asked(rig, 10) == {"a": 5, "b": 5}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda: answer(b"starting"), "the expected text is not in the response"),
        (lambda: answer(b"ready", status=301), "status 301, where 200-299 is expected"),
    ],
    ids=["body", "status"],
)
async def test_a_check_looks_at_status_and_body(
    gateway_for: GatewayFor, upstream: Upstream, reply: Callable[[], bytes], why: str
) -> None:
    checks = replace(CHECKS, expect_body="ready")
    async with several(each_request(lambda _: answer(b"all ready")), each_request(lambda _: reply())) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, health=checks),))
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "down")
        assert explained(rig)[endpoints[1].url]["check_failure"] == why
        await eventually(lambda: explained(rig)[endpoints[0].url]["health"] == "up")


async def test_a_check_that_hangs_fails_in_its_time_and_piles_nothing_up(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), None) as endpoints:
        checks = replace(CHECKS, timeout=0.1)
        rig = await gateway_for(upstream, proxies=(over(endpoints, health=checks),))
        await eventually(lambda: explained(rig)[endpoints[1].url]["standing"] == "down")
        assert explained(rig)[endpoints[1].url]["check_failure"] == "no response within 0.1 s"
        await eventually(lambda: endpoints[1].accepted >= 3)
        assert rig.p.endpoints[1].pool.open <= 1


async def test_a_check_of_an_endless_body_ends(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def endless(link: Any) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not link.ended:
            await link.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    async with several(named("a"), endless) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, health=CHECKS),))
        await eventually(lambda: explained(rig)[endpoints[1].url]["health"] == "up")
        await eventually(lambda: endpoints[1].accepted >= 2)


async def test_without_a_usable_endpoint_all_are_used_or_none(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a", 500), named("b", 500)) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", health=CHECKS),))
        await eventually(lambda: all(explained(rig)[each.url]["standing"] == "down" for each in endpoints))
        assert await asked(rig, 4) == {"500": 4}
        assert explained(rig)[""]["group"]["panic"]
        assert cell(rig, families.PANICS) == 4
        await rig.change(panic=0.0)
        response = await rig.ask()
        assert (response.status, code_of(response)) == (503, "no_healthy_endpoint")
        assert response.get("retry-after") == b"1"
        explanation = explained(rig)[""]
        assert (explanation["verdict"], explanation["reason"]) == ("refuse", "no_healthy_endpoint")
        assert "of 2 endpoints, 2 down" in explanation["sentence"]


async def test_a_single_endpoint_that_is_down_is_used_all_the_same(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a", 500)) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, health=CHECKS, ejection=EJECTS),))
        await eventually(lambda: explained(rig)[endpoints[0].url]["standing"] == "down")
        assert await asked(rig, 5) == {"500": 5}
        assert not explained(rig)[endpoints[0].url]["ejections"]


async def test_a_drained_endpoint_gets_no_new_request_and_ends_what_runs(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), None) as endpoints:
        drained = over(endpoints, balance="round_robin")
        rig = await gateway_for(upstream, proxies=(drained,))
        clients = [await rig.connect() for _ in range(2)]
        for client in clients:
            await client.send(request())
        link = await endpoints[1].link()
        await link.request()
        first, second = drained.upstream.endpoints
        await rig.change(endpoints=(first, replace(second, drain=True)))
        assert await asked(rig, 10) == {"a": 10}
        assert explained(rig)[endpoints[1].url]["standing"] == "drained"
        await link.send(answer(b"b"))
        assert {(await client.response()).body for client in clients} == {b"a", b"b"}
        await rig.change(endpoints=(replace(first, drain=True), replace(second, drain=True)))
        assert await asked(rig, 1) == {"no_healthy_endpoint": 1}


async def test_each_endpoint_has_a_breaker_and_an_open_one_is_passed_over(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    breaker = CircuitBreaker(True, 2, 3600)
    async with several(named("a"), named("b", 500)) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", circuit_breaker=breaker),))
        assert await asked(rig, 4) == {"a": 2, "500": 2}
        assert await asked(rig, 10) == {"a": 10}
        assert explained(rig)[endpoints[1].url]["breaker"] == "open"
        assert rig.gateway.state()["p"]["breaker"] == "closed"
        assert rig.gateway.reset_breaker("p")
        assert (await asked(rig, 4))["500"] == 2


async def test_when_all_breakers_are_open_the_request_is_rejected(gateway_for: GatewayFor, upstream: Upstream) -> None:
    breaker = CircuitBreaker(True, 1, 3600)
    async with several(named("a", 500), named("b", 500)) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", circuit_breaker=breaker),))
        assert await asked(rig, 2) == {"500": 2}
        response = await rig.ask()
        assert (response.status, code_of(response)) == (503, "breaker_open")
        assert (rig.gateway.state()["p"]["breaker"], rig.p.endpoints[0].pool.open) == ("open", 1)
        shown = explained(rig)[""]
        assert (shown["verdict"], shown["reason"]) == ("refuse", "breaker_open")
        assert shown["sentence"].endswith("the breakers of all 2 endpoints keep requests away")
        assert not shown["group"]["panic"], "an open breaker is no reason for a panic"


async def test_the_breaker_of_an_endpoint_that_is_away_admits_nothing(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """One is ejected with its breaker closed. The other one, which alone may be used, has an open breaker."""
    statuses = {"a": 500, "b": 200}
    behaviours = [each_request(lambda _, name=name: answer(name.encode(), status=statuses[name])) for name in statuses]
    async with several(*behaviours) as endpoints:
        rules = CircuitBreaker(True, 3, 3600, failure_statuses=("500",))
        ejects = replace(EJECTS, consecutive_failures=2)
        proxied = over(endpoints, balance="round_robin", circuit_breaker=rules, ejection=ejects)
        rig = await gateway_for(upstream, proxies=(proxied,))
        assert await asked(rig, 4) == {"500": 2, "b": 2}
        statuses["b"] = 500
        assert await asked(rig, 3) == {"500": 3}
        shown = explained(rig)
        standings = [(shown[each.url]["standing"], shown[each.url]["breaker"]) for each in endpoints]
        assert standings == [("ejected", "closed"), ("usable", "open")]
        assert await asked(rig, 2) == {"breaker_open": 2}
        assert (shown[""]["verdict"], shown[""]["reason"]) == ("refuse", "breaker_open")
        assert "of 2 endpoints, 1 ejected, 1 usable, and the breakers" in shown[""]["sentence"]
        assert shown[""]["breaker"]["state"] == "open"


async def test_a_reload_keeps_what_is_known_of_the_endpoints_that_stay(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), named("b", 500), named("c")) as endpoints:
        both = over(endpoints[:2], balance="round_robin", ejection=EJECTS)
        rig = await gateway_for(upstream, proxies=(both,))
        assert await asked(rig, 6) == {"a": 3, "500": 3}
        pool = rig.p.endpoints[0].pool
        three = (*both.upstream.endpoints, Endpoint(endpoints[2].url))
        await rig.change(endpoints=three)
        assert await asked(rig, 6) == {"a": 3, "c": 3}
        assert explained(rig)[endpoints[1].url]["standing"] == "ejected"
        assert rig.p.endpoints[0].pool is pool
        await rig.change(endpoints=three[::2])
        assert await asked(rig, 4) == {"a": 2, "c": 2}
        await rig.change(endpoints=three, ejection=Ejection())
        assert (await asked(rig, 6))["500"] == 2


async def test_a_request_that_ends_after_a_reload_is_judged_by_the_new_rules(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), None) as endpoints:
        once = replace(EJECTS, consecutive_failures=1)
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=once),))
        clients = [await rig.connect() for _ in range(2)]
        for client in clients:
            await client.send(request())
        link = await endpoints[1].link()
        await link.request()
        await rig.change(ejection=Ejection())
        await link.send(answer(b"b", status=500))
        assert {(await client.response()).status for client in clients} == {200, 500}
        shown = explained(rig)[endpoints[1].url]
        assert (shown["standing"], shown["probation"], shown["failures"]) == ("usable", False, 1)
        assert shown["in_flight"] == 0


async def test_ejections_in_shadow_mode_are_counted_and_keep_nothing_away(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), named("b", 500)) as endpoints:
        shadow = replace(EJECTS, mode="shadow")
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=shadow),))
        assert await asked(rig, 12) == {"a": 6, "500": 6}
        assert cell(rig, families.ENDPOINT_CHANGES + families.ENDPOINT_CHANGES_BY.index("ejected")) == 1
        assert explained(rig)[""]["group"]["ejection_mode"] == "shadow"


async def test_an_address_that_refuses_is_ejected_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a")) as endpoints:
        urls = [endpoints[0].url, f"http://127.0.0.1:{reserved_port()}"]
        rig = await gateway_for(upstream, proxies=(over(urls, balance="round_robin", ejection=EJECTS),))
        assert await asked(rig, 6) == {"a": 3, "dial_failed": 3}
        assert await asked(rig, 10) == {"a": 10}


async def test_the_statuses_that_are_failures_are_those_of_the_breaker(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), named("b", 404), named("c", 500)) as endpoints:
        breaker = CircuitBreaker(failure_statuses=("404",))
        rig = await gateway_for(
            upstream, proxies=(over(endpoints, balance="round_robin", ejection=EJECTS, circuit_breaker=breaker),)
        )
        assert await asked(rig, 9) == {"a": 3, "404": 3, "500": 3}
        assert await asked(rig, 4) == {"a": 2, "500": 2}


async def test_callers_that_leave_say_nothing_about_an_endpoint(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(None, None) as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=EJECTS),))
        for _ in range(8):
            client = await rig.connect()
            await client.send(request())
            await eventually(lambda: explained(rig)[""]["active_count"] == 1)
            client.close()
            await eventually(lambda: explained(rig)[""]["active_count"] == 0)
        shown = [explained(rig)[each.url] for each in endpoints]
        assert [(each["standing"], each["attempts"], each["in_flight"]) for each in shown] == [("usable", 0, 0)] * 2


async def test_a_response_that_breaks_off_counts_as_a_failure(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def breaks(link: Any) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with several(named("a"), breaks) as endpoints:
        once = replace(EJECTS, consecutive_failures=1)
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="round_robin", ejection=once),))
        assert (await rig.ask()).body == b"a"
        with pytest.raises(Truncated):
            await rig.ask()
        assert await asked(rig, 6) == {"a": 6}


async def test_each_endpoint_has_series_of_its_own(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """What an endpoint gets is counted there, as long as it is configured; an open breaker gives it nothing."""
    breaker = CircuitBreaker(True, 2, 3600.0)
    async with several(named("a"), named("b", 500)) as endpoints:
        settings = {"balance": "round_robin", "circuit_breaker": breaker, "max_concurrent": 0}
        rig = await gateway_for(upstream, proxies=(over(endpoints, **settings),))
        assert await asked(rig, 8) == {"a": 6, "500": 2}
        good, bad = series(rig)[f"p {endpoints[0].url}"], series(rig)[f"p {endpoints[1].url}"]
        nothing = dict.fromkeys(good, 0) | {"up": 1}
        assert good == nothing | {"success": 6}
        assert bad == nothing | {"failure": 2}
        await rig.gateway.reload(serving(rig.document, over([endpoints[0], "http://127.0.0.1:1"], **settings)))
        found = series(rig)
        assert found.keys() == {f"p {endpoints[0].url}", "p http://127.0.0.1:1"}
        assert found[f"p {endpoints[0].url}"]["success"] == 6


def series(rig: Rig) -> dict[str, dict[str, int]]:
    rig.gateway.sample()
    counters, cells = rig.gateway.counters, families.ENDPOINT_REQUESTS
    figures = {"up": families.ENDPOINT_UP, "in_flight": families.ENDPOINT_IN_FLIGHT}
    figures |= {outcome: cells + at for at, outcome in enumerate(families.ENDPOINT_OUTCOMES)}
    figures["ejections"] = families.ENDPOINT_EJECTIONS
    figures |= {"places": families.ENDPOINT_CAPACITY}
    figures |= {word: families.ENDPOINT_REPORTS + at for at, word in enumerate(("capacity", "drain", "lies"))}
    slabs = counters.live(Kind.ENDPOINT)
    return {name: {word: counters.ints[base + at] for word, at in figures.items()} for name, base in slabs}
