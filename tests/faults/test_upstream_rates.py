"""Rate limits of connections and other upstreams on the wire: each attempt that is made takes a token."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from harness.answers import answer, each_request, ok
from harness.calling import Calling
from harness.client import Client, code_of
from harness.message import Message
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Upstream

from gateway.config.records import Backoff, CircuitBreaker, Endpoint, Hedge, RateLimit, Retries
from gateway.control.metrics.exposition import Exposition

pytestmark = pytest.mark.plain

DAY = 86400.0
ONE = RateLimit("all", 1.0, per=DAY, fields="never")


def shop(upstream: Upstream, rate: int, *, per: float = DAY, more: str = "") -> str:
    """A connection with two actions and a proxy."""
    return f"""
connections:
  shop: {{base_url: "{upstream.url}", rate_limits: [{{rate: {rate}, per: {per}}}], retry: once{more}}}
  bazaar: {{base_url: "{upstream.url}", rate_limits: [{{rate: {rate}, per: {per}}}], retry: once}}
actions:
  find: {{connection: shop, path: /find}}
  buy: {{connection: shop, path: /buy, method: POST}}
  again: {{connection: shop, path: /again, retry: {{max_retries: 2, base_delay_ms: 1, jitter: none}}}}
  elsewhere: {{connection: bazaar, path: /}}
proxies: [{{name: hub, path: /hub, upstream: connection/shop, access_rule: "true"}}]
"""


async def ask(calling: Calling) -> Message:
    client = await Client.connect(calling.gateway.addresses[0])
    try:
        return await client.ask("/hub/x")
    finally:
        client.close()


@pytest.mark.covers("ACT-41")
async def test_actions_and_proxy_take_from_one_bucket(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Calling(shop(upstream, 4)) as calling:
        assert [await calling.code("find"), await calling.code("buy")] == ["", ""]
        assert [(await ask(calling)).status for _ in range(2)] == [200, 200]
        refused = await ask(calling)
        assert (refused.status, code_of(refused)) == (429, "rate_limit")
        after = refused.get("retry-after")
        assert after is not None
        assert DAY / 4 - 20 < int(after) <= DAY / 4
        assert json.loads(refused.body)["details"] == "Too many requests came for the rate limit all of connection/shop"
        assert refused.all("RateLimit") == [], "what others use is not the matter of a caller"
        called = await calling("find")
        failure = called["failure"]
        assert failure is not None
        assert (failure["status"], failure["code"], called["attempts"]) == (429, "rate_limit", 0)
        assert DAY / 4 - 20 < failure["retry_after"] <= DAY / 4
        assert len(upstream.requests) == 4
        assert await calling.code("elsewhere") == "", "another connection has its own"


@pytest.mark.covers("ACT-41")
async def test_exactly_as_many_of_many_at_once_reach_the_third_party(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Calling(shop(upstream, 20)) as calling:
        calls = [calling.code("find") for _ in range(13)]
        found = await asyncio.gather(*calls, *(ask(calling) for _ in range(12)))
        codes = [each if isinstance(each, str) else code_of(each) if each.status == 429 else "" for each in found]
        assert sorted(codes) == [""] * 20 + ["rate_limit"] * 5
        assert len(upstream.requests) == 20


@pytest.mark.covers("ACT-41")
async def test_each_retry_and_page_takes_one(upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(b"no", status=503))
    async with Calling(shop(upstream, 5)) as calling:
        called = await calling("again")
        assert (called["status"], called["attempts"], len(upstream.requests)) == (503, 3, 3)
        assert (await calling("find"))["status"] == 503
        assert await calling.code("again") == "rate_limit", "the retry has no token any more"
        assert len(upstream.requests) == 5


@pytest.mark.covers("ACT-41")
async def test_a_call_waits_for_a_token_where_its_policy_and_its_time_allow(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    text = shop(upstream, 1, per=1.0).replace("base_delay_ms: 1", "base_delay_ms: 1, max_delay_ms: 5000")
    async with Calling(text) as calling:
        assert await calling.code("find") == ""
        called = await calling("again")
        assert (called["failure"], called["status"], called["attempts"]) == (None, 200, 1)
    async with Calling(shop(upstream, 1, per=60.0)) as calling:
        assert [await calling.code("find"), await calling.code("again")] == ["", "rate_limit"], "too long a wait"
        assert len(upstream.requests) == 3


@pytest.mark.covers("ACT-41")
async def test_calls_that_wait_together_have_an_order_and_lose_no_retry(upstream: Upstream) -> None:
    """Twelve calls for which there are tokens one by one, and none of which may be made again more than once."""
    failing = {"/again/3": 1}

    def reply(message: Message) -> bytes:
        path = message.target.decode()
        failing[path] = failing.get(path, 0) - 1
        return answer(b"no", status=503) if failing[path] == 0 else answer(b"ok")

    upstream.behaviour = each_request(reply)
    text = shop(upstream, 20, per=1.0).replace("rate: 20,", "rate: 20, burst: 1,")
    text = text.replace("path: /again, retry: {max_retries: 2", 'path: "/again/{n}", retry: {max_retries: 1')
    async with Calling(text) as calling:
        assert await calling.code("find") == ""
        tasks = []
        for number in range(12):
            tasks.append(asyncio.create_task(calling("again", n=str(number))))
            await asyncio.sleep(0)
        called = await asyncio.gather(*tasks)
        assert [(each["failure"], each["status"]) for each in called] == [(None, 200)] * 12
        assert [each["attempts"] for each in called] == [1, 1, 1, 2, *[1] * 8]
        targets = [each.target.decode() for each in upstream.requests[1:]]
        in_order = [f"/again/{number}" for number in range(12)]
        assert targets == [*in_order, "/again/3"], "the retry is the last in the line"
        await eventually(lambda: calling.gateway.exchanges == 0, "nothing runs")


@pytest.mark.covers("ACT-41")
async def test_one_who_leaves_the_line_wastes_no_token(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Calling(shop(upstream, 1, per=0.5).replace("max_retries: 2", "max_retries: 1")) as calling:
        assert await calling.code("find") == ""
        first, second, third = (asyncio.create_task(calling("again")) for _ in range(3))
        await eventually(lambda: calling.gateway.exchanges == 3, "they wait")
        began = asyncio.get_running_loop().time()
        first.cancel()
        assert (await second)["status"] == 200
        assert asyncio.get_running_loop().time() - began < 0.75, "it got the token of the first"
        assert (await third)["status"] == 200
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.covers("ACT-41")
async def test_a_refusal_teaches_no_breaker_and_a_breaker_that_refuses_takes_no_token(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    more = ", circuit_breaker: {enabled: true, failure_threshold: 2, recovery_timeout: 3600}"
    async with Calling(shop(upstream, 3, more=more)) as calling:
        assert [await calling.code("find") for _ in range(9)] == [""] * 3 + ["rate_limit"] * 6
        explained = calling.gateway.explain("connection/shop")
        assert explained is not None
        assert explained["breaker"] is not None
        assert (explained["breaker"]["state"], explained["breaker"]["failures"]) == ("closed", 0)
        assert (explained["reason"], explained["rates"][0]["left"]) == ("rate_limit", 0)
    upstream.behaviour = each_request(lambda message: answer(b"no", status=503))
    async with Calling(shop(upstream, 3, more=more)) as calling:
        assert [await calling.code("find") for _ in range(9)] == [""] * 2 + ["breaker_open"] * 7
        explained = calling.gateway.explain("hub")
        assert explained is not None
        assert [(rate.get("of"), rate["left"]) for rate in explained["rates"]] == [("connection/shop", 1)]


@pytest.mark.covers("ACT-41")
async def test_a_reload_keeps_the_bucket_and_another_name_has_its_own(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    text = shop(upstream, 3)
    async with Calling(text) as calling:
        assert [await calling.code("find") for _ in range(4)] == [""] * 3 + ["rate_limit"]
        await calling.reload(text.replace("/find", "/found"))
        assert await calling.code("find") == "rate_limit"
        await calling.reload(shop(upstream, 4))
        assert [await calling.code("find") for _ in range(2)] == ["", "rate_limit"], "as many are missing as before"
        await calling.reload(text.replace("shop", "store"))
        assert [await calling.code("find") for _ in range(4)] == [""] * 3 + ["rate_limit"]
        await calling.reload(text)
        assert await calling.code("find") == "", "that of a name that was gone begins full"


@pytest.mark.covers("ACT-41")
async def test_shadow_mode_and_metrics(upstream: Upstream) -> None:
    upstream.behaviour = ok()
    text = shop(upstream, 1)
    async with Calling(text.replace("per: 86400.0}", "per: 86400.0, mode: shadow}")) as calling:
        assert [await calling.code("find") for _ in range(3)] == [""] * 3
        assert _metric(calling, "gateway_rate_limited_total", "action/find") == 2
    async with Calling(text) as calling:
        assert [await calling.code("find") for _ in range(3)] == ["", "rate_limit", "rate_limit"]
        assert (await ask(calling)).status == 429
        assert _metric(calling, "gateway_rate_limited_total", "action/find") == 2
        assert _metric(calling, "gateway_rate_limited_total", "hub") == 1
        assert _metric(calling, "gateway_rate_limit_keys", "hub") == 1


def _metric(calling: Calling, name: str, proxy: str) -> int:
    calling.gateway.sample()
    text = "".join(Exposition(calling.gateway.counters).render(open_metrics=False))
    (found,) = [line for line in text.splitlines() if line.startswith(f'{name}{{proxy="{proxy}",key="all"}}')]
    return int(found.rpartition(" ")[2])


async def test_the_retries_of_a_proxy_take_tokens_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda message: answer(b"no", status=503))
    rates = (replace(ONE, rate=5.0),)
    retries = Retries(2, ("503",), backoff=Backoff(0.0, 0.0))
    rig = await gateway_for(upstream, upstream_rates=rates, retries=retries)
    assert [(await rig.ask()).status for _ in range(4)] == [503, 503, 503, 429]
    assert len(upstream.requests) == 5
    lines = (await rig.log.wait(4))[2:]
    assert [(line["reason"], line["attempts"]) for line in lines] == [("", 1), ("rate_limit", 0)]
    assert lines[0]["retries"]["withheld"] == "rate_limit", "the last retry had no token"


async def test_a_hedge_without_a_token_is_not_made(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, upstream_rates=(ONE,), hedge=Hedge(0.01))
    asking = asyncio.create_task(rig.ask())
    link = await upstream.link()
    await link.request()
    (running,) = rig.gateway.server.running()
    await eventually(lambda: running.hedge is not None and running.hedge.withheld, "the hedge got no token")
    await link.send(answer(b"ok"))
    assert (await asking).status == 200
    line = await rig.log.last()
    assert (line["reason"], line["attempts"]) == ("", 1)


async def test_a_request_whose_only_attempt_of_two_has_no_token_is_counted(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, upstream_rates=(ONE,), hedge=Hedge(60.0))
    assert [(await rig.ask()).status for _ in range(2)] == [200, 429]
    rig.gateway.sample()
    text = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'gateway_rate_limited_total{proxy="p",key="all"} 1' in text


async def test_a_probe_that_gets_no_token_leaves_its_place(gateway_for: GatewayFor, upstream: Upstream) -> None:
    statuses = [503, 200]
    upstream.behaviour = each_request(lambda message: answer(b"x", status=statuses.pop(0)))
    breaker = CircuitBreaker(enabled=True, failure_threshold=1, recovery_timeout=1e-6)
    rig = await gateway_for(upstream, upstream_rates=(ONE,), circuit_breaker=breaker)
    assert [(await rig.ask()).status for _ in range(3)] == [503, 429, 429]
    assert (rig.p.gate.state.word, rig.p.gate.probes) == ("half-open", 0)
    await rig.change(upstream_rates=())
    assert (await rig.ask()).status == 200
    assert rig.p.gate.state.word == "closed"


async def test_the_endpoints_of_an_upstream_share_its_bucket(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Upstream(ok()) as other:
        endpoints = (Endpoint(upstream.url), Endpoint(other.url))
        rig = await gateway_for(
            upstream, endpoints=endpoints, balance="round_robin", upstream_rates=(replace(ONE, rate=4.0),)
        )
        assert [(await rig.ask()).status for _ in range(6)] == [200] * 4 + [429] * 2
        assert (len(upstream.requests), len(other.requests)) == (2, 2)


async def test_the_fields_of_a_proxy_s_own_limits_stay(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    own = RateLimit("client", 10.0, per=DAY)
    rig = await gateway_for(upstream, upstream_rates=(ONE,), rate_limits=(own,))
    await rig.ask()
    refused = await rig.ask()
    assert refused.status == 429
    assert refused.all("RateLimit") == [b'"client";r=8;t=8640']
    assert json.loads(refused.body)["details"] == "Too many requests came for the rate limit all of p"
