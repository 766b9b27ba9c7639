"""Calls that the gateway makes by itself, over real sockets: they pass the same machines as the requests of callers."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from harness.answers import answer, chunk, each_request, head
from harness.client import code_of
from harness.frames import block
from harness.http2_upstream import Session, speaking
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream, refused_url

from gateway.actions.call import Ended, Prepared, call
from gateway.actions.repeat import Patience, Running
from gateway.config.records import CircuitBreaker
from gateway.core.exchange import Exchange
from gateway.wire.h2.codes import CANCEL, HEADERS
from gateway.wire.h2.frames import frame

pytestmark = pytest.mark.plain

MOST = 100_000


@dataclass
class Again(Patience):
    """Repeats at once, ``times`` times."""

    times: int = 2
    seconds: float = 0.0
    asked: list[tuple[int, str, float | None]] = field(default_factory=list)

    def pause(self, attempts: int, cause: str, asked: float | None, spent: float) -> float | None:
        self.asked.append((attempts, cause, asked))
        good = cause.isdigit() and int(cause) < 500 and cause != "429"
        return None if good or attempts > self.times else self.seconds


def get(target: bytes = b"/x", **changes: Any) -> Prepared:
    return replace(Prepared(b"GET", target, [b"Accept: */*"], b"", 10.0, None), **changes)


class Calling:
    """Makes calls as ``action/x``, which shares the upstream of ``p``."""

    def __init__(self, rig: Rig, running: dict[Exchange, Running]) -> None:
        self.rig = rig
        self._running = running

    async def __call__(self, prepared: Prepared = get()) -> Ended:  # noqa: B008 - it is frozen
        gateway = self.rig.gateway
        return await call(
            gateway.server, gateway.actions.running, gateway.server.snapshot.served["action/x"], prepared, b""
        )


async def calling(gateway_for: GatewayFor, upstream: Upstream | str, *, most: int = MOST, **settings: Any) -> Calling:
    p = proxy_to(upstream, **settings)
    own = replace(p.route, name="action/x", path="/nowhere", strip_path=False, own=True, answer_limit=most)
    rig = await gateway_for(upstream, proxies=(p, Proxied(own, p.upstream)))
    return Calling(rig, rig.gateway.actions.running)


async def test_a_call_is_an_exchange_without_a_caller_to_forward(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(b"hello"))
    make = await calling(gateway_for, upstream)
    ended = await make()
    assert (ended.error, ended.stream.status, bytes(ended.stream.received)) == (None, 200, b"hello")
    (seen,) = upstream.requests
    assert (seen.method, seen.target, seen.get("accept")) == (b"GET", b"/x", b"*/*")
    assert seen.get("via") is not None
    names = {line.partition(b":")[0].lower() for line in seen.lines}
    assert not [name for name in names if name.startswith((b"x-forwarded", b"forwarded"))]
    assert seen.get("x-request-id") == ended.exchange.request_id
    line = await make.rig.log.last()
    assert (line["proxy_name"], line["status_code"], line["bytes_out"]) == ("action/x", 200, 5)
    await make.rig.settled()


async def test_a_post_sends_its_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(message.body[::-1]))
    make = await calling(gateway_for, upstream)
    ended = await make(get(method=b"POST", body=b"abc"))
    assert bytes(ended.stream.received) == b"cba"


async def _sends(link: Link, size: int, *, framing: str) -> None:
    await link.request()
    body = b"a" * size
    if framing == "length":
        await link.send(head(f"Content-Length: {size}"), body)
    elif framing == "chunked":
        await link.send(head("Transfer-Encoding: chunked"), chunk(body[:50_000]), chunk(body[50_000:]), chunk(b""))
    else:
        await link.send(head("Connection: close"), body)
        link.half_close()


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("over", [0, 1])
async def test_a_response_that_is_too_large_teaches_no_breaker(
    gateway_for: GatewayFor, upstream: Upstream, framing: str, over: int
) -> None:
    async def behaviour(link: Link) -> None:
        await _sends(link, MOST + over, framing=framing)

    upstream.behaviour = behaviour
    make = await calling(gateway_for, upstream, circuit_breaker=CircuitBreaker(enabled=True, failure_threshold=1))
    for _ in range(3):
        ended = await make()
        code = "" if ended.error is None else ended.error.reason.code
        assert code == ("answer_too_large" if over else "")
        assert len(ended.stream.received) == MOST if not over else len(ended.stream.received) <= MOST
    assert (await make.rig.log.last(3))["reason"] == ("answer_too_large" if over else "")
    breaker = make.rig.p.endpoints[0].breaker
    assert (breaker.state.word, len(breaker.outcomes)) == ("closed", 0)
    await make.rig.settled()


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("ends", ["data", "trailers", "never"])
@pytest.mark.parametrize("length", [(), ((b"content-length", b"1001"),)])
async def test_a_session_outlives_a_response_that_is_too_large(
    gateway_for: GatewayFor, upstream: Upstream, length: tuple[tuple[bytes, bytes], ...], ends: str, at_once: bool
) -> None:
    async def script(session: Session) -> None:
        asked = await session.request()
        parts = [session.headers(asked, [(b":status", b"200"), *length])]
        parts.append(session.pieces(asked, b"a" * 1001, ended=ends == "data"))
        if ends == "trailers":
            parts.append(frame(HEADERS, 5, asked.ident, block([(b"x-sum", b"1")])))
        if at_once:
            parts = [b"".join(parts)]
        for part in parts:
            await session.send(part)
            await session.acknowledged()
        if ends == "never":
            assert await session.reset(asked) == CANCEL
        await session.respond(await session.request(), b"good")

    upstream.behaviour = speaking(script)
    make = await calling(
        gateway_for,
        upstream,
        most=1000,
        http2="always",
        max_concurrent=1,
        circuit_breaker=CircuitBreaker(enabled=True, failure_threshold=1),
    )
    ended = await make()
    assert ended.error is not None
    assert ended.error.reason.code == "answer_too_large"
    assert make.rig.permits() == 0
    ended = await make()
    assert (ended.error, bytes(ended.stream.received)) == (None, b"good")
    assert upstream.accepted == 1
    await make.rig.settled()


async def test_a_stream_that_never_ends_is_cut_at_the_bound(gateway_for: GatewayFor, upstream: Upstream) -> None:
    make = await calling(gateway_for, upstream)
    task = asyncio.create_task(make())
    link = await upstream.link()
    await link.request()
    await link.send(head("Transfer-Encoding: chunked"))
    for _ in range(MOST // 10_000):
        await link.send(chunk(b"a" * 10_000))
    assert not task.done()
    await link.send(chunk(b"a"))
    ended = await task
    assert await link.gone()
    assert ended.error is not None
    assert ended.error.reason.code == "answer_too_large"
    assert not ended.stream.complete


@pytest.mark.covers("ACT-20")
async def test_a_repeated_call_holds_no_permit_while_it_waits(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(b"busy", "Retry-After: 7", status=503))
    make = await calling(gateway_for, upstream, max_concurrent=1)
    patience = Again(times=1, seconds=9.0)
    task = asyncio.create_task(make(get(patience=patience, seconds=20.0)))
    await eventually(lambda: len(patience.asked) == 1 and make.rig.permits() == 0, "the call waits without a permit")
    assert patience.asked == [(1, "503", 7.0)]
    told = make.rig.gateway.explain("p")
    assert told is not None
    assert [(each["phase"], each.get("action")) for each in told["active"]] == [("retry", "action/x")]
    assert (await make.rig.ask("/y")).status == 503, "a caller gets the permit: that is the upstream's own response"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await make.rig.log.last(2))["reason"] == "client_gone"
    await make.rig.settled()


@pytest.mark.covers("ACT-20")
async def test_failures_are_repeated_and_counted(gateway_for: GatewayFor, upstream: Upstream) -> None:
    answers = iter([answer(b"no", status=500), answer(b"wait", status=429), answer(b"good")])
    upstream.behaviour = each_request(lambda message: next(answers))
    make = await calling(gateway_for, upstream)
    ended = await make(get(method=b"PUT", body=b"abc", patience=Again()))
    assert (ended.stream.status, bytes(ended.stream.received)) == (200, b"good")
    assert [seen.body for seen in upstream.requests] == [b"abc"] * 3
    assert ended.exchange.failures == ("500", "429")
    line = await make.rig.log.last()
    assert (line["status_code"], line["reason"]) == (200, "")


async def test_our_own_refusals_end_a_call(gateway_for: GatewayFor) -> None:
    make = await calling(
        gateway_for,
        refused_url(),
        circuit_breaker=CircuitBreaker(enabled=True, failure_threshold=2, recovery_timeout=60),
    )
    patience = Again(times=5)
    ended = await make(get(patience=patience))
    assert ended.error is not None
    assert ended.error.reason.code == "breaker_open"
    assert [cause for _, cause, _ in patience.asked] == ["connect", "connect"]
    assert code_of(await make.rig.ask("/")) == "breaker_open", "a caller meets the same breaker"
    told = make.rig.gateway.explain("p")
    assert told is not None
    assert told["breaker"] is not None
    (move,) = told["breaker"]["moves"]
    assert {each.get("action") for each in move["outcomes"]} == {"action/x"}
    assert {each["request_id"] for each in move["outcomes"]} == {ended.exchange.request_id.decode()}


async def test_the_time_of_a_call_is_that_of_all_its_attempts(gateway_for: GatewayFor, upstream: Upstream) -> None:
    make = await calling(gateway_for, upstream)
    task = asyncio.create_task(make(get(seconds=0.05, patience=Again())))
    ended = await task
    assert ended.error is not None
    assert ended.error.reason.code == "total_timeout"
    assert (await make.rig.log.last())["reason"] == "total_timeout"
    await make.rig.settled()


async def test_a_drain_waits_for_calls_and_then_cuts_them(gateway_for: GatewayFor, upstream: Upstream) -> None:
    make = await calling(gateway_for, upstream)
    task = asyncio.create_task(make())
    link = await upstream.link()
    await link.request()
    assert await make.rig.gateway.drain(0.05) is False
    ended = await task
    assert ended.error is not None
    assert ended.error.reason.code == "draining"
    late = await make()
    assert late.error is not None
    assert late.error.reason.code == "draining"
    assert len(upstream.requests) == 1


async def test_a_drain_ends_with_the_last_call(gateway_for: GatewayFor, upstream: Upstream) -> None:
    make = await calling(gateway_for, upstream)
    task = asyncio.create_task(make())
    link = await upstream.link()
    await link.request()
    drained = asyncio.create_task(make.rig.gateway.drain(10.0))
    await asyncio.sleep(0)
    await link.send(answer(b"ok"))
    assert (await task).stream.status == 200
    assert await drained is True


REPEATS = int(os.environ.get("CALLS_REPEATS", "50"))
"""`make calls` sets more."""


async def _held(upstream: Upstream, count: int) -> list[Link]:
    """The connections of ``count`` requests that have come and wait for their response."""
    links = [await upstream.link() for _ in range(count)]
    for link in links:
        await link.request()
    return links


@pytest.mark.covers("ACT-42")
@pytest.mark.timeout(600)
async def test_callers_and_calls_share_one_limit_exactly(gateway_for: GatewayFor, upstream: Upstream) -> None:
    make = await calling(gateway_for, upstream, max_concurrent=5)
    for number in range(REPEATS):
        calls = [asyncio.create_task(make()) for _ in range(5)]
        asks = [asyncio.create_task(make.rig.ask("/y")) for _ in range(5)]
        mixed = calls + asks if number % 2 else asks + calls
        links = await _held(upstream, 5)
        await eventually(lambda mixed=mixed: sum(task.done() for task in mixed) == 5, "five are refused")
        for link in links:
            await link.send(head("Content-Length: 2", "Connection: close"), b"ok")
        statuses = [ended.stream.status for ended in await asyncio.gather(*calls)]
        statuses += [message.status for message in await asyncio.gather(*asks)]
        assert sorted(statuses) == [200] * 5 + [429] * 5
    await make.rig.settled()


@pytest.mark.timeout(600)
async def test_no_permit_is_lost_when_callers_leave_at_any_moment(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async def slow(link: Link) -> None:
        while True:
            await link.request()
            await asyncio.sleep(0.002)
            await link.send(head("Transfer-Encoding: chunked"), chunk(b"a"))
            await asyncio.sleep(0.002)
            await link.send(chunk(b""))

    upstream.behaviour = slow
    make = await calling(gateway_for, upstream, max_concurrent=5)
    dice = random.Random(7)
    for _ in range(REPEATS):
        tasks = [asyncio.create_task(make(get(patience=Again(times=1)))) for _ in range(10)]
        for task in tasks:
            asyncio.get_running_loop().call_later(dice.random() * 0.01, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
    await make.rig.settled()
    ended = await make()
    assert ended.stream.status == 200
