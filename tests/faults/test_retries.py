"""A request that has failed is sent again where its proxy says so, as often as the budget allows, and never twice by
mistake."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from time import monotonic, time
from typing import Any

import pytest
from harness.answers import LAST_CHUNK, OK, answer, chunk, each_request, head
from harness.client import code_of, request
from harness.message import Message
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import BlackHole, Link, Upstream, refused_url

from gateway.config.records import Backoff, CircuitBreaker, Ejection, Endpoint, Limits, Retries

AT_ONCE = Backoff(0.0, 0.0)
BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
BUSY = answer(b"busy", status=503, reason="Service Unavailable")


def retries(*on: str, attempts: int = 2, **changes: Any) -> Retries:
    return replace(Retries(attempts, on, backoff=AT_ONCE), **changes)


async def begun(rig: Rig, upstream: Upstream, *parts: bytes) -> tuple[Any, Link]:
    """A client that has sent ``parts``, and the connection on which they go to the upstream."""
    client = await rig.connect()
    await client.send(*parts)
    return client, await upstream.link()


async def logged(rig: Rig, count: int = 1) -> dict[str, Any]:
    line: dict[str, Any] = await rig.log.last(count)
    return line


# -- each failure


async def test_a_status_is_hidden_and_its_connection_serves_the_next_attempt(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, retries=retries("503"), circuit_breaker=BREAKER)
    client, link = await begun(rig, upstream, request("/x?y", "X-A: 1"))
    first = await link.request()
    await link.send(BUSY)
    again = await link.request()
    assert (again.start, again.lines) == (first.start, first.lines)
    assert rig.p.endpoints[0].breaker.failures == 1, "the breaker sees the attempt that the caller does not"
    await link.send(OK)
    assert (await client.response()).body == b"ok"
    line = await logged(rig)
    assert (line["status_code"], line["attempts"], line["reused"], line["reason"]) == (200, 2, True, "")
    assert line["retries"] == {"failures": ["503"], "withheld": "", "shadow": ""}
    assert upstream.accepted == 1


async def test_other_statuses_pass(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(answer(b"no", status=502, reason="Bad"))
    assert ((await client.response()).status, len(link.requests)) == (502, 1)
    assert "retries" not in await logged(rig)


async def test_the_last_response_passes_as_it_is(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", attempts=3), circuit_breaker=BREAKER)
    upstream.behaviour = each_request(lambda _: answer(b"busy", "X-Why: full", status=503, reason="Busy"))
    response = await rig.ask()
    assert (response.status, response.body, response.get("x-why")) == (503, b"busy", b"full")
    assert len(upstream.requests) == 3
    assert rig.p.endpoints[0].breaker.failures == 3
    line = await logged(rig)
    assert (line["attempts"], line["retries"]["failures"], line["retries"]["withheld"]) == (3, ["503"] * 2, "attempts")


@pytest.mark.plain
async def test_a_refused_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Nothing was sent, so any method is sent again."""
    rig = await gateway_for(refused_url(), retries=retries("connect", attempts=3), circuit_breaker=BREAKER)
    response = await rig.ask(method="POST", body=b"abc")
    assert code_of(response) == "dial_failed"
    assert rig.p.endpoints[0].breaker.failures == 3
    line = await logged(rig)
    assert (line["attempts"], line["retries"]["failures"]) == (3, ["connect"] * 2)
    assert line["upstream_latency_ms"] is None


@pytest.mark.plain
async def test_a_connection_that_does_not_open_in_the_time_of_one_attempt(
    gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole
) -> None:
    rig = await gateway_for(black_hole, retries=retries("connect", per_try_timeout=0.05))
    response = await rig.ask()
    assert code_of(response) == "dial_timeout"
    assert (await logged(rig))["attempts"] == 2


async def test_a_reset_before_the_response(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("reset"), circuit_breaker=BREAKER)
    client, first = await begun(rig, upstream, request())
    await first.request()
    first.reset()
    second = await upstream.link()
    await second.request()
    await second.send(OK)
    assert (await client.response()).status == 200
    assert (await logged(rig))["retries"]["failures"] == ["reset"]
    assert rig.p.endpoints[0].breaker.failures == 0, "a success followed"


async def test_a_response_that_is_no_http_is_a_reset(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """As in the list of a fallback."""
    rig = await gateway_for(upstream, retries=retries("reset"))
    client, first = await begun(rig, upstream, request())
    await first.request()
    await first.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    second = await upstream.link()
    await second.request()
    await second.send(OK)
    assert (await client.response()).status == 200
    assert (await logged(rig))["retries"]["failures"] == ["reset"]


async def test_a_stale_connection_takes_nothing_of_the_budget(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("reset", burst=1, budget=0.001))
    client, first = await begun(rig, upstream, request())
    await first.request()
    await first.send(OK)
    await client.response()
    await client.send(request("/2"))
    await first.head()
    first.close()
    second = await upstream.link()
    await second.request()
    assert rig.p.retry_budget.left(1) == 1.0
    second.reset()  # a new connection that breaks is a failure
    third = await upstream.link()
    await third.request()
    await third.send(OK)
    assert (await client.response()).status == 200
    line = await logged(rig, 2)
    assert (line["attempts"], line["retries"]["failures"]) == (3, ["stale", "reset"])
    assert rig.p.retry_budget.left(1) < 1.0


async def test_no_response_in_the_time_of_one_attempt(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("timeout", per_try_timeout=0.1), circuit_breaker=BREAKER)
    client, first = await begun(rig, upstream, request())
    await first.request()
    second = await upstream.link()
    await first.gone()
    await second.request()
    await second.send(OK)
    assert (await client.response()).status == 200
    assert (await logged(rig))["retries"]["failures"] == ["timeout"]


async def test_the_time_of_one_attempt_ends_with_the_head(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("timeout", per_try_timeout=0.1))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(head("Content-Length: 4"), b"ab")
    await asyncio.sleep(0.15)  # longer than the attempt may take
    await link.send(b"cd")
    assert (await client.response()).body == b"abcd"


async def test_what_is_not_listed_fails_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", "timeout"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    link.reset()
    assert code_of(await client.response()) == "upstream_reset"
    assert upstream.accepted == 1


# -- which requests


@pytest.mark.parametrize(
    ("method", "line", "settings", "seen"),
    [
        ("POST", "X-A: 1", {}, 1),
        ("POST", "Idempotency-Key: k1", {}, 2),
        ("PATCH", "idempotency-key: k1", {}, 2),
        ("POST", "X-A: 1", {"methods": "all"}, 2),
        ("PUT", "X-A: 1", {}, 2),
    ],
)
async def test_a_request_that_could_be_acted_upon_twice(
    gateway_for: GatewayFor, upstream: Upstream, method: str, line: str, settings: dict[str, Any], seen: int
) -> None:
    rig = await gateway_for(upstream, retries=retries("503", **settings))
    upstream.behaviour = each_request(lambda _: BUSY)
    response = await rig.ask("/", line, method=method, body=b"body")
    assert (response.status, [each.body for each in upstream.requests]) == (503, [b"body"] * seen)
    line_ = await logged(rig)
    assert line_["retries"]["withheld"] == ("method" if seen == 1 else "attempts")
    assert line_["bytes_in"] == 4


async def test_head(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request(method="HEAD"))
    await link.request()
    await link.send(head("Content-Length: 0", status="503 Busy"))
    await link.request()
    await link.send(head("Content-Length: 0"))
    assert (await client.response("HEAD")).status == 200
    assert upstream.accepted == 1


async def test_nothing_is_sent_again_after_the_head(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("reset", "timeout", "503"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(head("Content-Length: 10"), b"half.")
    await client.until(b"half.")
    link.reset()
    await client.rest()
    line = await logged(rig)
    assert (line["attempts"], line["reason"], "retries" in line) == (1, "upstream_reset", False)


async def test_interim_responses_of_all_attempts_pass(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(head("Link: </a>", status="103 Early Hints"), BUSY)
    await link.request()
    await link.send(head("Link: </b>", status="103 Early Hints"), OK)
    found = [await client.response() for _ in range(3)]
    assert [each.status for each in found] == [103, 103, 200]


# -- time


async def test_a_retry_that_would_begin_past_the_deadline(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", max_retry_after=60), timeouts=replace(TIMEOUTS, total=5))
    upstream.behaviour = each_request(lambda _: answer(b"busy", "Retry-After: 6", status=503))
    response = await rig.ask()
    assert (response.status, response.get("retry-after")) == (503, b"6")
    assert (await logged(rig))["retries"] == {"failures": [], "withheld": "deadline", "shadow": ""}


async def test_the_deadline_ends_an_attempt(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"), timeouts=replace(TIMEOUTS, total=0.2))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(BUSY)
    await link.request()
    assert code_of(await client.response()) == "total_timeout"
    await link.gone()


@pytest.mark.parametrize(
    ("value", "withheld"),
    [
        (lambda: "30", "retry_after"),
        (lambda: formatdate(time() + 30, usegmt=True), "retry_after"),
        (lambda: formatdate(time() - 30, usegmt=True), "attempts"),
        (lambda: "0", "attempts"),
        (lambda: "soon", "attempts"),
    ],
)
async def test_how_long_the_upstream_wants_to_be_left_alone(
    gateway_for: GatewayFor, upstream: Upstream, value: Callable[[], str], withheld: str
) -> None:
    rig = await gateway_for(upstream, retries=retries("429"))
    upstream.behaviour = each_request(lambda _: answer(b"", f"Retry-After: {value()}", status=429))
    assert (await rig.ask()).status == 429
    assert (await logged(rig))["retries"]["withheld"] == withheld
    assert len(upstream.requests) == (1 if withheld == "retry_after" else 2)


async def test_a_retry_waits_as_long_as_the_upstream_asks(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """And the caller's permit is held all the while."""
    rig = await gateway_for(upstream, retries=retries("503"), max_concurrent=2)
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(answer(b"", "Retry-After: 1", status=503))
    sent = monotonic()
    await eventually(lambda: len(rig.gateway.explain("p")["active"]) == 1, "the exchange runs")
    await eventually(lambda: rig.gateway.explain("p")["active"][0]["phase"] == "retry", "it waits")
    assert rig.p.limiter.in_flight == 1
    await link.request()
    assert 0.9 < monotonic() - sent < 3.0
    await link.send(OK)
    assert (await client.response()).status == 200


async def test_a_caller_that_leaves_in_the_pause(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(answer(b"", "Retry-After: 2", status=503))
    await eventually(lambda: [a["phase"] for a in rig.gateway.explain("p")["active"]] == ["retry"], "it waits")
    client.close()
    await rig.settled()
    line = await logged(rig)
    assert (line["status_code"], line["reason"], line["attempts"]) == (499, "client_gone", 1)


async def test_a_caller_that_leaves_in_the_middle_of_its_upload(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """While it is held between two attempts, nothing is read from it."""
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request("/", "Content-Length: 8", method="PUT"), b"half")
    await link.until(b"half")
    await link.send(answer(b"", "Retry-After: 2", status=503))
    await eventually(lambda: [a["phase"] for a in rig.gateway.explain("p")["active"]] == ["retry"], "it waits")
    assert rig.gateway.buffers.kept == 4
    client.close()
    await rig.settled()
    line = await logged(rig)
    assert (line["status_code"], line["reason"], line["attempts"]) == (499, "client_gone", 1)
    assert upstream.accepted == 1


async def test_a_caller_whose_upload_is_too_large_gets_no_retry(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", "reset"), limits=Limits(max_body_bytes=10))
    client, link = await begun(rig, upstream, request("/", "Transfer-Encoding: chunked", method="PUT"), chunk(b"half"))
    await link.until(b"half")
    await client.send(chunk(b"x" * 7))
    assert code_of(await client.response()) == "body_too_large"
    await link.gone()
    assert upstream.accepted == 1


async def test_a_body_in_several_pieces_is_sent_thrice(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Each attempt is cut at another place of the body, which is larger than a buffer of the gateway."""
    body = bytes(range(256)) * 200
    rig = await gateway_for(upstream, retries=retries("reset", attempts=4))
    client = await rig.connect()
    await client.send(request("/", f"Content-Length: {len(body)}", method="PUT"))
    for before, cut in ((0, 1), (1, 20_000), (20_000, 50_000)):
        link = await upstream.link()
        await link.head()
        await client.send(body[before:cut])
        assert await link.exactly(cut) == body[:cut]
        link.reset()
    last = await upstream.link()
    await client.send(body[50_000:])
    assert (await last.request()).body == body
    await last.send(OK)
    assert (await client.response()).status == 200
    line = await logged(rig)
    assert (line["attempts"], line["bytes_in"]) == (4, len(body))


# -- the budget


async def test_no_more_than_the_budget(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", attempts=5, burst=3, budget=0.25))
    upstream.behaviour = each_request(lambda _: BUSY)
    client = await rig.connect()
    for _ in range(40):
        assert (await client.ask()).body == b"busy"
    assert len(upstream.requests) == 40 + 3 + 9, "a deposit into a full bucket is lost"
    assert (await logged(rig, 40))["retries"]["withheld"] == "budget"


async def test_shadow_mode_counts_and_sends_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503", mode="shadow", burst=1, budget=0.001))
    upstream.behaviour = each_request(lambda _: BUSY)
    for _ in range(2):
        assert (await rig.ask(method="PUT", body=b"abc")).body == b"busy"
    assert len(upstream.requests) == 2
    first, second = await rig.log.wait(2)
    assert (first["attempts"], first["retries"]) == (1, {"failures": [], "withheld": "", "shadow": "503"})
    assert second["retries"] == {"failures": [], "withheld": "budget", "shadow": ""}


# -- bodies of requests


async def test_a_body_that_comes_in_parts_is_sent_again_as_it_was(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("reset"))
    client, first = await begun(rig, upstream, request("/", "Transfer-Encoding: chunked", method="PUT"), chunk(b"one "))
    await first.until(b"one")
    await client.send(chunk(b"two "))
    await first.until(b"two")
    first.reset()
    second = await upstream.link()
    await second.until(b"one two ")
    await client.send(chunk(b"three"), LAST_CHUNK)
    await second.until(b"three")
    await second.send(OK)
    assert (await client.response()).status == 200
    line = await logged(rig)
    assert (line["attempts"], line["bytes_in"]) == (2, 13)


async def test_a_body_that_is_complete_is_sent_again_with_its_trailers(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    parts = chunk(b"body"), b"0\r\nX-Sum: 4\r\n\r\n"
    client, link = await begun(rig, upstream, request("/", "Transfer-Encoding: chunked", method="PUT"), *parts)
    for response in (BUSY, OK):
        found = await link.request()
        assert (found.body, [line.lower() for line in found.trailers]) == (b"body", [b"x-sum: 4"])
        await link.send(response)
    assert (await client.response()).status == 200
    assert upstream.accepted == 1, "the body was taken whole, so the connection serves the next attempt"


async def test_an_early_response_to_an_upload_is_no_end_of_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, first = await begun(rig, upstream, request("/", "Content-Length: 8", method="PUT"), b"half")
    await first.until(b"half")
    await first.send(BUSY)
    second = await upstream.link()
    await first.gone()
    await second.until(b"half")
    await client.send(b"more")
    await second.until(b"more")
    await second.send(OK)
    assert (await client.response()).status == 200
    second.buffer.clear()
    await client.send(request("/2"))  # both connections are in step
    assert (await second.head()).start.startswith(b"GET /2 ")
    await second.send(OK)
    assert (await client.response()).status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 2000", "Transfer-Encoding: chunked"])
async def test_a_body_beyond_the_buffer_is_sent_once(gateway_for: GatewayFor, upstream: Upstream, framing: str) -> None:
    rig = await gateway_for(upstream, retries=retries("reset", replay_buffer=1000))
    chunked = framing.endswith("chunked")
    part = chunk(b"x" * 1500) if chunked else b"x" * 1500
    client, link = await begun(rig, upstream, request("/", framing, method="PUT"), part)
    await link.until(b"x" * 1500)
    link.reset()
    assert code_of(await client.response()) == "upstream_reset"
    assert (await logged(rig))["retries"]["withheld"] == "body"
    assert upstream.accepted == 1


async def test_bodies_are_kept_as_far_as_the_buffers_reach(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    rig.gateway.buffers.capacity = 0
    upstream.behaviour = each_request(lambda _: BUSY)
    assert (await rig.ask(method="PUT", body=b"abc")).status == 503
    assert (await logged(rig))["retries"]["withheld"] == "body"


async def test_a_body_that_is_held_back_is_not_begun_by_a_failure(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Expect: 100-continue. The second attempt gets the body when its endpoint wants it."""
    rig = await gateway_for(upstream, retries=retries("503"))
    lines = "Content-Length: 4", "Expect: 100-continue"
    client, first = await begun(rig, upstream, request("/", *lines, method="PUT"))
    await first.head()
    await first.send(BUSY)
    second = await upstream.link()
    await second.head()
    await second.send(head(status="100 Continue"))
    assert (await client.response()).status == 100
    await client.send(b"body")
    await second.until(b"body")
    await second.send(OK)
    assert (await client.response()).status == 200


# -- what becomes of the response that is not used


async def test_a_long_response_is_not_awaited(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, first = await begun(rig, upstream, request())
    await first.request()
    await first.send(head("Content-Length: 100000000", status="503 Busy"), b"x" * 200000)
    second = await upstream.link()
    await first.gone()
    await second.request()
    await second.send(OK)
    assert (await client.response()).status == 200


@pytest.mark.parametrize("part", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_a_response_that_stops_is_not_awaited(gateway_for: GatewayFor, upstream: Upstream, part: str) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, first = await begun(rig, upstream, request())
    await first.request()
    await first.send(head(part, status="503 Busy"))
    second = await upstream.link()
    await first.gone()
    await second.request()
    await second.send(OK)
    assert (await client.response()).status == 200


async def test_a_response_that_comes_in_parts_frees_its_connection(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, retries=retries("503"))
    client, link = await begun(rig, upstream, request())
    await link.request()
    await link.send(head("Transfer-Encoding: chunked", status="503 Busy"))
    await link.send(chunk(b"bu"))
    await link.send(chunk(b"sy"), LAST_CHUNK)
    await link.request()
    await link.send(OK)
    assert (await client.response()).status == 200
    assert upstream.accepted == 1


async def test_many_requests_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Half of all attempts fail, and no caller is served what belongs to another."""
    seen: dict[bytes, int] = {}

    def reply(message: Message) -> bytes:
        seen[message.target] = seen.get(message.target, 0) + 1
        return BUSY if seen[message.target] == 1 else answer(message.target)

    rig = await gateway_for(upstream, retries=retries("503", burst=100))
    upstream.behaviour = each_request(reply)

    async def one(number: int) -> bool:
        return (await rig.ask(f"/{number}", method="PUT", body=b"x" * 5000)).body == b"/%d" % number

    assert all(await asyncio.gather(*[one(number) for number in range(60)]))
    assert set(seen.values()) == {2}


# -- several endpoints


def over(*urls: str, **settings: Any) -> Proxied:
    """The proxy ``p`` with these endpoints, asked one after the other."""
    first = proxy_to(urls[0])
    endpoints = tuple(Endpoint(url) for url in urls)
    return Proxied(first.route, replace(first.upstream, endpoints=endpoints)).having(balance="round_robin", **settings)


@pytest.mark.plain
@pytest.mark.parametrize("status", [503, 429])
async def test_the_next_attempt_goes_to_another_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, status: int
) -> None:
    """A caller notices nothing of one endpoint that is busy, and one that is down."""
    upstream.behaviour = each_request(lambda _: OK)
    async with Upstream(each_request(lambda _: answer(b"", status=status))) as busy:
        proxied = over(
            busy.url, refused_url(), upstream.url, retries=retries("connect", str(status), attempts=3, budget=1.0)
        )
        rig = await gateway_for(upstream, proxies=(proxied,))
        for _ in range(12):
            assert (await rig.ask(method="PUT", body=b"abc")).status == 200
        failures = [line.get("retries", {"failures": []})["failures"] for line in await rig.log.wait(12)]
    assert all(len(each) == len(set(each)) for each in failures), "no endpoint twice"
    assert {word for each in failures for word in each} == {"connect", str(status)}
    assert len(upstream.requests) == 12


async def reset(link: Link) -> None:
    await link.request()
    link.reset()


@pytest.mark.plain
@pytest.mark.parametrize("failure", ["503", "reset", "connect"])
@pytest.mark.parametrize("protection", ["ejection", "breaker"])
async def test_a_failure_that_a_retry_hides_counts_for_its_endpoint(
    gateway_for: GatewayFor, upstream: Upstream, failure: str, protection: str
) -> None:
    """Callers get good responses alone, and after three failures the endpoint gets no request."""
    upstream.behaviour = each_request(lambda _: OK)
    protections: dict[str, Any] = {
        "ejection": {"ejection": Ejection(True, consecutive_failures=3, base_time=3600, max_time=3600)},
        "breaker": {"circuit_breaker": CircuitBreaker(True, 3, 3600)},
    }
    failing = reset if failure == "reset" else each_request(lambda _: BUSY)
    async with Upstream(failing) as bad:
        url = refused_url() if failure == "connect" else bad.url
        proxied = over(url, upstream.url, retries=retries(failure, budget=1.0), **protections[protection])
        rig = await gateway_for(upstream, proxies=(proxied,))
        assert [(await rig.ask()).status for _ in range(20)] == [200] * 20
        assert len(bad.requests) == (0 if failure == "connect" else 3)
    assert sum([line["attempts"] for line in await rig.log.wait(20)]) == 20 + 3
    member = rig.p.endpoints[0].member
    assert (member.attempts, member.failures) == (3, 3)


@pytest.mark.plain
async def test_failures_that_retries_hide_open_the_breaker_of_the_only_endpoint(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """Each first attempt fails, and each second one is good."""
    statuses = itertools.cycle([503, 200])
    upstream.behaviour = each_request(lambda _: answer(b"", status=next(statuses)))
    rules = CircuitBreaker(True, 0, 3600, failure_rate=0.5, window=600.0, minimum_requests=6)
    rig = await gateway_for(upstream, retries=retries("503", budget=1.0), circuit_breaker=rules)
    assert [(await rig.ask()).status for _ in range(3)] == [200, 200, 200]
    assert code_of(await rig.ask()) == "breaker_open"
    assert len(upstream.requests) == 6
