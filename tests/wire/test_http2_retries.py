"""Retries where the upstream speaks HTTP/2: one stream fails, and its connection serves the next attempt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from harness.client import code_of, request
from harness.http2_upstream import Asked, Session, speaking
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Upstream

from gateway.config.records import Backoff, CircuitBreaker, Retries
from gateway.wire.h2.codes import CANCEL, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM
from gateway.wire.h2.frames import goaway, rst_stream, window_update

pytestmark = pytest.mark.plain

BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)


async def over_http2(gateway_for: GatewayFor, upstream: Upstream, retries: Retries) -> Rig:
    proxied = proxy_to(upstream, retries=retries, http2="always", circuit_breaker=BREAKER)
    return await gateway_for(upstream, proxies=(proxied,))


async def asked(
    gateway_for: GatewayFor, upstream: Upstream, sent: bytes, retries: Retries, pairs: Any = None
) -> tuple[Rig, Any, Session, Asked]:
    """A request on the way to ``upstream``: the gateway, its caller, the session, and what came on it."""
    rig = await over_http2(gateway_for, upstream, retries)
    client = await rig.connect()
    await client.send(sent)
    session = await Session(await upstream.link()).greet(pairs)
    return rig, client, session, await session.head()


def retries(*on: str, **changes: Any) -> Retries:
    return replace(Retries(2, on, backoff=Backoff(0.0, 0.0)), **changes)


async def answered(rig: Rig, client: Any, session: Session, found: Asked, *failures: str) -> None:
    await session.begin(found, ended=True)
    assert (await client.response()).status == 200
    line = await rig.log.last()
    assert (line["retries"]["failures"], line["upstream_protocol"]) == (list(failures), "2")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refused_stream_twice(gateway_for: GatewayFor, upstream: Upstream, method: str) -> None:
    """The first time needs no configuration, the second takes of the budget. A POST goes too: nothing was done."""
    sent = request(method=method, body=b"body" if method == "POST" else b"")
    rig, client, session, first = await asked(gateway_for, upstream, sent, retries("refused_stream"))
    await session.send(rst_stream(first.ident, REFUSED_STREAM))
    other = await Session(await upstream.link()).greet() if len(upstream.links) > 1 else session
    second = await other.head()
    await other.send(rst_stream(second.ident, REFUSED_STREAM))
    third = await other.request()
    assert third.body == (b"body" if method == "POST" else b"")
    await answered(rig, client, other, third, "stale", "refused_stream")


async def test_a_reset_stream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig, client, session, first = await asked(gateway_for, upstream, request(), retries("reset"))
    await session.send(rst_stream(first.ident, INTERNAL_ERROR))
    await answered(rig, client, session, await session.request(), "reset")
    assert upstream.accepted == 1


async def test_a_connection_that_the_upstream_closes(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig, client, session, first = await asked(gateway_for, upstream, request(), retries("refused_stream"))
    await session.send(goaway(0, NO_ERROR))
    session.link.close()
    second = await Session(await upstream.link()).greet()
    del first
    await answered(rig, client, second, await second.request(), "stale")


async def test_a_status_whose_body_does_not_come_resets_its_stream_alone(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig, client, session, first = await asked(gateway_for, upstream, request(), retries("503"))
    await session.begin(first, status=503)
    assert await session.reset(first) == CANCEL
    assert rig.p.endpoints[0].breaker.failures == 1
    await answered(rig, client, session, await session.request(), "503")
    assert upstream.accepted == 1


async def test_an_upload_beyond_the_window_goes_on_to_the_next_stream(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """The first attempt took ten bytes of the body and then refused; the next has all of it, in its own windows."""
    body = bytes(range(256)) * 160
    rig, client, session, first = await asked(
        gateway_for, upstream, request(method="PUT", body=body), retries("503"), [(INITIAL_WINDOW_SIZE, 10)]
    )
    await session.until(lambda: len(first.body) == 10)
    await session.begin(first, status=503, ended=True)
    assert await session.reset(first) == CANCEL
    second = await session.head()
    await session.until(lambda: len(second.body) == 10)
    await session.send(window_update(second.ident, len(body)))
    await session.until(lambda: second.ended)
    assert second.body == body
    await answered(rig, client, session, second, "503")
    assert (await rig.log.last())["bytes_in"] == len(body)


async def test_many_at_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await over_http2(gateway_for, upstream, retries("503", burst=100))
    asking = [asyncio.ensure_future(rig.ask(f"/{number}")) for number in range(20)]
    session = await Session(await upstream.link()).greet()
    seen: set[bytes] = set()
    for _ in range(40):
        found = await session.head()  # the second attempt of one may come before the first of another
        await session.begin(found, (b"x-path", found.path), status=200 if found.path in seen else 503, ended=True)
        seen.add(found.path)
    assert [(await one).get("x-path") for one in asking] == [b"/%d" % number for number in range(20)]


async def test_an_upstream_that_refuses_whatever_a_connection_begins_with_is_not_healthy(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """Each GOAWAY says that the endpoint goes in peace; so one that serves nothing would be asked for ever."""

    async def leaves(session: Session) -> None:
        await session.request()
        await session.send(goaway(0, NO_ERROR))

    upstream.behaviour = speaking(leaves)
    breaker = replace(BREAKER, failure_threshold=4)
    rig = await gateway_for(upstream, proxies=(proxy_to(upstream, http2="always", circuit_breaker=breaker),))
    reasons = [code_of(await rig.ask()) for _ in range(3)]
    assert (reasons, upstream.accepted) == (["upstream_reset", "upstream_reset", "breaker_open"], 4)


async def test_an_upstream_that_leaves_between_two_requests_is_healthy(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async def leaves(session: Session) -> None:
        await session.respond(await session.request())
        await session.request()
        await session.send(goaway(1, NO_ERROR))

    upstream.behaviour = speaking(leaves)
    breaker = replace(BREAKER, failure_threshold=1)
    rig = await gateway_for(upstream, proxies=(proxy_to(upstream, http2="always", circuit_breaker=breaker),))
    assert [(await rig.ask()).status for _ in range(5)] == [200] * 5
    assert upstream.accepted == 5, "each second request was refused once"
