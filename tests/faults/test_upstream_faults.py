"""An upstream that refuses, stalls, breaks off or was only asleep: each has its own word, and no POST is sent twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.answers import answer, chunk, head, ok
from harness.client import Client, code_of, request
from harness.message import Truncated
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import BlackHole, Link, Upstream, refused_url

from gateway.config.records import CircuitBreaker
from gateway.policy.breaker_store import State

BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)


@pytest.mark.plain
async def test_a_refused_dial(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(refused_url(), circuit_breaker=BREAKER)
    response = await rig.ask()
    assert (response.status, code_of(response)) == (502, "dial_failed")
    assert rig.p.endpoints[0].breaker.failures == 1
    line = await rig.log.last()
    assert (line["status_code"], line["reason"], line["upstream_latency_ms"]) == (502, "dial_failed", None)


@pytest.mark.plain
async def test_a_dial_without_an_answer(gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole) -> None:
    rig = await gateway_for(black_hole, timeouts=replace(TIMEOUTS, dial=0.1), circuit_breaker=BREAKER)
    response = await rig.ask()
    assert (response.status, code_of(response)) == (504, "dial_timeout")
    assert rig.p.endpoints[0].breaker.failures == 1
    assert rig.p.endpoints[0].pool.open == 0


@pytest.mark.plain
async def test_a_name_that_does_not_exist(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for("http://does-not-exist.invalid:1")
    response = await rig.ask()
    assert (response.status, code_of(response)) == (502, "dns_failed")


async def test_no_head_in_time(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=0.1), circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    response = await client.response()
    assert (response.status, code_of(response)) == (504, "header_timeout")
    await link.gone()
    assert rig.p.endpoints[0].breaker.failures == 1


async def test_a_dripping_head_is_no_head(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The time runs to the end of the head: each byte does not buy more."""
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=0.2))
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(b"HTTP/1.1 200 OK\r\nX-Part: 1\r\n")
    response = await client.response()
    assert (response.status, code_of(response)) == (504, "header_timeout")


@pytest.mark.covers("FR-004")
async def test_zero_waits_for_the_head(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=0))
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"late"))
    assert (await client.response()).body == b"late"


@pytest.mark.covers("T048")
async def test_a_body_that_stops(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """After the commit there is nothing to say: the client's connection is cut, and the log has the reason."""
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, body_idle=0.1), circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"begun"))
    with pytest.raises(Truncated):
        await client.response()
    await link.gone()
    line = await rig.log.last()
    assert (line["status_code"], line["reason"]) == (200, "body_idle_timeout")
    assert rig.p.endpoints[0].breaker.failures == 1


async def test_the_total_time_before_the_answer(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, total=0.1), circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    response = await client.response()
    assert (response.status, code_of(response)) == (504, "total_timeout")
    await link.gone()
    assert rig.p.endpoints[0].breaker.failures == 1


async def test_the_total_time_in_mid_answer(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, total=0.2), circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Content-Length: 10"), b"half.")
    with pytest.raises(Truncated):
        await client.response()
    await link.gone()
    assert (await rig.log.last())["reason"] == "total_timeout"


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_reset_before_the_head_is_complete(gateway_for: GatewayFor, upstream: Upstream, after: bytes) -> None:
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    if after:
        await link.send(after)
    link.reset()
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_reset")
    assert rig.p.endpoints[0].breaker.failures == 1
    assert upstream.accepted == 1, "a fresh connection that breaks is no stale one: nothing is retried"


async def kept_alive(rig: Rig, upstream: Upstream) -> tuple[Client, Link]:
    """A client and an upstream that have an exchange behind them, on connections that are open still."""
    client = await rig.connect()
    await client.send(request("/1"))
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"one"))
    assert (await client.response()).body == b"one"
    return client, link


async def test_a_stale_connection_is_replaced_for_get(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 9.3.1: an idempotent request whose pooled connection closed unanswered goes out once more."""
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    client, first = await kept_alive(rig, upstream)
    await client.send(request("/2"))
    await first.head()
    first.close()
    second = await upstream.link()
    assert (await second.head()).start.startswith(b"GET /2 ")
    await second.send(answer(b"two"))
    assert (await client.response()).body == b"two"
    line = await rig.log.last(2)
    assert (line["attempts"], line["reused"], line["reason"]) == (2, False, "")
    assert rig.p.endpoints[0].breaker.failures == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("extra", ["X-A: 1", "Expect: 100-continue"])
async def test_a_stale_connection_is_replaced_for_a_small_body(
    gateway_for: GatewayFor, upstream: Upstream, method: str, extra: str
) -> None:
    """A body that came with its head was taken whole: the second attempt sends the same bytes, and they count once."""
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    client, first = await kept_alive(rig, upstream)
    await client.send(request("/2", extra, method=method, body=b"small body"))
    stale = await first.request()
    first.close()
    second = await upstream.link()
    again = await second.request()
    assert (again.start, again.lines, again.body) == (stale.start, stale.lines, b"small body")
    await second.send(answer(b"two"))
    assert (await client.response()).body == b"two"
    line = await rig.log.last(2)
    assert (line["attempts"], line["reused"], line["bytes_in"]) == (2, False, len(b"small body"))
    assert rig.p.endpoints[0].breaker.failures == 0


@pytest.mark.http1
async def test_after_a_replay_the_connection_is_in_step(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, first = await kept_alive(rig, upstream)
    await client.send(request("/2", method="PUT", body=b"small body"), request("/3"))
    await first.request()
    first.close()
    second = await upstream.link()
    for body, start in ((b"two", b"PUT /2 "), (b"three", b"GET /3 ")):
        assert (await second.request()).start.startswith(start)
        await second.send(answer(body))
        assert (await client.response()).body == body


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_was_relayed_is_never_sent_again(
    gateway_for: GatewayFor, upstream: Upstream, framing: str
) -> None:
    """What went by is not kept: not even for PUT."""
    rig = await gateway_for(upstream)
    client, first = await kept_alive(rig, upstream)
    line = "Content-Length: 9" if framing == "length" else "Transfer-Encoding: chunked"
    await client.send(request("/2", line, method="PUT"), b"half" if framing == "length" else b"4\r\nhalf\r\n")
    await first.until(b"half")
    first.close()
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_reset")
    assert upstream.accepted == 1


async def test_a_stale_connection_is_never_replaced_for_post(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 9.2.2: it may have been acted upon."""
    rig = await gateway_for(upstream)
    client, first = await kept_alive(rig, upstream)
    await client.send(request("/2", "Content-Length: 1", method="POST"), b"x")
    await first.head()
    first.close()
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_reset")
    assert upstream.accepted == 1


async def test_an_answered_request_is_never_sent_again(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, first = await kept_alive(rig, upstream)
    await client.send(request("/2"))
    await first.head()
    await first.send(b"HTTP/1.1 2")
    first.close()
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_reset")
    assert upstream.accepted == 1


async def test_an_idle_connection_that_was_closed_is_not_used(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, first = await kept_alive(rig, upstream)
    first.close()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "the pool has noticed")
    await client.send(request("/2", "Content-Length: 1", method="POST"), b"x")
    second = await upstream.link()
    await second.head()
    await second.send(answer(b"two"))
    assert (await client.response()).body == b"two"


@pytest.mark.plain
@pytest.mark.covers("T049")
async def test_the_breaker_opens_and_refuses_without_touching_the_upstream(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    settings = CircuitBreaker(enabled=True, failure_threshold=3, recovery_timeout=30)
    rig = await gateway_for(refused_url(), circuit_breaker=settings)
    for _ in range(3):
        assert (await rig.ask()).status == 502
    assert rig.p.endpoints[0].breaker.state is State.OPEN
    dials = rig.p.endpoints[0].pool.dials
    response = await rig.ask()
    assert (response.status, code_of(response), response.get("x-circuit-breaker")) == (503, "breaker_open", b"open")
    assert 1 <= int(response.get("retry-after") or b"0") <= 30
    assert rig.p.endpoints[0].pool.dials == dials
    line = await rig.log.last(4)
    assert (line["circuit_state"], line["attempts"]) == ("open", 0)


async def test_a_slow_upload_to_a_stalled_upstream_ends(
    gateway_for: GatewayFor, upstream_class: type[Upstream]
) -> None:
    """An upstream that does not read is as silent as one that does not write."""
    async with upstream_class(receive_buffer=4096) as deaf:
        rig = await gateway_for(deaf, timeouts=replace(TIMEOUTS, body_idle=0.2))
        client = await rig.connect()
        await client.send(request("/", "Content-Length: 50000000", method="POST"))
        link = await deaf.link()
        await link.head()
        blob = b"x" * 65536
        try:
            for _ in range(700):
                await client.send(blob)
        except OSError:
            pass
        await rig.settled()
        assert (await rig.log.last())["reason"] == "body_idle_timeout"


async def test_keep_alive_of_the_upstream_is_used(gateway_for: GatewayFor, upstream_class: type[Upstream]) -> None:
    async with upstream_class(ok()) as willing:
        rig = await gateway_for(willing)
        client = await rig.connect()
        for _ in range(20):
            assert (await client.ask()).status == 200
        assert willing.accepted == 1
