"""Reloads and drains of a running gateway, with traffic on it."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from harness.answers import answer, head
from harness.client import code_of, request
from harness.message import Truncated
from harness.rig import GatewayFor
from harness.upstream import Upstream

from gateway.app import Gateway
from gateway.config.records import Document, Listener
from gateway.core.address import Address


async def test_the_next_request_meets_the_new_configuration(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"old"))
    assert (await client.response()).body == b"old"
    await rig.change(active=False)
    await client.send(request())
    assert code_of(await client.response()) == "proxy_disabled"


async def test_a_running_exchange_keeps_the_upstream_that_it_began_with(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await rig.change(upstream="http://127.0.0.1:1")
    await link.send(answer(b"still here"))
    assert (await client.response()).body == b"still here"
    await link.gone()


async def test_an_address_that_is_taken_changes_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    before = rig.gateway.addresses
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await rig.gateway.reload(replace(rig.document, listen=(Listener(Address("127.0.0.1", port)),), routes=()))
    assert (rig.gateway.addresses, rig.gateway.generation) == (before, 1)
    assert rig.gateway.upstreams.keys() == {"p"}


async def test_listeners_follow_the_configuration(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    (old,) = rig.gateway.addresses
    await rig.gateway.reload(replace(rig.document, listen=(Listener(Address("localhost", 0)),)))
    assert old not in rig.gateway.addresses
    with pytest.raises(OSError, match=r"[Rr]efused"):
        await asyncio.open_connection(*old)


async def test_a_drain_finishes_what_runs_and_lets_nobody_in(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    busy, idle = await rig.connect(), await rig.connect()
    await busy.send(request())
    link = await upstream.link()
    await link.head()
    draining = asyncio.ensure_future(rig.gateway.drain(5))
    await idle.gone()
    await link.send(answer(b"done"))
    response = await busy.response()
    assert (response.body, response.get("connection")) == (b"done", b"close")
    assert await draining
    await busy.gone()


async def test_a_drain_that_takes_too_long_cuts(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Content-Length: 9"), b"half")
    assert not await rig.gateway.drain(0.05)
    with pytest.raises(Truncated):
        await client.response()
    await link.gone()
    assert (await rig.log.last())["reason"] == "draining"


def test_a_data_plane_refuses_a_loop_on_which_each_read_would_fail() -> None:
    """Before it listens: nobody connects to a gateway that cannot read."""

    async def start() -> list[tuple[str, int]]:
        gateway = Gateway(Document(listen=(Listener(Address("127.0.0.1", 0)),), access_log=None))
        try:
            with pytest.raises(RuntimeError, match=r"uvloop\.run"):
                await gateway.start()
            return gateway.addresses
        finally:
            await gateway.aclose()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(start()) == []
