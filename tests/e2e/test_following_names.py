"""Traffic follows the name of an upstream: without a dial that fails, and without an exchange that is cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import aiohttp
import pytest
from harness.answers import OK, each_request
from harness.client import code_of, request
from harness.patience import eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Upstream

from gateway.upstream import connector

TTL = 0.2


class Names(aiohttp.abc.AbstractResolver):
    """Every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        self.asked += 1
        if not self.addresses:
            raise OSError(None, "DNS lookup failed")
        return [
            aiohttp.abc.ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def _a_short_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_DNS_TTL_SECONDS", TTL)


@asynccontextmanager
async def neighbour(upstream: Upstream) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """A second upstream on the same port of 127.0.0.2, which answers "two"; its connections."""
    served: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.2", upstream.port)
    try:
        yield served
    finally:
        server.close()
        for writer in served:
            writer.transport.abort()


async def named(gateway_for: GatewayFor, upstream: Upstream, names: Names, **timeouts: float) -> Rig:
    upstream.behaviour = each_request(lambda _: OK.replace(b" 2\r", b" 3\r").replace(b"ok", b"one"))
    rig = await gateway_for(f"http://many.test:{upstream.port}", timeouts=replace(TIMEOUTS, **timeouts))
    rig.p.endpoints[0].pool.connector._resolver = names
    return rig


async def until_moved(rig: Rig, within: float) -> None:
    client = await rig.connect()
    end = monotonic() + within
    while (await client.ask()).body != b"two":
        assert monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_changed_name_moves_busy_traffic_within_its_ttl(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """All requests are served by connections of the pool: no dial would ever look at the name."""
    names = Names("127.0.0.1")
    async with neighbour(upstream):
        rig = await named(gateway_for, upstream, names)
        client = await rig.connect()
        for _ in range(10):
            assert (await client.ask()).body == b"one"
        assert rig.p.endpoints[0].pool.dials == 1
        names.addresses = ("127.0.0.2",)
        await until_moved(rig, TTL + 1.0)
        await eventually(lambda: upstream.live == 0, "the old connection is closed")


async def test_idle_connections_do_not_outlive_the_name(gateway_for: GatewayFor, upstream: Upstream) -> None:
    names = Names("127.0.0.1")
    rig = await named(gateway_for, upstream, names)
    assert (await rig.ask()).body == b"one"
    names.addresses = ("127.0.0.2",)
    await eventually(
        lambda: rig.p.endpoints[0].pool.open == 0, "nobody asks, and the connection is closed all the same"
    )


async def test_an_exchange_is_not_cut_by_a_change_of_the_name(gateway_for: GatewayFor, upstream: Upstream) -> None:
    names = Names("127.0.0.1")
    rig = await named(gateway_for, upstream, names)
    upstream.behaviour = None
    busy = await rig.connect()
    await busy.send(request())
    link = await upstream.link()
    await link.head()
    names.addresses = ("127.0.0.2",)
    rig.p.endpoints[0].pool.connector.follow()
    await eventually(lambda: rig.p.endpoints[0].pool.connector.current == {"127.0.0.2"}, "the change is known")
    await link.send(OK)
    assert (await busy.response()).body == b"ok"
    await link.gone()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "it is not kept")


async def test_addresses_that_are_added_leave_connections_alone(gateway_for: GatewayFor, upstream: Upstream) -> None:
    names = Names("127.0.0.1")
    rig = await named(gateway_for, upstream, names)
    client = await rig.connect()
    await client.ask()
    names.addresses = ("127.0.0.3", "127.0.0.1")
    await eventually(lambda: len(rig.p.endpoints[0].pool.connector.current) == 2, "the change is known")
    assert (await client.ask()).body == b"one"
    assert rig.p.endpoints[0].pool.dials == 1


async def test_a_slow_resolver_is_asked_once(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """And the event loop does not spin until it answers."""
    names = Names("127.0.0.1")
    rig = await named(gateway_for, upstream, names)
    await rig.ask()
    sweeps = 0
    pool, answered = rig.p.endpoints[0].pool, asyncio.Event()
    resolve, sweep = names.resolve, pool.sweep

    async def slow(host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        await answered.wait()
        return await resolve(host, port, family)

    def counted() -> None:
        nonlocal sweeps
        sweeps += 1
        sweep()

    names.resolve = slow  # type: ignore[method-assign]
    pool._sweeper._expire = counted
    await eventually(lambda: pool.connector._following is not None, "it is asked")
    await asyncio.sleep(0.1)  # the time in which it would spin
    assert sweeps < 5
    answered.set()
    await eventually(lambda: pool.connector._following is None, "it has answered")


async def test_a_resolver_that_fails_leaves_connections_alone(gateway_for: GatewayFor, upstream: Upstream) -> None:
    names = Names("127.0.0.1")
    rig = await named(gateway_for, upstream, names)
    client = await rig.connect()
    await client.ask()
    names.addresses = ()
    asked = names.asked
    await eventually(lambda: names.asked > asked + 1, "it was asked, and asked again")
    assert (await client.ask()).body == b"one"
    assert rig.p.endpoints[0].pool.dials == 1


async def test_a_failed_dial_drops_the_cached_name_at_once(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "_DNS_TTL_SECONDS", 3600.0)
    names = Names("127.0.0.2")
    rig = await named(gateway_for, upstream, names)
    rig.p.endpoints[0].pool.connector._cached_hosts._ttl = 3600.0
    assert code_of(await rig.ask()) == "dial_failed"
    names.addresses = ("127.0.0.1",)
    assert (await rig.ask()).body == b"one"
    assert names.asked == 2


async def test_a_connection_that_is_too_old_is_not_kept(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """``max_age`` is looked at when it comes back: an exchange that takes longer is not cut."""
    rig = await named(gateway_for, upstream, Names("127.0.0.1"), max_age=0.2)
    client = await rig.connect()
    for _ in range(3):
        await client.ask()
    assert rig.p.endpoints[0].pool.dials == 1
    upstream.behaviour = None
    (link,) = upstream.links
    await asyncio.sleep(0.25)  # the age that is too old
    assert (await client.ask()).body == b"one"
    await link.gone()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "it came back too old")
