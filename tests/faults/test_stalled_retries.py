"""A stream of events that stalls or breaks before its first event is tried again elsewhere; after it, never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness.answers import OK, chunk, head
from harness.client import Client, code_of, request
from harness.message import Truncated
from harness.patience import eventually
from harness.records import Proxied, proxy
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Ejection, Endpoint, Hedge, Queue, Retries, Stream, Timeouts
from gateway.control.metrics.exposition import Exposition
from gateway.proxy.held_head import HELD_BYTES

pytestmark = pytest.mark.protocols

SHORT, LONG = 0.2, 30.0
EVENTS = head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
COMMENT, DATA, LAST = chunk(b": keepalive\n\n"), chunk(b"data: a\n\n"), b"0\r\n\r\n"
WATCHED = Stream(first_event=SHORT)
PATIENT = Stream(first_event=LONG)
BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
STALLS = Retries(2, ("stall", "reset"), backoff=Backoff(0.0, 0.0))


@pytest.fixture
async def other(upstream_class: type[Upstream]) -> AsyncIterator[Upstream]:
    """The second endpoint."""
    async with upstream_class() as made:
        yield made


async def rig_of(gateway_for: GatewayFor, *endpoints: Upstream, **settings: Any) -> Rig:
    """``p`` with these endpoints, which get requests in turn."""
    settings = {"retries": STALLS, "stream": WATCHED, "circuit_breaker": BREAKER, "balance": "round_robin"} | settings
    first = proxy_to(endpoints[0])
    found = tuple(Endpoint(each.url) for each in endpoints)
    proxied = Proxied(first.route, replace(first.upstream, endpoints=found)).having(**settings)
    return await gateway_for("", proxies=(proxied,))


async def asked(rig: Rig, *parts: bytes) -> Client:
    client = await rig.connect()
    await client.send(*(parts or (request(),)))
    return client


async def begun(upstream: Upstream, *data: bytes) -> Link:
    """The next connection, on which a request has come and got so much of a response."""
    link = await upstream.link()
    await link.head()
    await link.send(*data)
    return link


async def first_of(*upstreams: Upstream) -> tuple[Upstream, Upstream]:
    """The one that was asked first, and the other."""
    await eventually(lambda: any(each.accepted for each in upstreams), "a connection")
    one, two = upstreams
    return (one, two) if one.accepted else (two, one)


@asynccontextmanager
async def commenting(link: Link) -> AsyncIterator[None]:
    """Comments go on until the gateway has ended the connection."""

    async def send() -> None:
        while True:
            await link.send(COMMENT)
            await asyncio.sleep(SHORT / 10)

    sending = asyncio.create_task(send())
    try:
        await link.gone()
        yield
    finally:
        sending.cancel()


async def test_a_stall_before_the_first_event_goes_to_another_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other)
    client = await asked(rig)
    hung, good = await first_of(upstream, other)
    async with commenting(await begun(hung, EVENTS)):
        await begun(good, EVENTS, COMMENT, DATA, LAST)
        response = await client.response()
    assert (response.status, response.body) == (200, b": keepalive\n\ndata: a\n\n")
    line = await rig.log.last(1)
    assert line["retries"] == {"failures": ["stall"], "withheld": "", "shadow": ""}
    assert (line["upstream"], line["attempts"], line["reason"]) == (f"127.0.0.1:{good.port}", 2, "")
    assert line["events"]["count"] == 1
    failures = [each.breaker.failures for each in rig.p.endpoints if each.breaker is not None]
    assert sorted(failures) == [0, 1], "the stalled attempt is a failure of its endpoint"
    rig.gateway.sample()
    counted = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'gateway_retries_total{proxy="p",reason="stall"} 1\n' in counted


async def test_a_break_before_the_first_event_goes_to_another_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=PATIENT)
    client = await asked(rig)
    broken, good = await first_of(upstream, other)
    (await begun(broken, EVENTS, COMMENT)).close()
    await begun(good, EVENTS, DATA, LAST)
    assert (await client.response()).body == b"data: a\n\n"
    assert (await rig.log.last(1))["retries"]["failures"] == ["reset"]


async def test_a_break_that_is_not_listed_is_an_error_response(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=PATIENT, retries=replace(STALLS, on=("stall",)))
    client = await asked(rig)
    broken, good = await first_of(upstream, other)
    (await begun(broken, EVENTS, COMMENT)).close()
    response = await client.response()
    assert (response.status, code_of(response), good.accepted) == (502, "upstream_reset", 0)


@pytest.mark.parametrize("ends", ["stall", "break"])
async def test_nothing_is_tried_again_after_the_first_event(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream, ends: str
) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=Stream(first_event=SHORT, event_gap=SHORT))
    client = await asked(rig)
    hung, good = await first_of(upstream, other)
    link = await begun(hung, EVENTS, DATA)
    await client.until(b"data: a\n\n")
    if ends == "break":
        link.close()
    with pytest.raises(Truncated):
        await client.response()
    line = await rig.log.last(1)
    assert (line["status_code"], line["attempts"], good.accepted) == (200, 1, 0)
    assert line["reason"] == ("stream_stalled" if ends == "stall" else "upstream_reset")
    assert "retries" not in line


async def test_the_head_comes_with_the_first_event_and_before_the_second(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=PATIENT)
    client = await asked(rig)
    one, _ = await first_of(upstream, other)
    link = await begun(one, EVENTS, COMMENT)
    await client.silence()
    await link.send(DATA)
    await client.until(b": keepalive\n\n")
    await client.until(b"data: a\n\n")
    await link.send(chunk(b"data: b\n\n"))
    await client.until(b"data: b\n\n")
    await link.send(LAST)


async def test_a_stream_without_events_is_a_response_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream)
    client = await asked(rig)
    link = await begun(upstream, EVENTS, COMMENT, LAST)
    response = await client.response()
    assert (response.status, response.body) == (200, b": keepalive\n\n")
    await client.send(request())
    await link.head()
    await link.send(OK)
    assert (await client.response()).body == b"ok", "both connections go on"


async def test_more_than_is_held_comes_through(gateway_for: GatewayFor, upstream: Upstream, other: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, other)
    client = await asked(rig)
    hung, good = await first_of(upstream, other)
    filler = b": " + b"x" * HELD_BYTES + b"\n\n"
    await begun(hung, EVENTS, chunk(filler))
    await client.until(b"x" * 100)
    with pytest.raises(Truncated):
        await client.response()
    assert ((await rig.log.last(1))["reason"], good.accepted) == ("stream_stalled", 0)


async def test_a_body_is_sent_again_and_a_post_only_where_that_is_allowed(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other)
    post = request("/", method="POST", body=b"prompt")
    client = await asked(rig, post)
    hung, good = await first_of(upstream, other)
    async with commenting(await begun(hung, EVENTS)):
        response = await client.response()
    assert (response.status, code_of(response), good.accepted) == (504, "stream_stalled", 0)
    assert (await rig.log.last(1))["retries"]["withheld"] == "method"

    client = await asked(rig, request("/", "Idempotency-Key: 7", method="POST", body=b"prompt"))
    link = await good.link()
    first = await link.request()
    await link.send(EVENTS)
    async with commenting(link):
        link = await hung.link()
        again = await link.request()
        await link.send(EVENTS, DATA, LAST)
        assert (await client.response()).body == b"data: a\n\n"
    assert first.body == again.body == b"prompt"


async def test_the_last_attempt_fails_with_a_status(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=Stream(SHORT, 0.0, "error_event"))
    client = await asked(rig)
    first, second = await first_of(upstream, other)
    async with commenting(await begun(first, EVENTS)), commenting(await begun(second, EVENTS)):
        response = await client.response()
    assert (response.status, code_of(response)) == (504, "stream_stalled")
    assert (await rig.log.last(1))["retries"] == {"failures": ["stall"], "withheld": "attempts", "shadow": ""}


async def test_the_deadline_of_a_held_stream_is_an_error_response(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, stream=PATIENT, timeouts=Timeouts(total=SHORT))
    client = await asked(rig)
    await begun(upstream, EVENTS, COMMENT)
    assert code_of(await client.response()) == "total_timeout"


async def test_a_caller_who_leaves_a_held_stream_ends_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, stream=PATIENT)
    client = await asked(rig)
    link = await begun(upstream, EVENTS, COMMENT)
    client.close()
    await link.gone()
    line = await rig.log.last(1)
    assert (line["status_code"], line["reason"], rig.p.endpoints[0].breaker.failures) == (499, "client_gone", 0)


async def test_stalls_eject_an_endpoint(gateway_for: GatewayFor, upstream: Upstream, other: Upstream) -> None:
    ejection = Ejection(True, consecutive_failures=1, base_time=3600, max_time=3600)
    rig = await rig_of(gateway_for, upstream, other, ejection=ejection)
    client = await asked(rig)
    hung, good = await first_of(upstream, other)
    async with commenting(await begun(hung, EVENTS)):
        link = await begun(good, EVENTS, DATA, LAST)
        await client.response()
    for _ in range(3):
        await client.send(request())
        await link.head()
        await link.send(OK)
        assert (await client.response()).body == b"ok"
    assert hung.accepted == 1


# -- a fallback


async def test_a_fallback_takes_over_from_a_stall(gateway_for: GatewayFor, upstream: Upstream) -> None:
    busy = Fallback(("stall",), response=FixedResponse(503, "busy"))
    rig = await rig_of(gateway_for, upstream, retries=Retries(), fallback=busy)
    client = await asked(rig)
    async with commenting(await begun(upstream, EVENTS)):
        response = await client.response()
    assert (response.status, response.body, response.get("x-gateway-fallback")) == (503, b"busy", b"stall")
    line = await rig.log.last(1)
    assert (line["fallback"]["cause"], line["fallback"]["reason"]) == ("stall", "stream_stalled")


@pytest.mark.plain
async def test_a_stall_that_stands_says_what_its_events_were(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The upstream of the fallback rejects the request, so the line is that of the first one."""
    drained = (Endpoint("http://127.0.0.1:1", drain=True),)
    spare = proxy("spare", "/spare", "http://127.0.0.1:1", access_rule="true").having(endpoints=drained)
    first = proxy_to(upstream, stream=WATCHED, fallback=Fallback(("stall",), upstream="spare"))
    rig = await gateway_for("", proxies=(first, spare))
    client = await asked(rig)
    async with commenting(await begun(upstream, EVENTS)):
        assert code_of(await client.response()) == "stream_stalled"
    line = await rig.log.last(1)
    assert (line["fallback"]["withheld"], line["events"]["count"]) == ("health", 0)


# -- who does not pay for it


@pytest.mark.parametrize(
    "changes",
    [
        {"retries": replace(STALLS, on=("reset",))},
        {"retries": Retries()},
        {"retries": replace(STALLS, mode="shadow")},
        {"stream": Stream(first_event=LONG, mode="shadow")},
    ],
    ids=["reset", "none", "shadow", "stream-in-shadow"],
)
async def test_others_get_the_head_at_once(
    gateway_for: GatewayFor, upstream: Upstream, changes: dict[str, Any]
) -> None:
    rig = await rig_of(gateway_for, upstream, **({"stream": PATIENT} | changes))
    client = await asked(rig)
    link = await begun(upstream, EVENTS)
    assert b"text/event-stream" in await client.until(b"\r\n\r\n")
    await link.send(DATA)
    assert b"data: a\n\n" in await client.until(b"data: a\n\n")
    await link.send(LAST)


async def test_shadow_mode_counts_the_retry_that_it_would_make(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, retries=replace(STALLS, mode="shadow"))
    client = await asked(rig)
    async with commenting(await begun(upstream, EVENTS)):
        with pytest.raises(Truncated):
            await client.response()
    line = await rig.log.last(1)
    assert (line["reason"], line["retries"]) == (
        "stream_stalled",
        {"failures": [], "withheld": "", "shadow": "stall"},
    )


# -- beside hedges


async def test_the_stream_of_a_hedge_is_held_too(gateway_for: GatewayFor, upstream: Upstream, other: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, other, stream=PATIENT, hedge=Hedge(after=SHORT))
    client = await asked(rig)
    silent, fast = await first_of(upstream, other)
    held = await begun(silent)
    link = await begun(fast, EVENTS, COMMENT)
    await held.gone()
    await client.silence()
    await link.send(DATA, LAST)
    assert (await client.response()).body == b": keepalive\n\ndata: a\n\n"
    line = await rig.log.last(1)
    assert (line["reason"], line["events"]["count"], line["upstream"]) == ("", 1, f"127.0.0.1:{fast.port}")


async def test_a_hedge_that_wins_and_stalls_is_tried_again(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, other, hedge=Hedge(after=SHORT))
    client = await asked(rig, request("/", method="PUT", body=b"prompt"))
    silent, hung = await first_of(upstream, other)
    held = await begun(silent)
    async with commenting(await begun(hung, EVENTS)):
        await held.gone()
        link = await silent.link()
        assert (await link.request()).body == b"prompt"
        await link.send(EVENTS, DATA, LAST)
        assert (await client.response()).body == b"data: a\n\n"
    assert (await rig.log.last(1))["retries"]["failures"] == ["stall"]


async def test_comments_of_the_queue_stand_before_the_stream_of_a_hedge(
    gateway_for: GatewayFor, upstream: Upstream, other: Upstream
) -> None:
    settings = {"max_concurrent": 2, "queue": Queue(9, LONG, comments=SHORT), "retries": Retries()}
    rig = await rig_of(gateway_for, upstream, other, hedge=Hedge(after=SHORT), **settings)
    holders = [await asked(rig, request("/holds", method="POST")) for _ in range(2)]
    links = [await begun(upstream), await begun(other)]
    client = await asked(rig, request("/", "Accept: text/event-stream"))
    await client.holds(b": queued position=1\n\n")
    for link, holder in zip(links, holders, strict=True):
        await link.send(OK)
        await holder.response()
    heads = [await link.head() for link in links]  # of both attempts, on kept connections
    assert {each.target for each in heads} == {b"/"}
    await links[1].send(EVENTS, DATA, LAST)
    assert (await client.response()).body.endswith(b"position=1\n\ndata: a\n\n")
