"""WebSockets through an upstream of several endpoints: a tunnel is a load of its endpoint for as long as it lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness.frames import GET, Fields
from harness.http2 import Http2Client
from harness.message import Truncated
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream
from harness.websocket import switched, upgrade

from gateway.config.records import Endpoint, HealthCheck
from gateway.proxy.bridge import accepted
from gateway.wire.h2.codes import CANCEL
from gateway.wire.h2.frames import rst_stream

pytestmark = [pytest.mark.plain, pytest.mark.http1]
CONNECT: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:], (b"sec-websocket-version", b"13")]


async def tunnels(link: Link) -> None:
    """Switch, and stay until the gateway leaves."""
    head = await link.head()
    key = head.get("sec-websocket-key")
    assert key is not None
    agreed = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted(key).decode()}"
    await link.send(f"HTTP/1.1 101 Switching Protocols\r\n{agreed}\r\n\r\n".encode())
    await link.gone(60)


@asynccontextmanager
async def two() -> AsyncIterator[list[Upstream]]:
    async with Upstream(tunnels) as first, Upstream(tunnels) as second:
        yield [first, second]


def over(endpoints: list[Upstream], **settings: Any) -> Proxied:
    first = proxy_to("http://127.0.0.1:1", websocket=True)
    found = tuple(Endpoint(each.url) for each in endpoints)
    return Proxied(first.route, replace(first.upstream, endpoints=found)).having(**settings)


def in_flight(rig: Rig) -> list[int]:
    explanation = rig.gateway.explain("p")
    assert explanation is not None
    group = explanation.get("group")
    assert group is not None
    return [each["in_flight"] for each in group["endpoints"]]


async def opened(rig: Rig) -> Any:
    client = await rig.connect()
    await client.send(upgrade())
    assert (await client.response()).status == 101
    return client


async def test_tunnels_are_spread_by_how_many_are_open(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as endpoints:
        rig = await gateway_for(upstream, proxies=(over(endpoints, balance="least_request"),))
        clients = [await opened(rig) for _ in range(8)]
        assert [each.accepted for each in endpoints] == in_flight(rig) == [4, 4]
        for client in clients:
            client.close()
        await eventually(lambda: in_flight(rig) == [0, 0], "no tunnel is counted that is over")


@pytest.mark.raw
async def test_tunnels_over_http_2_count_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with two() as endpoints:
        rig = await gateway_for(upstream, http2=True, proxies=(over(endpoints, balance="least_request"),))
        client = await Http2Client.connect(rig.gateway.addresses[0])
        rig.clients.append(client)  # type: ignore[arg-type]
        for ident in (1, 3):
            await client.request(ident, CONNECT, ended=False)
            assert (await client.some(ident, lambda r: r.fields)).fields[b":status"] == b"200"
        assert in_flight(rig) == [1, 1]
        await client.send(rst_stream(1, CANCEL))
        await eventually(lambda: sum(in_flight(rig)) == 1)
        client.close()
        await eventually(lambda: in_flight(rig) == [0, 0])


@pytest.mark.parametrize("balance", ["least_request", "ring_hash"])
async def test_an_endpoint_that_is_drained_has_its_tunnels_until_they_end(
    gateway_for: GatewayFor, upstream: Upstream, balance: str
) -> None:
    async with two() as endpoints:
        proxy = over(endpoints, balance=balance)
        rig = await gateway_for(upstream, proxies=(proxy,))
        client = await opened(rig)
        drained = [replace(each, drain=True) for each in proxy.upstream.endpoints]
        await rig.change(endpoints=tuple(drained))
        assert sum(in_flight(rig)) == 1
        client.close()
        await eventually(lambda: in_flight(rig) == [0, 0])


@pytest.mark.parametrize("what", ["tunnel", "request"])
async def test_what_began_when_there_was_one_endpoint_is_waited_for(
    gateway_for: GatewayFor, upstream: Upstream, what: str
) -> None:
    """The way to replace an endpoint: add the new one, drain the old one, and wait for 0 in flight."""
    async with two() as endpoints, Upstream() as old:
        proxy = over([old])
        rig = await gateway_for(upstream, proxies=(proxy,))
        client = await rig.connect()
        await client.send(upgrade())
        link = await old.link()
        await link.head()
        await link.send(switched() if what == "tunnel" else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if what == "tunnel":
            assert (await client.response()).status == 101
        await rig.change(
            endpoints=(Endpoint(old.url, drain=True), Endpoint(endpoints[0].url)),
            health=HealthCheck(True, "/health", 3600, 0.0, 3600),
        )
        check = await old.link()
        await check.request()
        assert in_flight(rig)[0] == 1, "the check that waits is none of the callers'"
        client.reset()
        await eventually(lambda: in_flight(rig)[0] == 0)
        with pytest.raises(Truncated):
            await link.request()
