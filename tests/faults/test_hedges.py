"""A second attempt while the first one runs: which response the caller gets, what becomes of the other attempt, and that
there is never more at the upstream than its budget and its limit allow."""

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
from harness.upstream import Link, Upstream, refused_url

from gateway.config.records import CircuitBreaker, Endpoint, Hedge, Limiter, Retries

SOON = Hedge(0.02)
BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
BUSY = answer(b"busy", status=503, reason="Service Unavailable")
CUT_WITHIN = 0.1
"""Seconds: the promise."""


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


async def line_of(rig: Rig, count: int = 1) -> dict[str, Any]:
    line: dict[str, Any] = await rig.log.last(count)
    return line


async def test_the_second_attempt_wins_and_the_first_is_cut(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as (slow, fast):
        rig = await gateway_for(upstream, proxies=(over(slow, fast, max_concurrent=2),))
        client = await asked(rig)
        loser = await arrived(slow)
        winner = await arrived(fast)
        await winner.send(answer(b"second"))
        since = monotonic()
        assert await loser.gone()
        assert monotonic() - since < CUT_WITHIN
        response = await client.response()
        assert (response.status, response.body) == (200, b"second")
        line = await line_of(rig)
        print(line)
