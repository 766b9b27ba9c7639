"""Time in which the gateway waits for a peer is booked as that, and not as time of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from harness.answers import answer, chunk, head
from harness.client import Client, request
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream

from gateway.config.records import Timeouts

PAUSE = 0.25
Play = Callable[[Client, Upstream], Awaitable[None]]


async def asked(client: Client, upstream: Upstream, *lines: str, method: str = "GET") -> Link:
    await client.send(request("/", *lines, method=method))
    link = await upstream.link()
    await link.head()
    return link


async def upload_after_continue(client: Client, upstream: Upstream) -> None:
    link = await asked(client, upstream, "Content-Length: 4", "Expect: 100-continue", method="POST")
    await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await client.until(b"\r\n\r\n")
    await client.send(b"ab")
    await asyncio.sleep(PAUSE)
    await client.send(b"cd")
    await link.until(b"abcd")
    await link.send(answer(b"ok"))
    await client.until(b"ok")


async def early_hints(client: Client, upstream: Upstream) -> None:
    link = await asked(client, upstream)
    await link.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    await asyncio.sleep(PAUSE)
    await link.send(answer(b"ok"))
    await client.until(b"ok")


async def early_hints_with_a_part_of_the_head(client: Client, upstream: Upstream) -> None:
    """The final response begins in the read that brought the 103: from then on it is being received."""
    link = await asked(client, upstream)
    await asyncio.sleep(PAUSE)
    await link.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 ")
    await link.send(answer(b"ok").removeprefix(b"HTTP/1.1 200 "))
    await client.until(b"ok")


async def silence_until_the_timeout(client: Client, upstream: Upstream) -> None:
    link = await asked(client, upstream)
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"begun"))
    await client.rest()


async def silence_until_the_client_leaves(client: Client, upstream: Upstream) -> None:
    link = await asked(client, upstream)
    await link.send(head("Content-Length: 100"), b"begun")
    await client.until(b"begun")
    await asyncio.sleep(PAUSE)
    client.close()
    await link.gone()


PLAYS: dict[Play, str] = {
    upload_after_continue: "upload_ms",
    early_hints: "upstream_latency_ms",
    early_hints_with_a_part_of_the_head: "upstream_latency_ms",
    silence_until_the_timeout: "transfer_ms",
    silence_until_the_client_leaves: "transfer_ms",
}


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
async def test_waiting_is_not_time_of_our_own(gateway_for: GatewayFor, upstream: Upstream, play: Play) -> None:
    rig = await gateway_for(upstream, timeouts=replace(Timeouts(), body_idle=PAUSE))
    await play(await rig.connect(), upstream)
    line = await rig.log.last()
    assert line[PLAYS[play]] >= PAUSE * 1e3 - 20, line
    assert line["proxy_latency_ms"] < PAUSE * 1e3 / 2, line
