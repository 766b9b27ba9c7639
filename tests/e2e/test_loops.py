"""Requests that come back, and addresses to which no request goes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from harness.answers import OK, ok
from harness.client import code_of, request
from harness.patience import eventually
from harness.records import serving
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker, UpstreamNetworks
from gateway.core.address import Address
from gateway.policy.breaker_store import State
from gateway.upstream import connector

BREAKER = CircuitBreaker(enabled=True, failure_threshold=1)


def own_via(lines: list[bytes]) -> bytes:
    (line,) = [line for line in lines if line.lower().startswith(b"via:")]
    return line.split()[-1]


async def test_a_request_that_names_us_has_been_here(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    assert (await rig.ask()).status == 200
    name = own_via(upstream.requests[0].lines).decode()
    for via in (f"1.1 {name}", f"1.0 other, HTTP/1.1 {name.upper()} (Breakwater), 1.1 third", f"1.1\t{name}"):
        response = await rig.ask("/", f"Via: {via}")
        assert (response.status, code_of(response)) == (508, "loop_detected")
    split = await rig.ask("/", "Via: 1.1 other", f"Via: 1.1 {name}")
    assert split.status == 508
    assert len(upstream.requests) == 1
    assert (await rig.log.last(5))["reason"] == "loop_detected"


async def test_a_request_that_names_others_passes(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    await rig.ask()
    name = own_via(upstream.requests[0].lines).decode()
    for via in ("1.1 breakwater", f"1.1 {name}-2", f"1.1 x{name}", f"1.1 other ({name})", ", ,", name):
        assert (await rig.ask("/", f"Via: {via}")).status == 200, via
    client = await rig.connect()
    for _ in range(2):  # the second time the head is known
        assert (await client.ask("/", f"Via: 1.1 {name}")).status == 508


async def test_a_chain_of_two_gateways_passes(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    inner = await gateway_for(upstream)
    outer = await gateway_for(f"http://127.0.0.1:{inner.gateway.addresses[0][1]}")
    assert (await outer.ask()).status == 200
    hops = [line for line in upstream.requests[0].lines if line.lower().startswith(b"via:")]
    assert len(set(hops)) == 2


async def test_a_circle_of_two_gateways_ends_where_it_began(gateway_for: GatewayFor, upstream: Upstream) -> None:
    first = await gateway_for(upstream)
    second = await gateway_for(f"http://127.0.0.1:{first.gateway.addresses[0][1]}")
    back = proxy_to(f"http://127.0.0.1:{second.gateway.addresses[0][1]}")
    await first.gateway.reload(serving(first.document, back))
    response = await first.ask()
    assert (response.status, code_of(response)) == (508, "loop_detected")
    await first.gateway.reload(first.document)  # it lets go of the second


async def test_a_name_that_leads_to_our_own_listener(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The port is known when the gateway listens, so that the proxy comes afterwards."""
    rig = await gateway_for(upstream)
    port = rig.gateway.addresses[0][1]
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"):
        own = proxy_to(f"http://{host}:{port}", circuit_breaker=BREAKER)
        document = serving(rig.document, own)
        # Where this machine has IPv6, localhost is ::1 too, and another process may have the port there.
        await rig.gateway.reload(replace(document, own_listeners=(*document.own_listeners, Address("::1", port))))
        response = await rig.ask()
        assert (response.status, code_of(response)) == (502, "upstream_denied"), host
        assert rig.p.endpoints[0].breaker.state is State.CLOSED


async def test_the_admin_listener_is_no_upstream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    upstream.behaviour = ok()
    admin = Address("127.0.0.1", upstream.port)
    assert (await rig.ask()).status == 200
    await rig.gateway.reload(replace(rig.document, own_listeners=(admin,)))
    assert code_of(await rig.ask()) == "upstream_denied", "not by a connection of before either"


async def test_the_address_that_is_dialled_counts(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name leads to the upstream when it is saved, and to a denied network at the next look."""
    monkeypatch.setattr(connector, "_DNS_TTL_SECONDS", 0.05)
    rig = await gateway_for(f"http://localhost:{upstream.port}", circuit_breaker=BREAKER)
    upstream.behaviour = ok()
    assert (await rig.ask()).status == 200
    networks = UpstreamNetworks(deny=("127.0.0.0/8", "::1"))
    await rig.gateway.reload(replace(rig.document, upstream_networks=networks))
    assert code_of(await rig.ask()) == "upstream_denied"
    assert rig.p.endpoints[0].breaker.state is State.CLOSED


async def test_an_exchange_on_a_connection_that_is_denied_by_now_is_not_cut(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await rig.gateway.reload(replace(rig.document, upstream_networks=UpstreamNetworks(deny=("127.0.0.0/8",))))
    await link.send(OK)
    assert (await client.response()).status == 200
    await link.gone()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "it is not kept")
    await asyncio.sleep(0)
    assert code_of(await client.ask()) == "upstream_denied"
