"""A limit that adapts, between real sockets: an upstream that has a place, and then lets requests wait inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.answers import answer, chunk, head
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import Adaptive, Limiter, Queue
from gateway.observe import families
from gateway.policy import lessons
from gateway.policy.learned import Learned
from gateway.proxy.layers import adapt

pytestmark = [pytest.mark.plain, pytest.mark.interpreted]

STREAM = head("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
COMMENT, DATA, LAST = chunk(b": wait\n\n"), chunk(b"data: a\n\n"), b"0\r\n\r\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and decisions that take seconds take milliseconds."""
    monkeypatch.setattr(adapt, "LOOK_SECONDS", 0.005)
    for name, value in (("PERIOD_SECONDS", 0.01), ("LEAST_BUSY_SECONDS", 0.01), ("MOST_BUSY_SECONDS", 0.01)):
        monkeypatch.setattr(lessons, name, value)


async def begun(rig: Rig, upstream: Upstream, *data: bytes) -> tuple[Client, Link]:
    """A caller, and the connection on which its request has come and got so much of a response."""
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(*data)
    return client, link


async def end(client: Client, link: Link, *data: bytes) -> None:
    await link.send(*data, LAST)
    assert (await client.response()).status == 200


def learned(rig: Rig) -> Learned:
    found: Learned = rig.p.adaptive.store.read()
    return found


def told(rig: Rig) -> Any:
    found = rig.gateway.explain("p")
    assert found is not None
    return found["adaptive"]


def counted(rig: Rig, cause: str) -> int:
    base = dict(rig.gateway.counters.live())["p"]
    found: int = rig.gateway.counters.ints[base + families.ADAPTIVE_DECISIONS + families.DECISION_CAUSES.index(cause)]
    return found


async def test_it_grows_while_responses_begin_and_falls_when_one_waits_inside(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, limiter=Limiter(adaptive=Adaptive(1, 1, 2)))
    assert (rig.p.limiter.max, told(rig)["decisions"]) == (1, [])
    first = await begun(rig, upstream, STREAM, DATA)
    await eventually(lambda: rig.p.limiter.max == 2, "a stream has begun, and the limit is used up")
    second = await begun(rig, upstream)  # it has no worker for this one
    await eventually(lambda: rig.p.limiter.max == 1, "one is at work, and one waits")
    assert code_of(await rig.ask()) == "concurrency_limit"
    up, down = told(rig)["decisions"]
    assert (up["old"], up["new"], up["cause"]) == (1, 2, "probe")
    assert (down["old"], down["new"], down["cause"], down["begun"], down["overdue"]) == (2, 1, "late", 1, 1)
    assert "1 of 2 responses had begun" in down["why"]
    rig.gateway.sample()
    base = dict(rig.gateway.counters.live())["p"]
    assert rig.gateway.counters.ints[base + families.ADAPTIVE_LIMIT] == 1
    assert (counted(rig, "probe"), counted(rig, "late")) == (1, 1)
    await end(*first)
    await end(*second, STREAM, DATA)


async def test_a_caller_who_leaves_teaches_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limiter=Limiter(adaptive=Adaptive(2, 1, 4)))
    for _ in range(3):
        client, link = await begun(rig, upstream)
        client.close()
        await link.gone()
    await rig.settled()
    looked = learned(rig).looked_at
    assert looked > 0.0
    found = learned(rig)
    assert (found.limit, found.samples, found.late, found.dropped, found.decisions) == (2, [], 0.0, 0.0, [])


async def test_refusals_of_the_upstream_lower_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limiter=Limiter(adaptive=Adaptive(4, 1, 4)))
    first = await begun(rig, upstream, STREAM, DATA)
    second = await begun(rig, upstream, STREAM, DATA)
    client, link = await begun(rig, upstream)
    await link.send(answer(b"busy", status=503))
    assert (await client.response()).status == 503
    await eventually(lambda: rig.p.limiter.max < 4, "the upstream refuses")
    assert told(rig)["decisions"][0]["cause"] == "dropped"
    for each in (first, second):
        await end(*each)


async def test_a_head_that_comes_at_once_says_nothing_where_the_first_event_counts(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    signal = Limiter(adaptive=Adaptive(1, 1, 2, "first_event"))
    rig = await gateway_for(upstream, limiter=signal)
    client, link = await begun(rig, upstream, STREAM, COMMENT)
    looked = learned(rig).looked_at
    await eventually(lambda: learned(rig).looked_at > looked + 0.05)
    assert (rig.p.limiter.max, learned(rig).samples) == (1, [])
    await link.send(DATA)
    await eventually(lambda: rig.p.limiter.max == 2, "now it works")
    await end(client, link)


async def test_in_shadow_mode_it_is_found_and_nothing_is_refused(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limiter=Limiter("shadow", Adaptive(1, 1, 2)))
    first = await begun(rig, upstream, STREAM, DATA)
    await eventually(lambda: rig.p.limiter.max == 2)
    waiting = [await begun(rig, upstream) for _ in range(2)]
    await eventually(lambda: rig.p.limiter.max == 1, "one of three is at work")
    await end(*first)
    for each in waiting:
        await end(*each, STREAM, DATA)
    lines = await rig.log.wait(3)
    assert [line.get("shadow", "") for line in lines] == ["", "", "concurrency_limit"]


async def test_who_waits_is_admitted_when_it_grows(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limiter=Limiter(adaptive=Adaptive(1, 1, 2)), queue=Queue(1, 10.0))
    client, link = await begun(rig, upstream)
    second = await rig.connect()
    await second.send(request())
    await eventually(lambda: rig.p.limiter.waiting == 1)
    await link.send(STREAM, DATA)
    other = await upstream.link()
    await other.head()
    assert rig.p.limiter.max == 2
    await end(client, link)
    await end(second, other, STREAM, DATA)


async def test_a_reload_to_a_fixed_limit_ends_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limiter=Limiter(adaptive=Adaptive(1, 1, 2)))
    client, link = await begun(rig, upstream, STREAM, DATA)
    await eventually(lambda: rig.p.limiter.max == 2)
    await rig.change(max_concurrent=7, limiter=Limiter())
    assert (rig.p.limiter.max, rig.p.limiter.in_flight, rig.p.adaptive, told(rig)) == (7, 1, None, None)
    await end(client, link)
    assert rig.p.limiter.max == 7
    await rig.change(max_concurrent=0, limiter=Limiter(adaptive=replace(Adaptive(), initial=3)))
    assert rig.p.limiter.max == 3
