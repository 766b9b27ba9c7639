"""A second attempt while the first one runs: which response the caller gets, what becomes of the other attempt, and
that there is never more at the upstream than its budget and its limit allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from harness.answers import LAST_CHUNK, OK, answer, chunk, each_request, head
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Behaviour, Link, Upstream, refused_url

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Endpoint, Hedge, Queue, Retries, Stream
from gateway.core.hedge import WITHHELD
from gateway.core.outcome import Outcome
from gateway.observe import families
from gateway.policy.latency import LEAST_SAMPLES
from gateway.wire.buffers import BUFFER_SIZE

pytestmark = pytest.mark.plain

SOON = Hedge(0.02)
BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
BUSY = answer(b"busy", status=503, reason="Service Unavailable")
EVENTS = head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
CUT_WITHIN = 1.0
"""Seconds. The tests show that an attempt is cut by the end of the exchange, because each timeout is ten times as long.
They do not show how fast it is cut, because the machine is busy with other tests."""


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Upstream, Upstream]]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(Upstream()), await stack.enter_async_context(Upstream())


def over(*endpoints: Upstream | str, **settings: Any) -> Proxied:
    """The proxy ``p`` with these endpoints, in turns: the first request goes to the first of them."""
    first = proxy_to("http://127.0.0.1:1")
    found = tuple(Endpoint(each if isinstance(each, str) else each.url) for each in endpoints)
    upstream = replace(first.upstream, endpoints=found, balance="round_robin")
    return Proxied(first.route, upstream).having(**{"hedge": SOON, "circuit_breaker": BREAKER} | settings)


async def asked(rig: Rig, *parts: bytes) -> Client:
    client = await rig.connect()
    await client.send(*(parts or (request(),)))
    return client


async def arrived(upstream: Upstream) -> Link:
    """The connection on which a request came."""
    link = await upstream.link()
    await link.request()
    return link


def cells(rig: Rig) -> dict[str, int]:
    """What the metrics have counted of hedges."""
    rig.gateway.sample()
    base = dict(rig.gateway.counters.live())["p"]
    words = {"won": families.HEDGES, "lost": families.HEDGES + 1, "shadow": families.SHADOW_HEDGES}
    words |= {word: families.HEDGES_WITHHELD + at for at, word in enumerate(WITHHELD)}
    found = {word: rig.gateway.counters.ints[base + at] for word, at in words.items()}
    return {word: count for word, count in found.items() if count}


async def cut_in_time(*links: Link) -> None:
    """The gateway ends these connections before a timeout does."""
    since = monotonic()
    for link in links:
        assert await link.gone()
    assert monotonic() - since < CUT_WITHIN


async def explained(rig: Rig, member: int = 0) -> tuple[int, int, int]:
    """What an endpoint has taught: attempts that were judged, failures, and those that said nothing."""
    await rig.settled()
    found = rig.p.endpoints[member].member
    return found.attempts, found.failures, found.ignored


# -- which response is taken


async def test_the_second_attempt_wins_and_the_first_is_cut(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast, max_concurrent=2),))
        client = await asked(rig)
        loser, winner = await arrived(slow), await arrived(fast)
        await winner.send(answer(b"second"))
        await cut_in_time(loser)
        assert (await client.response()).body == b"second"
        line = await rig.log.last()
        assert (line["status_code"], line["attempts"], line["upstream"]) == (200, 2, f"127.0.0.1:{fast.port}")
        assert line["hedge"].pop("after_ms") > 15
        assert line["hedge"] == {"result": "won", "other": f"127.0.0.1:{slow.port}", "withheld": "", "shadow": False}
        assert (await explained(rig, 0), await explained(rig, 1)) == ((0, 0, 1), (1, 0, 0))
        assert cells(rig) == {"won": 1}


async def test_the_first_attempt_wins_and_the_second_is_cut(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, slower):
        rig = await gateway_for(upstream, proxies=(over(slow, slower, max_concurrent=2),))
        client = await asked(rig)
        winner, loser = await arrived(slow), await arrived(slower)
        assert rig.p.limiter.in_flight == 2, "the second attempt has a permit of its own"
        told = rig.gateway.explain("p")
        assert (told["hedge"]["running"], told["active"][0]["phase"]) == (1, "first_byte")
        await winner.send(answer(b"first"))
        await cut_in_time(loser)
        assert (await client.response()).body == b"first"
        line = await rig.log.last()
        assert (line["upstream"], line["hedge"]["result"]) == (f"127.0.0.1:{slow.port}", "lost")
        assert line["hedge"]["other"] == f"127.0.0.1:{slower.port}"
        assert (await explained(rig, 0), await explained(rig, 1)) == ((1, 0, 0), (0, 0, 1))
        assert cells(rig) == {"lost": 1}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first, the second", "the second, the first"])
async def test_two_responses_at_once_are_one_for_the_caller(
    gateway_for: GatewayFor, upstream: Upstream, order: tuple[int, int]
) -> None:
    """The loser may even have an interim response on its way; the connection of the caller serves the next request."""
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast),))
        client = await asked(rig)
        links = await arrived(slow), await arrived(fast)
        for at in order:
            await links[at].send(head("Link: </a>", status="103 Early Hints"), answer(b"one" if at else b"two"))
        while (response := await client.response()).status == 103:
            pass
        assert response.body in (b"one", b"two")
        own = await client.ask("/", "Max-Forwards: 0", method="OPTIONS")
        assert (own.status, own.get("allow") != "") == (200, True)


async def test_nothing_is_hedged_that_is_fast(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (fast, other):
        rig = await gateway_for(upstream, proxies=(over(fast, other, hedge=Hedge(30.0)),))
        client = await asked(rig)
        await (await arrived(fast)).send(OK)
        assert (await client.response()).status == 200
        assert ("hedge" not in await rig.log.last(), other.accepted, cells(rig)) == (True, 0, {})


async def test_a_failure_does_not_win_while_the_other_attempt_runs(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, failing):
        rig = await gateway_for(upstream, proxies=(over(slow, failing),))
        client = await asked(rig)
        link, other = await arrived(slow), await arrived(failing)
        await other.send(BUSY)
        await eventually(lambda: rig.p.endpoints[1].breaker.failures == 1, "it has judged the second attempt")
        await link.send(answer(b"good"))
        assert (await client.response()).body == b"good"
        assert (await explained(rig, 0), await explained(rig, 1)) == ((1, 0, 0), (1, 1, 0))
        assert (await rig.log.last())["hedge"]["result"] == "lost"


async def test_the_failure_of_the_first_attempt_is_hidden_as_well(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (failing, fast):
        rig = await gateway_for(upstream, proxies=(over(failing, fast),))
        client = await asked(rig)
        link, other = await arrived(failing), await arrived(fast)
        await link.send(BUSY)
        await eventually(lambda: rig.p.endpoints[0].breaker.failures == 1, "it has judged the first attempt")
        await other.send(answer(b"good"))
        assert (await client.response()).body == b"good"
        assert (await rig.log.last())["hedge"]["result"] == "won"


async def test_a_failure_whose_body_is_yet_to_come_counts_when_the_other_attempt_wins(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (slow, failing):
        rig = await gateway_for(upstream, proxies=(over(slow, failing, max_concurrent=2),))
        client = await asked(rig)
        link, other = await arrived(slow), await arrived(failing)
        await other.send(head("Content-Length: 10", status="503 Service Unavailable"))
        second = rig.gateway.server.running()[0].hedge.carriers[1]
        await eventually(lambda: second.status == 503, "the head has come")
        await link.send(answer(b"good"))
        assert (await client.response()).body == b"good"
        assert await other.gone()
        assert (await explained(rig, 0), await explained(rig, 1)) == ((1, 0, 0), (1, 1, 0))
        await eventually(lambda: rig.p.limiter.in_flight == 0)


@pytest.mark.parametrize("last", [0, 1])
async def test_when_both_respond_with_failures_the_last_one_goes_to_the_caller(
    gateway_for: GatewayFor, upstream: Upstream, last: int
) -> None:
    async with two() as (one, two_):
        rig = await gateway_for(upstream, proxies=(over(one, two_),))
        client = await asked(rig)
        links = await arrived(one), await arrived(two_)
        await links[1 - last].send(answer(b"hidden", status=500, reason="No"))
        await eventually(lambda: rig.p.endpoints[1 - last].breaker.failures == 1, "it has judged one of them")
        await links[last].send(answer(b"shown", status=502, reason="No"))
        response = await client.response()
        assert (response.status, response.body) == (502, b"shown")
        assert [each.breaker.failures for each in rig.p.endpoints] == [1, 1]


async def test_when_both_break_the_caller_learns_of_the_last_one(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other, max_concurrent=2),))
        client = await asked(rig)
        for link in (await arrived(one), await arrived(other)):
            link.reset()
        assert code_of(await client.response()) == "upstream_reset"
        assert (await explained(rig, 0), await explained(rig, 1)) == ((1, 1, 0), (1, 1, 0))
        line = await rig.log.last()
        assert (line["attempts"], line["reason"], line["hedge"]["result"]) == (2, "upstream_reset", "lost")


async def test_one_breaks_and_the_other_serves(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, other):
        rig = await gateway_for(upstream, proxies=(over(slow, other),))
        client = await asked(rig)
        link, second = await arrived(slow), await arrived(other)
        link.reset()
        await eventually(lambda: rig.p.endpoints[0].breaker.failures == 1, "it has judged the first attempt")
        await second.send(answer(b"good"))
        assert (await client.response()).body == b"good"


async def test_a_second_attempt_that_finds_no_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, _):
        rig = await gateway_for(upstream, proxies=(over(slow, refused_url()),))
        client = await asked(rig)
        link = await arrived(slow)
        await eventually(lambda: rig.p.endpoints[1].breaker.failures == 1, "it has judged the second attempt")
        await link.send(OK)
        assert (await client.response()).status == 200
        assert (await rig.log.last())["hedge"]["result"] == "lost"


async def test_a_stream_of_the_second_attempt_is_relayed_to_its_end(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast, max_concurrent=2),))
        client = await asked(rig)
        loser, winner = await arrived(slow), await arrived(fast)
        await winner.send(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked"), chunk(b"data: 1\n\n"))
        await cut_in_time(loser)
        await client.until(b"data: 1")
        await eventually(lambda: rig.p.limiter.in_flight == 1, "the permit of the loser is back")
        assert rig.gateway.explain("p")["active"][0]["phase"] == "transfer"
        await winner.send(chunk(b"data: 2\n\n"), LAST_CHUNK)
        await client.until(b"data: 2")
        line = await rig.log.last()
        assert (line["bytes_out"], line["reason"], line["hedge"]["result"]) == (18, "", "won")


async def test_a_stream_that_breaks_is_not_made_good(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast),))
        client = await asked(rig)
        _, winner = await arrived(slow), await arrived(fast)
        await winner.send(head("Transfer-Encoding: chunked"), chunk(b"begun"))
        await client.until(b"begun")
        winner.reset()
        await client.rest()
        line = await rig.log.last()
        assert (line["status_code"], line["reason"]) == (200, "upstream_reset")
        assert (await explained(rig, 1))[1] == 1


# -- who ends both


async def test_a_caller_that_leaves_ends_both(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other, max_concurrent=2),))
        client = await asked(rig)
        links = await arrived(one), await arrived(other)
        client.close()
        await cut_in_time(*links)
        assert (await explained(rig, 0), await explained(rig, 1)) == ((0, 0, 1), (0, 0, 1))
        line = await rig.log.last()
        assert (line["status_code"], line["reason"], line["attempts"]) == (499, "client_gone", 2)


async def test_the_deadline_ends_both_and_blames_the_one_that_had_the_time(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (one, other):
        settings = {"timeouts": replace(TIMEOUTS, total=0.3), "hedge": Hedge(0.2), "max_concurrent": 2}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        client = await asked(rig)
        links = await arrived(one), await arrived(other)
        assert code_of(await client.response()) == "total_timeout"
        await cut_in_time(*links)
        assert (await explained(rig, 0), await explained(rig, 1)) == ((1, 1, 0), (0, 0, 1))


async def test_a_first_attempt_that_runs_out_of_its_time(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Its failure counts, and the second one has its own time."""
    async with two() as (one, other):
        settings = {"timeouts": replace(TIMEOUTS, response_header=0.5), "hedge": Hedge(0.4)}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        client = await asked(rig)
        link, second = await arrived(one), await arrived(other)
        await link.gone()
        assert rig.p.endpoints[0].breaker.failures == 1
        await second.send(OK)
        assert (await client.response()).status == 200


# -- what keeps it from being made


async def test_without_a_permit_there_is_none(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other, max_concurrent=1),))
        client = await asked(rig)
        link = await arrived(one)
        await eventually(lambda: rig.gateway.exchanges == 1)
        await asyncio.wait_for(until_withheld(rig), 5)
        await link.send(OK)
        assert (await client.response()).status == 200
        assert ((await rig.log.last())["hedge"]["withheld"], other.accepted) == ("permit", 0)
        assert cells(rig) == {"permit": 1}


async def until_withheld(rig: Rig) -> None:
    """It was time for a hedge, and none was made."""
    await eventually(lambda: any(ex.hedge is not None and ex.hedge.after for ex in rig.gateway.server.running()))


async def test_no_more_than_the_budget(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Retries and hedges take of the same bucket."""
    async with two() as (one, other):
        settings = {"hedge": Hedge(0.001), "retries": Retries(burst=2, budget=0.1)}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        for endpoint in (one, other):
            endpoint.behaviour = slowly(0.02)
        for count in range(1, 31):
            assert (await rig.ask()).status == 200
            await rig.log.last(count)
        await rig.settled()
        made = cells(rig)
        assert made.get("won", 0) + made.get("lost", 0) in (4, 5), "a burst of two, and a tenth of the requests"
        assert made["budget"] == 30 - made.get("won", 0) - made.get("lost", 0)


async def test_with_several_endpoints_it_goes_to_another_one_or_is_not_made(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (one, other):
        proxied = over(one, other, max_concurrent=2, retries=Retries(burst=1, budget=0.001))
        drained = replace(proxied.upstream, endpoints=(proxied.upstream.endpoints[0], Endpoint(other.url, drain=True)))
        rig = await gateway_for(upstream, proxies=(Proxied(proxied.route, drained),))
        client = await asked(rig)
        link = await arrived(one)
        await until_withheld(rig)
        await link.send(OK)
        assert (await client.response()).status == 200
        assert (await rig.log.last())["hedge"]["withheld"] == "endpoint"
        assert (one.accepted, other.accepted, rig.p.retry_budget.left(1)) == (1, 0, 1.0), "the token was not used"
        await explained(rig)


async def test_a_lone_endpoint_gets_it_on_another_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Behind one address there may be many machines, and a new connection finds another one."""
    rig = await gateway_for(upstream, hedge=SOON, max_concurrent=2, circuit_breaker=BREAKER)
    client = await asked(rig)
    loser, winner = await arrived(upstream), await arrived(upstream)
    await winner.send(OK)
    await cut_in_time(loser)
    assert (await client.response()).status == 200
    assert rig.p.endpoints[0].breaker.failures == 0


async def test_a_breaker_that_is_open_keeps_it_away(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other),))
        breaker = rig.p.endpoints[1].breaker
        for _ in range(BREAKER.failure_threshold):
            breaker.release(breaker.try_acquire(), Outcome.FAILURE)
        client = await asked(rig)
        link = await arrived(one)
        await until_withheld(rig)
        await link.send(OK)
        assert (await client.response()).status == 200
        assert (await rig.log.last())["hedge"]["withheld"] == "endpoint"


async def test_shadow_mode_counts_and_sends_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        settings = {"hedge": replace(SOON, mode="shadow"), "retries": Retries(burst=1, budget=0.001)}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        for count, endpoint in enumerate((one, other), 1):
            client = await asked(rig)
            link = await arrived(endpoint)
            await until_withheld(rig)
            await link.send(OK)
            assert (await client.response()).status == 200
            await rig.log.last(count)
        await rig.settled()
        first, second = await rig.log.wait(2)
        assert (first["hedge"]["shadow"], second["hedge"]["withheld"]) == (True, "budget")
        assert cells(rig) == {"shadow": 1, "budget": 1}
        assert rig.p.retry_budget.left(1) == 1.0, "what is only imagined takes nothing from retries"


# -- which requests


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_methods_that_may_run_twice(gateway_for: GatewayFor, upstream: Upstream, method: str) -> None:
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast),))
        body = b"body" if method == "PUT" else b""
        client = await rig.connect()
        await client.send(request(method=method, body=body))
        link, other = await slow.link(), await fast.link()
        assert ((await link.request()).body, (await other.request()).body) == (body, body)
        await other.send(head("Content-Length: 0"))
        assert (await client.response(method=method)).status == 200


@pytest.mark.parametrize(
    ("method", "hedge", "lines", "body"),
    [
        ("POST", SOON, ["Idempotency-Key: 1"], b"body"),
        ("PUT", replace(SOON, methods="safe"), [], b"body"),
        ("PUT", SOON, [], b"x" * 11),
        ("GET", SOON, ["Connection: upgrade", "Upgrade: websocket"], b""),
    ],
    ids=["a key", "safe alone", "a body that is too long", "an upgrade"],
)
async def test_what_is_sent_once(
    gateway_for: GatewayFor, upstream: Upstream, method: str, hedge: Hedge, lines: list[str], body: bytes
) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other, hedge=hedge, retries=Retries(replay_buffer=10)),))
        one.behaviour = slowly(0.1)
        response = await rig.ask("/", *lines, method=method, body=body)
        assert response.status == (200 if "Upgrade: websocket" not in lines else 501)
        assert ("hedge" not in await rig.log.last(), other.accepted) == (True, 0)


async def test_a_body_that_is_yet_to_come_is_sent_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other),))
        client = await asked(rig, request("/", "Content-Length: 8", method="PUT"), b"half")
        link = await one.link()
        await link.until(b"half")
        await client.send(b"half")
        await link.until(b"half")
        await link.send(OK)
        assert (await client.response()).status == 200
        assert ("hedge" not in await rig.log.last(), other.accepted) == (True, 0)


async def test_bodies_are_kept_as_far_as_the_buffers_reach(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other),))
        free = rig.gateway.buffers.capacity * BUFFER_SIZE
        assert rig.gateway.buffers.keep(free)
        one.behaviour = slowly(0.1)
        assert (await rig.ask(method="PUT", body=b"body")).status == 200
        assert ("hedge" not in await rig.log.last(), other.accepted) == (True, 0)
        rig.gateway.buffers.let_go(free)


# -- beside retries and a fallback


async def test_a_failure_that_stands_for_both_is_retried_and_there_is_one_hedge(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (one, other):
        settings = {"retries": Retries(2, ("503",), backoff=Backoff(0.0, 0.0)), "hedge": SOON, "max_concurrent": 2}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        client = await asked(rig)
        links = await arrived(one), await arrived(other)
        for at, link in enumerate(links):
            await link.send(BUSY)
            await eventually(lambda at=at: rig.p.endpoints[at].breaker.failures == 1, "it has judged it")
        link = await next_of(*links)
        await link.send(answer(b"third"))
        assert (await client.response()).body == b"third"
        line = await rig.log.last()
        assert (line["attempts"], line["retries"]["failures"], line["hedge"]["result"]) == (3, ["503"], "lost")
        assert rig.p.retry_budget.left(10) == pytest.approx(10 - 1 + 0.2 - 1), "the hedge, and the retry"


async def next_of(*links: Link) -> Link:
    """The one of ``links`` on which the next request comes."""
    reading = {asyncio.ensure_future(link.request()): link for link in links}
    done, left = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return reading[done.pop()]


async def test_two_failures_go_to_the_fallback(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        fallback = Fallback((), ((429, 429),), response=FixedResponse(200, "instead", "text/plain"))
        rig = await gateway_for(upstream, proxies=(over(one, other, fallback=fallback),))
        client = await asked(rig)
        for link in (await arrived(one), await arrived(other)):
            await link.send(answer(b"no", status=429, reason="Slow down"))
        assert (await client.response()).body == b"instead"
        line = await rig.log.last()
        assert (line["attempts"], line["fallback"]["cause"], line["hedge"]["result"]) == (2, "429", "lost")


async def test_a_stream_that_stalls_before_its_first_event_has_not_won(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with two() as (one, other):
        settings = {
            "retries": Retries(2, ("stall",), backoff=Backoff(0.0, 0.0)),
            "stream": Stream(first_event=0.2),
            "max_concurrent": 2,
        }
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        client = await asked(rig)
        loser, stalls = await arrived(one), await arrived(other)
        await stalls.send(EVENTS)
        await cut_in_time(loser)
        third = await arrived(one)
        await third.send(EVENTS, chunk(b"data: a\n\n"), LAST_CHUNK)
        assert (await client.response()).body == b"data: a\n\n"
        line = await rig.log.last()
        assert (line["attempts"], line["retries"]["failures"], line["hedge"]["result"]) == (3, ["stall"], "lost")
        assert cells(rig) == {"lost": 1}


async def test_a_response_that_does_not_fit_behind_comments_is_broken_off(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """That the other attempt is cut does not keep it: what does not end is not awaited."""
    async with two() as (one, other):
        settings = {"max_concurrent": 2, "queue": Queue(9, 30.0, comments=0.05), "hedge": Hedge(0.1)}
        rig = await gateway_for(upstream, proxies=(over(one, other, **settings),))
        held = [await asked(rig, request(method="POST")) for _ in range(2)]
        links = await arrived(one), await arrived(other)
        client = await asked(rig, request("/", "Accept: text/event-stream"))
        await client.until(b": queued position=1")
        for link, caller in zip(links, held, strict=True):
            await link.send(OK)
            assert (await caller.response()).status == 200
        for link in links:
            await link.request()
        loser, winner = links
        await winner.send(head("Content-Type: text/html", "Transfer-Encoding: chunked"), chunk(b"begun"))
        await cut_in_time(loser)
        await asyncio.wait_for(client.until(b"no_event_stream"), 1.0)


# -- the measured time


async def test_after_p95_nothing_is_hedged_until_enough_is_known(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (one, other):
        rig = await gateway_for(upstream, proxies=(over(one, other, hedge=Hedge("p95")),))
        for endpoint in (one, other):
            endpoint.behaviour = each_request(lambda _: OK)
        for count in range(1, LEAST_SAMPLES + 1):
            assert rig.p.latency.quantile() == 0.0
            assert (await rig.ask()).status == 200
            await rig.log.last(count)
        shown = rig.gateway.explain("p")["hedge"]
        assert (shown["after"], shown["samples"]) == ("p95", LEAST_SAMPLES)
        assert 0.0 < shown["measured"] < 1.0
        for endpoint in (one, other):
            endpoint.behaviour = None
        await rig.change(hedge=Hedge("p95", methods="safe"))
        assert rig.p.latency.samples == LEAST_SAMPLES, "a reload forgets nothing"


async def test_a_request_slower_than_p95_gets_a_second_attempt(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """What the first attempt had taken by then is counted, although it was cut: else the slow ones would be missing."""
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast, hedge=Hedge("p95")),))
        for _ in range(LEAST_SAMPLES):
            rig.p.latency.note(0.02)
        client = await asked(rig)
        loser, winner = await arrived(slow), await arrived(fast)
        await winner.send(OK)
        await cut_in_time(loser)
        assert (await client.response()).status == 200
        assert (await rig.log.last())["hedge"]["after_ms"] > 15
        assert rig.p.latency.samples == LEAST_SAMPLES + 1


def slowly(seconds: float) -> Behaviour:
    """Each response takes so long."""

    async def serve(link: Link) -> None:
        while True:
            await link.request()
            await asyncio.sleep(seconds)
            await link.send(OK)

    return serve
