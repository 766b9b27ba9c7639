"""The acceptance points of the source specification, each under its own name, on real sockets."""

from __future__ import annotations

import asyncio

from harness.answers import answer, each_request, ok
from harness.client import code_of
from harness.message import Message
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream

from gateway.config.document import CircuitBreaker, Queue
from gateway.policy.breaker import State


class Sidecar:
    """Holds every request until it is let go; knows how many were inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.peak = 0
        self.go = asyncio.Event()

    async def __call__(self, link: Link) -> None:
        while True:
            await link.request()
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            await self.go.wait()
            self.inside -= 1
            await link.send(answer(b"{}"))


async def test_t058_five_of_ten_pass_and_five_get_429(gateway_for: GatewayFor) -> None:
    sidecar = Sidecar()
    async with Upstream(sidecar) as upstream:
        rig = await gateway_for(upstream, max_concurrent=5)
        requests = [asyncio.ensure_future(rig.ask()) for _ in range(10)]
        await eventually(lambda: sum(r.done() for r in requests) == 5 and sidecar.inside == 5)
        sidecar.go.set()
        answers = await asyncio.gather(*requests)
        assert sorted(a.status for a in answers) == [200] * 5 + [429] * 5
        for refused in (a for a in answers if a.status == 429):
            assert code_of(refused) == "concurrency_limit"
            assert int(refused.get("retry-after") or b"0") >= 1
        assert sidecar.peak == 5
        assert (await rig.ask()).status == 200, "a place that is free again is given at once"


async def test_t060a_a_queue_serves_all_ten_and_lets_five_inside(gateway_for: GatewayFor) -> None:
    sidecar = Sidecar()
    async with Upstream(sidecar) as upstream:
        rig = await gateway_for(upstream, max_concurrent=5, queue=Queue(10, 30))
        requests = [asyncio.ensure_future(rig.ask()) for _ in range(10)]
        await eventually(lambda: sidecar.inside == 5 and rig.p.limiter.waiting == 5)
        sidecar.go.set()
        assert [a.status for a in await asyncio.gather(*requests)] == [200] * 10
        assert sidecar.peak == 5
        assert sorted(line["queue_ms"] > 0 for line in await rig.log.wait(10)) == [False] * 5 + [True] * 5


async def test_t059_the_fourth_is_refused_and_it_recovers(gateway_for: GatewayFor) -> None:
    status = 500

    def reply(_: Message) -> bytes:
        return answer(b"", status=status, reason="X")

    async with Upstream(each_request(reply)) as upstream:
        settings = CircuitBreaker(enabled=True, failure_threshold=3, recovery_timeout=30)
        rig = await gateway_for(upstream, circuit_breaker=settings)
        assert [(await rig.ask()).status for _ in range(3)] == [500] * 3
        seen = len(upstream.requests)
        refused = await rig.ask()
        assert (refused.status, code_of(refused), refused.get("x-circuit-breaker")) == (503, "breaker_open", b"open")
        assert len(upstream.requests) == seen
        breaker = rig.p.breaker
        now = breaker.clock()
        breaker.clock = lambda: now + 31
        status = 200
        assert (await rig.ask()).status == 200
        assert breaker.state is State.CLOSED


async def test_t060_sc001_a_hundred_requests_reuse_their_connection(gateway_for: GatewayFor) -> None:
    async with Upstream(ok()) as upstream:
        rig = await gateway_for(upstream)
        for _ in range(100):
            assert (await rig.ask()).status == 200
        assert upstream.accepted < 10
        assert rig.p.pool.reuses > 90


async def test_sc005_never_above_the_limit_under_a_storm(gateway_for: GatewayFor) -> None:
    sidecar = Sidecar()
    sidecar.go.set()
    async with Upstream(sidecar) as upstream:
        rig = await gateway_for(upstream, max_concurrent=3, queue=Queue(5, 30))
        answers = await asyncio.gather(*(rig.ask() for _ in range(200)))
        assert {a.status for a in answers} <= {200, 429}
        assert sidecar.peak <= 3
        assert rig.p.limiter.in_flight == 0
