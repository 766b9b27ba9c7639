"""Rate limits on the wire: what callers get, what the back end sees, and what a reload changes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from harness.answers import answer, each_request, head, ok
from harness.client import Client, code_of, request
from harness.message import Message
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Link, Upstream
from harness.websocket import SWITCHED, UPGRADE

from gateway.config.records import CircuitBreaker, Cors, RateLimit
from gateway.control.metrics.exposition import Exposition

pytestmark = pytest.mark.protocols

DAY = 86400.0
TWO = RateLimit("client", 2.0, per=DAY)


async def statuses(client: Client, times: int, *lines: str, target: str = "/") -> list[int]:
    return [(await client.ask(target, *lines)).status for _ in range(times)]


def fields(message: Message) -> tuple[list[bytes], list[bytes]]:
    """RateLimit-Policy and RateLimit."""
    return message.all("RateLimit-Policy"), message.all("RateLimit")


@pytest.mark.parametrize("limits", [[TWO], [RateLimit("all", 100.0), TWO]])
async def test_a_caller_gets_what_it_was_promised_and_no_more(
    gateway_for: GatewayFor, upstream: Upstream, limits: Sequence[RateLimit]
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, rate_limits=tuple(limits))
    client = await rig.connect()
    first, second, refused = [await client.ask() for _ in range(3)]
    assert [first.status, second.status, refused.status] == [200, 200, 429]
    assert fields(first) == ([b'"client";q=2;w=86400'], [b'"client";r=1;t=43200'])
    policy, left = fields(second)
    assert policy == [b'"client";q=2;w=86400']
    assert re.fullmatch(rb'"client";r=0;t=43\d\d\d', left[0])
    assert code_of(refused) == "rate_limit"
    assert json.loads(refused.body)["details"] == "Too many requests came for the rate limit client"
    policy, left = fields(refused)
    assert policy == [b'"client";q=2;w=86400']
    after = refused.get("retry-after")
    assert after is not None
    assert left == [b'"client";r=0;t=%b' % after]
    assert 43190 <= int(after) <= 43200
    line = (await rig.log.wait(3))[-1]
    assert (line["reason"], line["attempts"], line["shadow"]) == ("rate_limit", 0, "")


async def test_a_header_has_a_bucket_for_each_of_its_values(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, rate_limits=(RateLimit("header:x-team", 1.0, per=DAY, name="team"),))
    client = await rig.connect()
    assert await statuses(client, 2, "X-Team: red") == [200, 429]
    assert await statuses(client, 2, "x-team: blue") == [200, 429]
    assert await statuses(client, 2) == [200, 429], "all who send none share one"


async def test_callers_are_told_apart_by_what_a_trusted_proxy_says(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, rate_limits=(RateLimit("client", 1.0, per=DAY),), trusted_proxies=("127.0.0.1",))
    client = await rig.connect()
    one, two = "X-Forwarded-For: 2001:db8:1:2::1", "X-Forwarded-For: 2001:db8:1:2::2"
    assert await statuses(client, 1, one) == [200]
    assert await statuses(client, 1, two) == [429], "the same network"
    assert await statuses(client, 2, "X-Forwarded-For: 198.51.100.7") == [200, 429]


async def test_what_is_rejected_reaches_nobody_and_takes_nothing_from_other_limits(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    limits = (RateLimit("all", 5.0, per=DAY, fields="always"), RateLimit("header:x-team", 1.0, per=DAY, fields="never"))
    rig = await gateway_for(upstream, rate_limits=limits)
    client = await rig.connect()
    assert await statuses(client, 4, "X-Team: red") == [200, 429, 429, 429]
    told = await client.ask("/", "X-Team: blue")
    assert fields(told)[1] == [b'"all";r=3;t=17280']
    assert len(upstream.requests) == 2


async def test_a_request_that_the_limiter_rejects_has_used_its_tokens(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, rate_limits=(RateLimit("client", 3.0, per=DAY),), max_concurrent=1)
    first, second = await rig.connect(), await rig.connect()
    await first.send(request())
    link = await upstream.link()
    await link.head()
    busy = await second.ask()
    assert code_of(busy) == "concurrency_limit"
    assert fields(busy)[1] == [b'"client";r=1;t=28800'], "every response tells it"
    await link.send(head("Content-Length: 0", "Connection: close"))
    link.close()
    assert (await first.response()).status == 200
    upstream.behaviour = ok()
    assert await statuses(second, 2) == [200, 429]


async def test_a_weight_and_shared_buckets(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    shared = RateLimit("client", 10.0, per=DAY, name="api", shared=True)
    rig = await gateway_for(
        upstream,
        proxies=(
            proxy_to(upstream, name="dear", path="/dear", rate_limits=(shared,), rate_weight=4),
            proxy_to(upstream, name="cheap", path="/cheap", rate_limits=(shared,)),
        ),
    )
    client = await rig.connect()
    assert await statuses(client, 3, target="/dear") == [200, 200, 429]
    assert await statuses(client, 3, target="/cheap") == [200, 200, 429]


class TestFields:
    THEIRS = ("RateLimit: limit=5, remaining=3, reset=9", 'ratelimit-policy: "theirs";q=5;w=9', "RateLimit-Limit: 5")

    async def test_those_of_the_upstream_make_room_for_ours(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        upstream.behaviour = each_request(lambda _: answer(b"ok", *self.THEIRS))
        rig = await gateway_for(upstream, rate_limits=(TWO,))
        message = await rig.ask()
        assert fields(message) == ([b'"client";q=2;w=86400'], [b'"client";r=1;t=43200'])
        assert message.get("ratelimit-limit") == b"5", "an older field of another name"

    @pytest.mark.parametrize("limits", [(), (RateLimit("client", 2.0, fields="never"),), (RateLimit("all", 2.0),)])
    async def test_where_there_are_none_of_ours_theirs_travel_on(
        self, gateway_for: GatewayFor, upstream: Upstream, limits: tuple[RateLimit, ...]
    ) -> None:
        upstream.behaviour = each_request(lambda _: answer(b"ok", *self.THEIRS))
        message = await (await gateway_for(upstream, rate_limits=limits)).ask()
        assert fields(message) == ([b'"theirs";q=5;w=9'], [b"limit=5, remaining=3, reset=9"])

    @pytest.mark.http1
    async def test_a_websocket_tells_it_too(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        async def switch(link: Link) -> None:
            await link.head()
            await link.send(SWITCHED[:-2] + b"RateLimit: limit=5\r\n\r\n")
            await link.gone()

        upstream.behaviour = switch
        rig = await gateway_for(upstream, rate_limits=(TWO,), websocket=True)
        client = await rig.connect()
        message = await client.ask("/", *UPGRADE)
        assert message.status == 101
        assert fields(message) == ([b'"client";q=2;w=86400'], [b'"client";r=1;t=43200'])


async def test_a_reload_keeps_the_buckets_and_applies_the_numbers(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, rate_limits=(TWO,))
    client = await rig.connect()
    assert await statuses(client, 3) == [200, 200, 429]
    await rig.change(rate_limits=(RateLimit("client", 5.0, per=DAY),))
    message = await client.ask()
    assert fields(message) == ([b'"client";q=5;w=86400'], [b'"client";r=2;t=17280']), (
        "two of five are used, and this one"
    )
    await rig.change(rate_limits=())
    assert await statuses(client, 5) == [200] * 5
    await rig.change(rate_limits=(TWO,))
    assert await statuses(client, 3) == [200, 200, 429], "what was switched off begins anew"


async def test_shadow_mode_refuses_nothing_and_counts_all(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, rate_limits=(RateLimit("client", 1.0, per=DAY, mode="shadow"),))
    client = await rig.connect()
    messages = [await client.ask() for _ in range(3)]
    assert [message.status for message in messages] == [200] * 3
    assert all(fields(message) == ([], []) for message in messages)
    assert [line["shadow"] for line in await rig.log.wait(3)] == ["", "rate_limit", "rate_limit"]
    rig.gateway.sample()
    text = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'gateway_shadow_refusals_total{proxy="p",reason="rate_limit"} 2' in text
    assert 'gateway_rate_limited_total{proxy="p",key="client"} 2' in text
    assert 'gateway_rate_limit_keys{proxy="p",key="client"} 1' in text
    assert "gateway_errors_total{" not in text


async def test_a_refusal_is_not_the_back_ends_doing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    breaker = CircuitBreaker(enabled=True, failure_threshold=1)
    cors = Cors(allow_origins=("https://a.test",))
    rig = await gateway_for(upstream, rate_limits=(TWO,), circuit_breaker=breaker, cors=cors)
    client = await rig.connect()
    assert await statuses(client, 4, "Origin: https://a.test") == [200, 200, 429, 429]
    assert rig.p.gate.failures == 0
    told = rig.gateway.explain("p")
    assert told is not None
    (limit,) = told["rates"]
    assert (limit["name"], limit["keys"], limit["left"], limit["forgotten"]) == ("client", 1, -1, 0)
    assert told["verdict"] == "admit", "others may come"
