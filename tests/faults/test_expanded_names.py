"""A name with several addresses: each is an endpoint, comes with a slow start, and leaves without cutting what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from faults.test_endpoints import asked, named, outcome, over, series
from harness.answers import chunk, head
from harness.client import request
from harness.dns import Addresses
from harness.patience import eventually
from harness.records import Proxied, serving
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker, Endpoint, UpstreamNetworks
from gateway.control.metrics.exposition import Exposition
from gateway.upstream import names as module

pytestmark = pytest.mark.plain


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Addresses:
    made = Addresses("127.0.0.1", "127.0.0.2")
    monkeypatch.setattr(module, "Resolver", lambda: made)
    return made


@asynccontextmanager
async def neighbours() -> AsyncIterator[tuple[Upstream, Upstream, Upstream]]:
    """On one port of three addresses."""
    async with (
        Upstream(named("1")) as one,
        Upstream(named("2"), address=("127.0.0.2", one.port)) as two,
        Upstream(named("3"), address=("127.0.0.3", one.port)) as three,
    ):
        yield one, two, three


def expanded(port: int, **settings: Any) -> Proxied:
    endpoint = Endpoint(f"http://many.test:{port}", expand_dns=True, dns_interval=0.02)
    proxied = over([f"http://many.test:{port}"], **({"balance": "round_robin"} | settings))
    return Proxied(proxied.route, replace(proxied.upstream, endpoints=(endpoint,)))


def addresses(rig: Rig) -> list[str]:
    return [endpoint.origin.address for endpoint in rig.p.endpoints]


async def moved(rig: Rig, resolver: Addresses, *to: str) -> None:
    resolver.addresses = to
    await eventually(lambda: addresses(rig) == sorted(to), "the endpoints follow the name")


async def test_each_address_is_an_endpoint_under_its_name(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, two, _):
        rig = await gateway_for(upstream, proxies=(expanded(one.port),))
        assert await asked(rig, 6) == {"1": 3, "2": 3}
        assert {each.get("host") for each in (*one.requests, *two.requests)} == {b"many.test:%d" % one.port}
        await eventually(lambda: len(rig.log.lines()) == 6)
        assert {line["upstream"] for line in rig.log.lines()} == {f"127.0.0.{n}:{one.port}" for n in (1, 2)}
        labels = [f"p http://many.test:{one.port} (127.0.0.{n})" for n in (1, 2)]
        assert {name: figures["success"] for name, figures in series(rig).items()} == dict.fromkeys(labels, 3)
        explanation = rig.gateway.explain("p")
        assert explanation is not None
        group = explanation.get("group")
        assert group is not None
        assert [(each["url"], each.get("address")) for each in group["endpoints"]] == [
            (f"http://many.test:{one.port}", f"127.0.0.{n}") for n in (1, 2)
        ]


async def test_addresses_come_and_go_while_the_gateway_serves(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, _, three):
        rig = await gateway_for(upstream, proxies=(expanded(one.port, slow_start=3600.0),))
        assert await asked(rig, 4) == {"1": 2, "2": 2}
        first = rig.p.endpoints[0]
        generation = rig.gateway.generation
        await moved(rig, resolver, "127.0.0.1", "127.0.0.3")
        assert (rig.p.endpoints[0], rig.gateway.generation) == (first, generation), "what stays is as it was"
        assert (rig.p.endpoints[1].member.warm_from > 0, first.member.warm_from) == (True, 0.0)
        found = await asked(rig, 33)
        assert found["3"] == 3, "a tenth of its weight"
        assert found["1"] == 30
        assert three.accepted == 1
        await moved(rig, resolver, "127.0.0.3")
        assert await asked(rig, 4) == {"3": 4}
        assert rig.p.group is None, "one is left, and gets all"
        await moved(rig, resolver, "127.0.0.1", "127.0.0.2", "127.0.0.3")
        assert len(rig.p.group.conditions) == 3


async def test_a_stream_of_an_address_that_leaves_goes_on(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, two, _):
        two.behaviour = None
        rig = await gateway_for(upstream, proxies=(expanded(one.port, max_concurrent=2),))
        clients = [await rig.connect() for _ in range(2)]
        for client in clients:
            await client.send(request())
        link = await two.link()
        await link.request()
        await link.send(head("Transfer-Encoding: chunked"), chunk(b"one "))
        await moved(rig, resolver, "127.0.0.1")
        assert await asked(rig, 3) == {"1": 3}
        assert rig.p.limiter.in_flight == 1, "it holds its permit"
        await link.send(chunk(b"two"), chunk(b""))
        assert sorted([(await client.response()).body for client in clients]) == [b"1", b"one two"]
        await link.gone()


async def test_while_the_name_cannot_be_resolved_the_last_addresses_serve(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, _, _):
        rig = await gateway_for(upstream, proxies=(expanded(one.port),))
        resolver.addresses = ()
        before = resolver.asked
        await eventually(lambda: resolver.asked > before + 2)
        rig.gateway.sample()
        text = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
        (line,) = [line for line in text.splitlines() if line.startswith("gateway_name_resolution_failures_total ")]
        assert float(line.split()[1]) >= 2
        assert await asked(rig, 4) == {"1": 2, "2": 2}
        await rig.gateway.reload(serving(rig.document, expanded(one.port, max_concurrent=7)))
        assert await asked(rig, 4) == {"1": 2, "2": 2}


async def test_a_name_without_addresses_is_served_as_soon_as_it_has_some(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    resolver.addresses = ()
    async with neighbours() as (one, _, _):
        rig = await gateway_for(upstream, proxies=(expanded(one.port),))
        assert addresses(rig) == [""], "the name itself is dialled"
        await moved(rig, resolver, "127.0.0.1", "127.0.0.2")
        assert await asked(rig, 4) == {"1": 2, "2": 2}


async def test_each_address_has_a_breaker_of_its_own(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, two, _):
        two.behaviour = named("2", 500)
        breaker = CircuitBreaker(True, 2, 3600)
        rig = await gateway_for(upstream, proxies=(expanded(one.port, circuit_breaker=breaker),))
        assert await asked(rig, 10) == {"1": 8, "500": 2}
        assert [each.breaker.state.api_word for each in rig.p.endpoints] == ["closed", "open"]


async def test_a_denied_address_gets_nothing_and_harms_no_other(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, two, _):
        rig = await gateway_for(upstream, proxies=(expanded(one.port),))
        networks = UpstreamNetworks(deny=("127.0.0.2/32",))
        await rig.gateway.reload(replace(rig.document, upstream_networks=networks))
        assert await asked(rig, 4) == {"1": 2, "upstream_denied": 2}
        assert not two.accepted


async def test_a_change_during_a_reload_waits_for_its_end(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, _, _):
        rig = await gateway_for(upstream, proxies=(expanded(one.port),))
        document = serving(rig.document, expanded(one.port, max_concurrent=7))
        for end in (rig.gateway.abandon, lambda prepared: rig.gateway.commit(prepared, 9)):
            prepared = await rig.gateway.prepare(document)
            resolver.addresses = ("127.0.0.1", "127.0.0.2") if len(resolver.addresses) == 1 else ("127.0.0.3",)
            before = resolver.asked
            await eventually(lambda before=before: resolver.asked > before + 1)  # type: ignore[misc]
            await asyncio.sleep(0)
            assert len(rig.p.endpoints) != len(resolver.addresses)
            await end(prepared)
            assert addresses(rig) == sorted(resolver.addresses)
        assert rig.p.limiter.max == 7
        assert (await asked(rig, 4)).total() == 4


async def test_an_address_of_ipv6_is_dialled(gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses) -> None:
    resolver.addresses = ("::1",)
    rig = await gateway_for(upstream, proxies=(expanded(1),))
    assert (outcome(await rig.ask()), addresses(rig)) == ("dial_failed", ["::1"])
