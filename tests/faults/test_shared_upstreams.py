"""Two proxies on one upstream: one limit, one breaker and one pool for both, and both show them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.answers import answer
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker, Queue
from gateway.observe import families
from gateway.proxy.inspect.status import gauges

pytestmark = pytest.mark.plain


def sharing(upstream: Upstream | str, **settings: object) -> tuple[Proxied, Proxied]:
    """``chat`` has the upstream, ``embed`` names it."""
    chat = proxy_to(upstream, name="chat", path="/chat", **settings)
    return chat, Proxied(replace(chat.route, name="embed", path="/embed"), chat.upstream)


async def rig_of(gateway_for: GatewayFor, upstream: Upstream | str, **settings: object) -> Rig:
    return await gateway_for(upstream, proxies=sharing(upstream, **settings))


async def begun(rig: Rig, path: str) -> Client:
    client = await rig.connect()
    await client.send(request(path))
    return client


def shown(rig: Rig, name: str) -> dict[int, int]:
    """The numbers of a proxy at a scrape, by cell."""
    rig.gateway.sample()
    base = dict(rig.gateway.counters.live())[name]
    return {cell: rig.gateway.counters.ints[base + cell] for cell, _ in gauges(None, 0)} | {
        cell: rig.gateway.counters.ints[base + cell] for cell in (families.DIALS, families.REUSES)
    }


async def test_they_share_its_permits_and_both_explain_who_has_them(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, max_concurrent=1)
    client = await begun(rig, "/chat")
    link = await upstream.link()
    await link.head()
    assert code_of(await rig.ask("/embed")) == "concurrency_limit"
    for name in ("chat", "embed"):
        told = rig.gateway.explain(name)
        assert told is not None
        assert (told["proxy"], told["verdict"], told["active_count"]) == (name, "refuse", 1)
    assert {name: state["in_flight"] for name, state in rig.gateway.state().items()} == {"chat": 1, "embed": 1}
    await link.send(answer(b"ok"))
    assert (await client.response()).status == 200


async def test_they_share_its_connections(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream)
    first = await begun(rig, "/chat")
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"one"))
    assert (await first.response()).body == b"one"
    pool = rig.gateway.upstreams["chat"].endpoints[0].pool
    await eventually(lambda: pool.idle == 1, "the connection is kept")
    second = await begun(rig, "/embed")
    await link.head()
    await link.send(answer(b"two"))
    assert (await second.response()).body == b"two"
    assert (pool.dials, pool.reuses) == (1, 1)
    for name in ("chat", "embed"):
        assert [shown(rig, name)[cell] for cell in (families.DIALS, families.REUSES)] == [1, 1]


async def test_they_share_its_breaker_and_either_resets_it(gateway_for: GatewayFor) -> None:
    breaker = CircuitBreaker(True, 1, 3600)
    rig = await rig_of(gateway_for, "http://127.0.0.1:1", circuit_breaker=breaker)
    assert code_of(await rig.ask("/chat")) == "dial_failed"
    assert code_of(await rig.ask("/embed")) == "breaker_open"
    assert {name: pulse["breaker"] for name, pulse in rig.gateway.breakers().items()} == {
        "chat": "open",
        "embed": "open",
    }
    assert rig.gateway.reset_breaker("embed", "ann")
    assert code_of(await rig.ask("/chat")) == "dial_failed"
    await eventually(lambda: [line["proxy_name"] for line in rig.log.lines()] == ["chat", "embed", "chat"])


async def test_an_upstream_stays_as_long_as_a_proxy_names_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await rig_of(gateway_for, upstream, max_concurrent=1)
    before = rig.gateway.upstreams["chat"]
    await rig.change(active=False)
    assert rig.gateway.upstreams["chat"] is before
    assert rig.gateway.state().keys() == {"embed"}
    client = await begun(rig, "/embed")
    link = await upstream.link()
    await link.head()
    await link.send(answer(b"ok"))
    assert (await client.response()).status == 200


async def test_one_that_is_switched_off_shows_nothing_of_what_the_other_still_uses(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await rig_of(gateway_for, upstream, max_concurrent=3, queue=Queue(2, 5.0))
    used = {families.IN_FLIGHT: 1, families.LIMIT: 3, families.QUEUE_LIMIT: 2, families.MODE: 2, families.POOL_OPEN: 1}
    client = await begun(rig, "/embed")
    link = await upstream.link()
    await link.head()
    for name in ("chat", "embed"):
        assert shown(rig, name).items() >= used.items()
    await rig.change(active=False)
    assert {cell for cell, value in shown(rig, "chat").items() if value} <= {families.DIALS, families.REUSES}
    assert shown(rig, "embed").items() >= used.items()
    await rig.change()
    assert shown(rig, "chat").items() >= used.items()
    await link.send(answer(b"ok"))
    assert (await client.response()).status == 200


async def test_an_exchange_of_one_that_is_switched_off_shows_to_its_end(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, max_concurrent=3)
    client = await begun(rig, "/p")
    link = await upstream.link()
    await link.head()
    await rig.change(active=False)
    told = shown(rig, "p")
    assert {cell: told[cell] for cell in told if told[cell]} == {
        families.ACTIVE: 1,
        families.IN_FLIGHT: 1,
        families.DIALS: 1,
    }
    await link.send(answer(b"ok"))
    assert (await client.response()).status == 200
    await eventually(lambda: not shown(rig, "p")[families.ACTIVE], "nothing runs any more")


@pytest.mark.parametrize(
    "change", [{"active": False}, {"circuit_breaker": CircuitBreaker()}], ids=["off", "no breaker"]
)
async def test_a_breaker_that_is_gone_is_open_no_longer(gateway_for: GatewayFor, change: dict[str, object]) -> None:
    rig = await gateway_for("http://127.0.0.1:1", circuit_breaker=CircuitBreaker(True, 1, 3600))
    assert code_of(await rig.ask("/p")) == "dial_failed"
    assert shown(rig, "p")[families.BREAKER_STATE] == 1
    floats, base = rig.gateway.counters.floats, dict(rig.gateway.counters.live())["p"]
    assert floats[base + families.OPENED_AT] > 0
    await rig.change(**change)
    assert floats[base + families.OPENED_AT] == 0  # with the change, before anything reads it
    counted = floats[base + families.OPEN_SECONDS]
    assert counted > 0
    assert (shown(rig, "p")[families.BREAKER_STATE], shown(rig, "p")[families.MODE + 2]) == (0, 0)
    assert floats[base + families.OPEN_SECONDS] == counted
