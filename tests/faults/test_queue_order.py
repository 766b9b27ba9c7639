"""Who is next in the queue, on the wire: the upstream sees the requests in the order in which they were admitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.answers import answer
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.records import Codel, Priority, Queue

pytestmark = pytest.mark.plain
LONG = 60.0


class Line:
    """One permit, which someone has, and those who wait for it."""

    def __init__(self, rig: Rig, upstream: Upstream) -> None:
        self.rig = rig
        self.upstream = upstream
        self.holder: Link | None = None
        self.clients: dict[str, Client] = {}

    @property
    def waiting(self) -> int:
        limiter = next(iter(self.rig.gateway.upstreams.values())).limiter
        assert limiter is not None
        return limiter.waiting

    async def begin(self) -> None:
        self.clients["first"] = client = await self.rig.connect()
        await client.send(request("/p/first"))
        self.holder = await self.upstream.link()
        await self.holder.head()

    async def join(self, target: str, *lines: str) -> None:
        self.clients[target] = client = await self.rig.connect()
        before = self.waiting
        await client.send(request(target, *lines))
        await eventually(lambda: self.waiting == before + 1, f"{target} waits")

    async def served(self) -> list[str]:
        """End each in turn: the targets in the order in which they come to the upstream."""
        assert self.holder is not None
        order = []
        while True:
            await self.holder.send(answer(b"ok"))
            if not self.waiting:
                return order
            order.append(await self.next())

    async def next(self) -> str:
        """The end of the target of the next request; the connection is kept."""
        assert self.holder is not None
        return (await self.holder.head()).target.decode().rpartition("/")[2]


async def line_of(gateway_for: GatewayFor, upstream: Upstream, *more: Proxied, **settings: object) -> Line:
    proxy = proxy_to(upstream, path="/p", **({"max_concurrent": 1, "queue": Queue(9, LONG)} | settings))
    shared = [Proxied(replace(each.route, upstream=proxy.route.upstream), proxy.upstream) for each in more]
    line = Line(await gateway_for(upstream, proxies=(proxy, *shared)), upstream)
    await line.begin()
    return line


async def test_a_field_says_who_goes_first_where_it_is_configured(gateway_for: GatewayFor, upstream: Upstream) -> None:
    line = await line_of(gateway_for, upstream, priority=Priority(header="X-Priority"))
    await line.join("/p/low", "X-Priority: low")
    await line.join("/p/plain")
    await line.join("/p/odd", "X-Priority: urgent")
    await line.join("/p/high", "X-Priority: high")
    assert await line.served() == ["high", "plain", "odd", "low"]


async def test_without_the_key_the_field_says_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    line = await line_of(gateway_for, upstream)
    await line.join("/p/low", "X-Priority: low")
    await line.join("/p/high", "X-Priority: high")
    assert await line.served() == ["low", "high"]


async def test_of_two_proxies_on_one_upstream_one_goes_first(gateway_for: GatewayFor, upstream: Upstream) -> None:
    batch = proxy_to(upstream, name="batch", path="/batch", priority=Priority("low"))
    line = await line_of(gateway_for, upstream, batch)
    await line.join("/batch/b1")
    await line.join("/batch/b2")
    await line.join("/p/person")
    assert await line.served() == ["person", "b1", "b2"]


async def test_in_a_full_queue_a_low_one_makes_way_and_is_told_so(gateway_for: GatewayFor, upstream: Upstream) -> None:
    line = await line_of(gateway_for, upstream, queue=Queue(2, LONG), priority=Priority(header="X-Priority"))
    await line.join("/p/l1", "X-Priority: low")
    await line.join("/p/l2", "X-Priority: low")
    client = await line.rig.connect()
    await client.send(request("/p/high", "X-Priority: high"))
    sent_away = await line.clients["/p/l2"].response()
    assert (sent_away.status, code_of(sent_away)) == (429, "queue_full")
    assert int(sent_away.get("Retry-After") or b"0") >= 1
    assert await line.served() == ["high", "l1"]


async def test_under_overload_the_newest_goes_first(gateway_for: GatewayFor, upstream: Upstream) -> None:
    line = await line_of(gateway_for, upstream, queue=Queue(9, LONG, codel=Codel(1e-6, 1e-6)))
    for number in range(1, 5):
        await line.join(f"/p/{number}")
    assert line.holder is not None
    order = []
    for _ in range(2):
        await line.holder.send(answer(b"ok"))
        order.append(await line.next())
    assert order == ["1", "4"], "of the first nothing was known before"
    for number in (2, 3):
        dropped = await line.clients[f"/p/{number}"].response()
        assert (dropped.status, code_of(dropped)) == (429, "queue_timeout")
