"""What opens a breaker besides failures in a row, on real sockets: shares of failures and of slow calls, the statuses
that count, and no single caller.
"""

from __future__ import annotations

from typing import Any

import pytest
from harness.answers import status_on_demand
from harness.client import code_of
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker
from gateway.control.metrics.exposition import Exposition
from gateway.policy.breaker_store import State
from gateway.policy.window import Tally

pytestmark = pytest.mark.plain


def breaker(**rules: Any) -> CircuitBreaker:
    return CircuitBreaker(**({"enabled": True, "failure_threshold": 0, "window": 600.0} | rules))


async def statuses(rig: Rig, *wanted: int, client: str = "192.0.2.1") -> list[int]:
    """What a caller gets who asks the upstream for these, one after the other."""
    return [(await rig.ask(f"/status/{status}", f"X-Forwarded-For: {client}")).status for status in wanted]


@pytest.mark.covers("FR-014")
async def test_a_share_of_failures(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(upstream, circuit_breaker=breaker(failure_rate=0.5, minimum_requests=6))
    assert await statuses(rig, 200, 503, 200, 503, 200) == [200, 503, 200, 503, 200]
    assert rig.p.endpoints[0].breaker.state is State.CLOSED
    assert await statuses(rig, 502, 200) == [502, 503]
    assert len(upstream.requests) == 6, "the upstream is not asked any more"
    response = await rig.ask("/status/200")
    assert (code_of(response), response.get("x-circuit-breaker")) == ("breaker_open", b"open")
    told = rig.gateway.explain("p")
    assert told is not None
    assert told["breaker"] is not None
    [move] = told["breaker"]["moves"]
    assert move["cause"] == "failure_rate"
    assert move["figures"] == "3 of 6 attempts failed in the last 600 s, rule failure_rate 0.5"
    assert [outcome["status"] for outcome in move["outcomes"]][-1] == 502
    counted = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'transitions_total{proxy="p",from="closed",to="open",reason="failure_rate"} 1' in counted


async def test_a_share_of_slow_calls(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """No response comes within a microsecond."""
    upstream.behaviour = status_on_demand()
    rules = {"slow_rate": 1.0, "minimum_requests": 3}
    patient = await gateway_for(upstream, circuit_breaker=breaker(slow_call=600.0, **rules))
    assert await statuses(patient, *[200] * 4) == [200] * 4
    assert patient.p.endpoints[0].breaker.tally == Tally(0, 4)
    hasty = await gateway_for(upstream, circuit_breaker=breaker(slow_call=1e-6, **rules))
    assert await statuses(hasty, *[200] * 4) == [200, 200, 200, 503]
    moves = hasty.p.endpoints[0].breaker.moves
    assert [move.cause for move in moves] == ["slow_rate"]
    assert all(outcome.reason.startswith("slow_call 0.") for outcome in moves[0].outcomes)


async def test_a_slow_probe_keeps_it_open(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = status_on_demand()
    rules = {"slow_call": 1e-6, "slow_rate": 1.0, "minimum_requests": 1, "recovery_timeout": 1e-6}
    rig = await gateway_for(upstream, circuit_breaker=breaker(**rules))
    assert await statuses(rig, 200, 200) == [200, 200]
    assert [move.cause for move in rig.p.endpoints[0].breaker.moves] == [
        "slow_rate",
        "recovery_timeout",
        "probe_failed",
    ]


async def test_the_statuses_that_count(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = status_on_demand()
    listed = breaker(failure_threshold=2, failure_statuses=("429", "502-504"))
    rig = await gateway_for(upstream, circuit_breaker=listed)
    assert await statuses(rig, 500, 501, 505, 404) == [500, 501, 505, 404]
    assert rig.p.endpoints[0].breaker.failures == 0
    assert await statuses(rig, 429, 503, 200) == [429, 503, 503]
    await rig.change(circuit_breaker=breaker(failure_threshold=2, failure_statuses=()))
    rig.p.endpoints[0].breaker.reset()
    assert await statuses(rig, 503, 503, 503, 429) == [503, 503, 503, 429]
    assert rig.p.endpoints[0].breaker.failures == 0


@pytest.mark.parametrize("rule", [{"failure_threshold": 3}, {"failure_rate": 0.5, "minimum_requests": 3}])
async def test_one_caller_does_not_open_it_for_all(
    gateway_for: GatewayFor, upstream: Upstream, rule: dict[str, Any]
) -> None:
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(
        upstream, trusted_proxies=("127.0.0.0/8",), circuit_breaker=breaker(distinct_callers=2, **rule)
    )
    assert await statuses(rig, *[500] * 9) == [500] * 9
    assert rig.p.endpoints[0].breaker.state is State.CLOSED
    assert await statuses(rig, 500, 200, client="192.0.2.2") == [500, 503]
    assert rig.p.endpoints[0].breaker.moves[-1].figures.callers == 2


async def test_in_shadow_mode_the_rules_only_count(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = status_on_demand()
    shadow = breaker(failure_rate=0.5, minimum_requests=2, mode="shadow")
    rig = await gateway_for(upstream, circuit_breaker=shadow)
    assert await statuses(rig, 500, 500, 200, 200) == [500, 500, 200, 200]
    lines = await rig.log.wait(4)
    assert [line.get("shadow", "") for line in lines] == ["", "", "breaker_open", "breaker_open"]
    assert rig.p.endpoints[0].breaker.moves[-1].cause == "failure_rate"
