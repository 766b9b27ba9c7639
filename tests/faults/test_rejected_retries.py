"""A retry that a protection rejects before anything is sent counts as none: the caller gets what the attempt before it
has brought, and not the rejection."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest
from faults.test_endpoints import explained, several
from faults.test_fallback import counted
from faults.test_upstream_rates import DAY
from harness.answers import LAST_CHUNK, OK, answer, chunk, each_request, head
from harness.client import code_of, request
from harness.message import Message
from harness.patience import eventually
from harness.records import proxy
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream, refused_url

from gateway.admin.explanations import explained as explained_line
from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Endpoint, Hedge, Queue, RateLimit, Retries
from gateway.errors import GatewayError
from gateway.policy.breaker_store import State
from gateway.policy.member import DRAINED
from gateway.proxy.discard import MOST_BYTES
from gateway.wire.buffers import BUFFER_SIZE

ONE = (RateLimit("all", 1.0, per=DAY, fields="never"),)
BREAKS = CircuitBreaker(enabled=True, failure_threshold=1, recovery_timeout=3600.0)
BUSY = answer(b"busy", "X-Why: full", status=503, reason="Busy")
LATER = Backoff(60.0, 60.0)
AT_ONCE = Backoff(0.0, 0.0)


def retries(*on: str, attempts: int = 3, **changes: Any) -> Retries:
    return replace(Retries(attempts, on or ("503",), backoff=AT_ONCE), **changes)


async def as_it_was(rig: Rig, response: Message, withheld: str, *, count: int = 1) -> dict[str, Any]:
    """The response is that of the only attempt, and the log says what rejected the retry; the line."""
    assert (response.status, response.body, response.get("x-why")) == (503, b"busy", b"full")
    assert response.get("x-gateway-reason") is None
    line: dict[str, Any] = await rig.log.last(count)
    assert (line["status_code"], line["reason"], line["attempts"]) == (503, "", 1)
    assert line["retries"] == {"failures": [], "withheld": withheld, "shadow": ""}
    assert line["bytes_out"] == len(b"busy")
    return line


def left(rig: Rig) -> float:
    """Tokens in the budget of the retries."""
    budget: float = rig.p.retry_budget.left(10.0)
    return budget


# -- what rejects it


async def test_no_token_of_the_rate_limits(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries())
    line = await as_it_was(rig, await rig.ask(), "rate_limit")
    sentence = explained_line(line)["sentence"]
    assert sentence.endswith("; no retry followed, because the rate limits of its upstream had no token left")
    assert len(upstream.requests) == 1
    assert left(rig) == 10.0, "the token of the budget is given back"
    text = counted(rig)
    assert 'gateway_retries_withheld_total{proxy="p",cause="rate_limit"} 1\n' in text
    assert 'gateway_retries_total{proxy="p",reason="status"}' not in text
    first = await rig.ask()
    assert (first.status, code_of(first)) == (429, "rate_limit"), "that of a first attempt is for its caller"


async def test_the_second_retry_is_rejected_after_the_first_one_was_made(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    bodies = [b"one", b"two"]
    upstream.behaviour = each_request(lambda _: answer(bodies.pop(0), status=503))
    rig = await gateway_for(upstream, upstream_rates=(replace(ONE[0], rate=2.0),), retries=retries())
    response = await rig.ask()
    assert (response.status, response.body) == (503, b"two"), "that of the newest attempt"
    line = await rig.log.last()
    assert (line["attempts"], line["retries"]) == (2, {"failures": ["503"], "withheld": "rate_limit", "shadow": ""})
    assert left(rig) == 9.0


@pytest.mark.parametrize(("on", "code"), [("connect", "dial_failed"), ("reset", "upstream_reset")])
async def test_the_failure_of_the_attempt_before_stands_where_it_had_no_response(
    gateway_for: GatewayFor, upstream: Upstream, on: str, code: str
) -> None:
    async def close(link: Link) -> None:
        await link.request()
        link.close()

    upstream.behaviour = close
    url = refused_url() if on == "connect" else upstream.url
    rig = await gateway_for(url, upstream_rates=ONE, retries=retries(on))
    response = await rig.ask()
    assert (response.status, code_of(response)) == (502, code)
    line = await rig.log.last()
    assert (line["reason"], line["attempts"], line["retries"]["withheld"]) == (code, 1, "rate_limit")
    assert line["retries"]["failures"] == []


async def test_an_error_after_a_response_stands_for_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """What stands is what the newest attempt has brought, also where that is less."""

    async def busy_then_gone(link: Link) -> None:
        await link.request()
        if upstream.accepted == 1:
            await link.send(answer(b"busy", "Connection: close", status=503))
        link.close()

    upstream.behaviour = busy_then_gone
    rates = (replace(ONE[0], rate=2.0),)
    rig = await gateway_for(upstream, upstream_rates=rates, retries=retries("503", "reset"))
    assert code_of(await rig.ask()) == "upstream_reset"
    line = await rig.log.last()
    assert (line["attempts"], line["retries"]["failures"], line["retries"]["withheld"]) == (2, ["503"], "rate_limit")


@pytest.mark.parametrize("scope", ["endpoint", "upstream", "both"])
async def test_a_breaker_that_the_failure_itself_opens(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await gateway_for(upstream, circuit_breaker=replace(BREAKS, scope=scope), retries=retries())
    line = await as_it_was(rig, await rig.ask(), "breaker")
    assert line["circuit_state"] == "open", "that it met last"
    assert code_of(await rig.ask()) == "breaker_open"
    assert len(upstream.requests) == 1


@pytest.mark.plain
async def test_the_breaker_of_several_endpoints_is_named(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    breaker = replace(BREAKS, failure_threshold=2, scope="upstream")
    async with Upstream(each_request(lambda _: BUSY)) as other:
        endpoints = (Endpoint(upstream.url), Endpoint(other.url))
        rig = await gateway_for(upstream, endpoints=endpoints, circuit_breaker=breaker, retries=retries())
        response = await rig.ask()
        assert (response.status, response.body) == (503, b"busy")
        line = await rig.log.last()
        assert (line["attempts"], line["breaker"], line["retries"]["withheld"]) == (2, "upstream", "breaker")


@pytest.mark.plain
async def test_the_breakers_of_all_endpoints(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    async with Upstream(each_request(lambda _: BUSY)) as other:
        endpoints = (Endpoint(upstream.url), Endpoint(other.url))
        rig = await gateway_for(upstream, endpoints=endpoints, circuit_breaker=BREAKS, retries=retries(attempts=4))
        assert (await rig.ask()).status == 503
        line = await rig.log.last()
        assert (line["reason"], line["attempts"]) == ("", 2)
        assert line["retries"] == {"failures": ["503"], "withheld": "breaker", "shadow": ""}
        assert [explained(rig)[each.url]["breaker"] for each in (upstream, other)] == ["open", "open"]


def kept_frames() -> list[GatewayError]:
    """Errors that have frames: they wait for the garbage collector, or other tests keep them."""
    return [each for each in gc.get_objects() if type(each) is GatewayError and each.__traceback__ is not None]


@pytest.mark.plain
@pytest.mark.parametrize("falls_back", [False, True])
async def test_what_rejects_it_leaves_no_garbage(gateway_for: GatewayFor, upstream: Upstream, falls_back: bool) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    async with Upstream(each_request(lambda _: BUSY)) as other:
        endpoints = (Endpoint(upstream.url), Endpoint(other.url))
        settings: dict[str, Any] = {"endpoints": endpoints, "circuit_breaker": BREAKS}
        first = proxy_to(upstream, retries=retries(attempts=4), **settings)
        if falls_back:
            first = proxy_to(upstream, fallback=Fallback((), ((503, 503),), "spare"))
        spare = proxy("spare", "/spare", upstream.url, access_rule="true", timeouts=TIMEOUTS).having(**settings)
        rig = await gateway_for("", proxies=(first, spare))
        for _ in endpoints if falls_back else ():
            assert (await rig.ask("/spare")).status == 503
        gc.collect()
        known = kept_frames()
        gc.disable()
        try:
            assert (await rig.ask()).body == b"busy"
            line = await rig.log.last(3 if falls_back else 1)
            assert line["fallback" if falls_back else "retries"]["withheld"] == "breaker"
            assert [str(each) for each in kept_frames() if not any(each is one for one in known)] == []
        finally:
            gc.enable()


@pytest.mark.plain
async def test_a_breaker_that_another_request_opens_in_the_pause(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: BUSY)
    breaker = replace(BREAKS, failure_threshold=2)
    rig = await gateway_for(upstream, circuit_breaker=breaker, retries=retries(backoff=Backoff(0.4, 0.4)))
    waiting = asyncio.create_task(rig.ask("/first"))
    await eventually(lambda: any(ex.retries is not None and ex.retries.waiting for ex in rig.gateway.server.running()))
    rig.p.endpoints[0].breaker.force(State.OPEN)
    await as_it_was(rig, await waiting, "breaker")


@pytest.mark.plain
async def test_endpoints_that_are_drained_in_the_pause(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(each_request(lambda _: BUSY), each_request(lambda _: BUSY)) as two:
        endpoints = tuple(Endpoint(each.url) for each in two)
        rig = await gateway_for(upstream, endpoints=endpoints, retries=retries(backoff=Backoff(0.4, 0.4)))
        waiting = asyncio.create_task(rig.ask())
        await eventually(
            lambda: any(ex.retries is not None and ex.retries.waiting for ex in rig.gateway.server.running())
        )
        for each in rig.p.endpoints:
            each.member.set(DRAINED, on=True)
        await as_it_was(rig, await waiting, "health")


@pytest.mark.plain
async def test_a_permit_is_never_missing_because_it_is_kept(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The limit has one permit, another request waits for it, and the retry goes first."""
    served: list[bytes] = []

    def respond(message: Message) -> bytes:
        served.append(message.start.split()[1])
        return BUSY if served == [b"/first"] else OK

    upstream.behaviour = each_request(respond)
    rig = await gateway_for(
        upstream, max_concurrent=1, queue=Queue(5, 3600.0), retries=retries(backoff=Backoff(0.3, 0.3))
    )
    first = asyncio.create_task(rig.ask("/first"))
    await eventually(lambda: any(ex.retries is not None and ex.retries.waiting for ex in rig.gateway.server.running()))
    second = asyncio.create_task(rig.ask("/second"))
    await eventually(lambda: rig.p.limiter.waiting == 1, "the second one waits")
    assert [(await first).status, (await second).status] == [200, 200]
    assert served == [b"/first", b"/first", b"/second"]


@pytest.mark.plain
async def test_the_response_of_a_hedge_is_given_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Two attempts run beside each other, both fail, and there is no token for the retry."""
    async with several(None, None) as (one, two):
        endpoints = (Endpoint(one.url), Endpoint(two.url))
        rig = await gateway_for(
            upstream,
            endpoints=endpoints,
            balance="round_robin",
            upstream_rates=(replace(ONE[0], rate=2.0),),
            hedge=Hedge(0.01),
            retries=retries(),
        )
        asking = asyncio.create_task(rig.ask())
        first, second = await one.link(), await two.link()
        await first.request()
        await second.request()
        await second.send(answer(b"lost", status=503))
        await eventually(lambda: rig.gateway.exchanges == 1 and one.accepted + two.accepted == 2)
        (running,) = rig.gateway.server.running()
        await eventually(lambda: running.hedge is not None and len(running.hedge.carriers) == 1, "one runs")
        await first.send(BUSY)
        response = await asking
        assert (response.status, response.body, response.get("x-why")) == (503, b"busy", b"full")
        line = await rig.log.last()
        assert (line["attempts"], line["reason"], line["retries"]["withheld"]) == (2, "", "rate_limit")
        assert line["hedge"]["result"] == "lost"


# -- what is given


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (answer(b"busy", status=503), b"busy"),
        (answer(b"", status=503), b""),
        (head("Transfer-Encoding: chunked", status=503) + chunk(b"bu") + chunk(b"sy") + LAST_CHUNK, b"busy"),
        (head("Transfer-Encoding: chunked", status=503) + LAST_CHUNK, b""),
        (answer(b"x" * (MOST_BYTES - 1), status=503), b"x" * (MOST_BYTES - 1)),
        (answer(b"busy", "Connection: close", status=503), b"busy"),
    ],
    ids=["length", "empty", "chunks", "no chunk", "long", "close"],
)
async def test_the_body_is_whole_however_it_is_framed(
    gateway_for: GatewayFor, upstream: Upstream, raw: bytes, body: bytes
) -> None:
    upstream.behaviour = each_request(lambda _: raw)
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries())
    client = await rig.connect()
    response = await client.ask()
    assert (response.status, response.body) == (503, body)
    assert (await client.ask()).status == 429, "the connection of the caller goes on"
    assert (await rig.log.wait(2))[0]["bytes_out"] == len(body)


async def test_a_body_that_comes_in_pieces_and_ends_with_its_connection(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries())
    asking = asyncio.create_task(rig.ask())
    link = await upstream.link()
    await link.request()
    await link.send(head("X-Why: full", "Connection: close", status=503) + b"bu")
    await link.send(b"sy")
    link.close()
    await as_it_was(rig, await asking, "rate_limit")


@pytest.mark.plain
async def test_trailers_follow(gateway_for: GatewayFor, upstream: Upstream) -> None:
    chunks = head("Transfer-Encoding: chunked", status=503) + chunk(b"busy") + b"0\r\nX-Sum: 4\r\n\r\n"
    upstream.behaviour = each_request(lambda _: chunks)
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries())
    response = await rig.ask("/", "TE: trailers")
    assert (response.body, [line.lower() for line in response.trailers]) == (b"busy", [b"x-sum: 4"])


async def test_a_response_to_head_has_no_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: head("Content-Length: 4", "X-Why: full", status=503))
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries())
    response = await rig.ask(method="HEAD")
    assert (response.status, response.body, response.get("x-why")) == (503, b"", b"full")


@pytest.mark.plain
async def test_the_timing_is_that_of_the_attempt(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Its connection may serve another request by then."""
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await gateway_for(upstream, upstream_rates=ONE, retries=retries(), server_timing=True)
    response = await rig.ask()
    timing = response.get("server-timing")
    assert timing is not None
    assert b"gw-first-byte;dur=" in timing
    line = await as_it_was(rig, response, "rate_limit")
    assert line["upstream_latency_ms"] > 0


@pytest.mark.plain
async def test_what_is_too_long_to_be_kept_is_lost(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: answer(bytes(MOST_BYTES + 1), status=503))
    rig = await gateway_for(upstream, circuit_breaker=BREAKS, retries=retries())
    assert code_of(await rig.ask()) == "breaker_open"


@pytest.mark.plain
async def test_what_finds_no_room_is_lost(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await gateway_for(upstream, circuit_breaker=BREAKS, retries=retries())
    taken = rig.gateway.buffers.capacity * BUFFER_SIZE - 3
    assert rig.gateway.buffers.keep(taken)
    assert code_of(await rig.ask()) == "breaker_open"
    assert rig.gateway.buffers.kept == taken
    rig.gateway.buffers.let_go(taken)


@pytest.mark.plain
async def test_nothing_is_kept_of_a_caller_who_leaves_in_the_pause(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    rig = await gateway_for(upstream, retries=retries(backoff=LATER))
    client = await rig.connect()
    await client.send(request())
    await eventually(lambda: any(ex.retries is not None and ex.retries.waiting for ex in rig.gateway.server.running()))
    assert rig.gateway.buffers.kept == len(b"busy")
    client.close()
    await eventually(lambda: rig.gateway.exchanges == 0)
    assert rig.gateway.buffers.kept == 0


# -- with a fallback


@pytest.mark.plain
async def test_what_the_fallback_lists_is_left_to_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    spare = FixedResponse(200, "spare")
    for fallback in (Fallback(("breaker",), response=spare), Fallback((), ((503, 503),), response=spare)):
        rig = await gateway_for(upstream, circuit_breaker=BREAKS, retries=retries(), fallback=fallback)
        response = await rig.ask()
        assert (response.status, response.body) == (200, b"spare")
        assert (await rig.log.last())["fallback"]["cause"] == ("breaker" if fallback.on else "503")
    rig = await gateway_for(
        upstream, circuit_breaker=BREAKS, retries=retries(), fallback=Fallback(("queue",), response=FixedResponse(200))
    )
    await as_it_was(rig, await rig.ask(), "breaker")


@pytest.mark.plain
async def test_the_upstream_of_a_fallback_has_no_fallback(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: BUSY)
    spare = proxy("spare", "/spare", upstream.url, access_rule="true", timeouts=TIMEOUTS, circuit_breaker=BREAKS)
    rig = await gateway_for(
        "",
        proxies=(
            proxy("p", "/", refused_url(), access_rule="true", timeouts=TIMEOUTS).having(
                retries=retries(), fallback=Fallback(("connect", "breaker"), upstream="spare")
            ),
            spare,
        ),
    )
    response = await rig.ask()
    assert (response.status, response.body) == (503, b"busy")
    line = await rig.log.last()
    assert (line["fallback"]["cause"], line["retries"]["withheld"]) == ("connect", "breaker")
