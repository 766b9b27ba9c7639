"""Acceptance: T019, T058, T060a, SC-005 (the limiter) and T029, T059 (the breaker), seen from both ends of the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest
from harness.answers import OK, answer, status_on_demand
from harness.client import code_of, request
from harness.message import Message
from harness.patience import PATIENCE, eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker, Queue


class Gate:
    """An upstream whose requests stay inside until the test lets them out; counts how many were in at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.peak = 0
        self.served = 0
        self.door = asyncio.Semaphore(0)

    def open(self, places: int) -> None:
        for _ in range(places):
            self.door.release()

    async def behaviour(self, link: Link) -> None:
        while True:
            await link.request()
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            await self.door.acquire()
            self.inside -= 1
            self.served += 1
            await link.send(OK)


async def ten(rig: Rig) -> list[asyncio.Task[Message]]:
    """Ten callers at the same moment, a connection each."""
    clients = [await rig.connect() for _ in range(10)]
    return [asyncio.create_task(client.ask()) for client in clients]


@pytest.mark.covers("FR-008", "FR-009", "FR-011", "T053", "T058")
async def test_t058_five_of_ten_pass(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """With 5 permits, 10 parallel requests are 5 answers and 5 refusals.

    Each refusal is 429 with a Retry-After of at least a second and the JSON body that callers are promised.
    """
    gate = Gate()
    upstream.behaviour = gate.behaviour
    rig = await gateway_for(upstream, max_concurrent=5)
    calls = await ten(rig)
    await eventually(lambda: sum(call.done() for call in calls) == 5, "five are refused at once")
    refusals = [call.result() for call in calls if call.done()]
    await eventually(lambda: gate.inside == 5, "five are inside")
    gate.open(5)
    assert Counter(message.status for message in await asyncio.gather(*calls)) == {200: 5, 429: 5}
    assert (gate.served, gate.peak) == (5, 5)
    for refusal in refusals:
        assert code_of(refusal) == "concurrency_limit"
        assert int(refusal.get("retry-after") or b"0") >= 1
        assert all(json.loads(refusal.body)[key] for key in ("error", "details", "code", "request_id"))


@pytest.mark.covers("FR-008", "T017", "T019")
async def test_t019_a_permit_comes_back_with_the_answer(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A full proxy refuses; as soon as one answer is through, exactly one more caller gets in, and so on."""
    gate = Gate()
    upstream.behaviour = gate.behaviour
    rig = await gateway_for(upstream, max_concurrent=1)
    for turn in range(1, 4):
        caller = asyncio.create_task((await rig.connect()).ask())
        await eventually(lambda: gate.inside == 1, "the permit holder is inside")
        assert (await rig.ask()).status == 429
        gate.open(1)
        assert (await caller).status == 200
        assert gate.served == turn
        await rig.settled()


@pytest.mark.covers("FR-010", "SC-005", "T019", "T056", "T060c")
async def test_t019_sc005_never_more_than_allowed(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Sixty callers that ask again and again: the upstream never has more than ``max_concurrent`` inside."""
    gate = Gate()
    gate.open(10_000)
    upstream.behaviour = gate.behaviour
    rig = await gateway_for(upstream, max_concurrent=7, queue=Queue(10, 5))
    clients = [await rig.connect() for _ in range(60)]

    async def insist(number: int) -> Counter[int]:
        return Counter([(await clients[number].ask()).status for _ in range(10)])

    answers = sum(await asyncio.gather(*(insist(number) for number in range(60))), Counter[int]())
    assert set(answers) <= {200, 429}
    assert answers[200] + answers[429] == 600
    assert gate.served == answers[200]
    assert answers[429] > 0, "the limit was never reached"
    assert upstream.accepted <= 7
    assert gate.peak <= 7
    assert rig.p.limiter.extra_releases == 0


@pytest.mark.covers("SC-005", "T060c")
async def test_sc005_the_limit_is_used_to_the_full(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Neither one more nor one less: with 3 permits and callers waiting, exactly 3 are inside."""
    gate = Gate()
    upstream.behaviour = gate.behaviour
    rig = await gateway_for(upstream, max_concurrent=3, queue=Queue(10, 5))
    calls = await ten(rig)
    for served in range(8):
        await eventually(lambda served=served: gate.served == served and gate.inside == 3, "three inside")
        gate.open(1)
    gate.open(2)
    assert {message.status for message in await asyncio.gather(*calls)} == {200}
    assert gate.peak == 3


@pytest.mark.covers("T016", "T060a")
async def test_t060a_the_queue_serves_all_ten(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Queue mode: 5 go in at once, 5 wait their turn, all 10 are served, and never more than 5 are inside."""
    gate = Gate()
    upstream.behaviour = gate.behaviour
    rig = await gateway_for(upstream, max_concurrent=5, queue=Queue(5, 10))
    calls = await ten(rig)
    await eventually(lambda: (gate.inside, rig.p.limiter.waiting) == (5, 5), "five inside, five waiting")
    assert not any(call.done() for call in calls)
    gate.open(10)
    assert [message.status for message in await asyncio.gather(*calls)] == [200] * 10
    assert (gate.served, gate.peak) == (10, 5)
    assert sum(line["queue_ms"] > 0 for line in await rig.log.wait(10)) == 5


FENCE = CircuitBreaker(enabled=True, failure_threshold=3, recovery_timeout=0.3)


async def recovery(rig: Rig) -> None:
    """Ask until the breaker lets a request through, with a bound."""
    async with asyncio.timeout(PATIENCE):
        while (await rig.ask("/status/200")).status == 503:
            pass


def later(rig: Rig, seconds: float) -> None:
    """Put the breaker's clock forward."""
    rig.p.endpoints[0].breaker.clock = lambda: time.monotonic() + seconds


@pytest.mark.covers("FR-012", "FR-013", "FR-015", "NFR-006", "SC-004", "T054", "T059")
async def test_t059_the_fourth_is_refused_and_it_recovers(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Three failures open the breaker: the 4th request is 503 with X-Circuit-Breaker, and the upstream sees nothing.

    After ``recovery_timeout`` the next request is let through, and its success lets all others through again.
    """
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(upstream, circuit_breaker=FENCE)
    assert [(await rig.ask("/status/500")).status for _ in range(3)] == [500] * 3
    opened = time.monotonic()
    seen, accepted = len(upstream.requests), upstream.accepted
    refused = await rig.ask("/status/200")
    assert (refused.status, code_of(refused)) == (503, "breaker_open")
    assert refused.get("x-circuit-breaker") == b"open"
    assert int(refused.get("retry-after") or b"0") >= 1
    assert (len(upstream.requests), upstream.accepted) == (seen, accepted) == (3, 1)
    await recovery(rig)
    assert time.monotonic() - opened > FENCE.recovery_timeout - 0.1, "let through too early"
    assert [(await rig.ask("/status/200")).status for _ in range(5)] == [200] * 5
    assert rig.p.endpoints[0].breaker.state.word == "closed"


@pytest.mark.covers("FR-013", "T024", "T029")
async def test_t029_closed_open_half_open_closed(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The three states in order, each seen at work: while the one probe is under way, others are still refused."""
    rig = await gateway_for(upstream, circuit_breaker=CircuitBreaker(True, 1, 30, 1))
    client, other = await rig.connect(), await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    await link.send(answer(b"", status=502, reason="Bad Gateway"))
    assert (await client.response()).status == 502
    assert rig.p.endpoints[0].breaker.state.word == "open"
    assert (await other.ask()).status == 503
    later(rig, 30)
    await client.send(request())
    await link.request()
    assert rig.p.endpoints[0].breaker.state.word == "half-open"
    assert (await other.ask()).status == 503
    await link.send(OK)
    assert (await client.response()).status == 200
    assert rig.p.endpoints[0].breaker.state.word == "closed"


@pytest.mark.covers("FR-013", "T026", "T029")
async def test_t029_a_failed_probe_opens_it_again(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A probe that fails costs the whole recovery time again; until then nothing reaches the upstream."""
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(upstream, circuit_breaker=CircuitBreaker(True, 1, 30, 1))
    assert (await rig.ask("/status/500")).status == 500
    later(rig, 30)
    assert (await rig.ask("/status/500")).status == 500
    assert (await rig.ask("/status/200")).status == 503
    assert len(upstream.requests) == 2
