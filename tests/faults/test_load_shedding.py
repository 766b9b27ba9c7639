"""A gateway that has too much to do refuses a share of the new requests, and serves the others."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from harness.answers import OK, ok
from harness.client import code_of, request
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.control.metrics.exposition import Exposition
from gateway.core.limits import Limits

pytestmark = pytest.mark.plain

ALL = Limits(shed_memory=1)
"""Every process has more memory, so everything is refused."""


async def loaded(rig: Rig) -> None:
    await eventually(lambda: rig.gateway.shedding.overload.share > 0.0, "it was measured")


async def test_a_late_event_loop_refuses_a_share(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, limits=Limits(shed_loop_lag=0.05))
    assert (await rig.ask()).status == 200

    def loaded() -> bool:
        time.sleep(0.15)  # this is the load
        return rig.gateway.shedding.share > 0.3

    await eventually(loaded, "the share rises")
    client = await rig.connect()
    statuses = [(await client.ask()).status for _ in range(10)]
    assert 2 <= statuses.count(503) <= 5, statuses
    assert set(statuses) == {200, 503}
    told = rig.gateway.explain("p")
    assert told is not None
    assert "of the new requests are refused (503 overloaded)" in told["sentence"]
    await eventually(lambda: rig.gateway.shedding.share == 0.0, "it falls when the load is gone", 10)
    assert (await rig.ask()).status == 200


async def test_exchanges_that_run_go_on_and_the_limits_follow_a_reload(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    running = await rig.connect()
    await running.send(request())
    link = await upstream.link()
    await link.head()
    await rig.gateway.reload(replace(rig.gateway.document, limits=ALL))
    await loaded(rig)
    refused = await rig.ask()
    assert code_of(refused) == "overloaded"
    assert 1 <= int(refused.get("retry-after") or 0) <= 5
    await link.send(OK)
    assert (await running.response()).body == b"ok"
    assert upstream.accepted == 1
    await rig.gateway.reload(replace(rig.gateway.document, limits=Limits()))
    upstream.behaviour = ok()
    assert rig.gateway.shedding.share == 0.0
    await running.send(request())
    await link.head()
    await link.send(OK)
    assert (await running.response()).status == 200


async def test_in_shadow_mode_everything_is_served_and_counted(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, limits=replace(ALL, shed_mode="shadow"))
    await loaded(rig)
    assert (await rig.ask()).status == 200
    (line,) = await rig.log.wait()
    assert (line["reason"], line["shadow"]) == ("", "overloaded")
    rig.gateway.sample()
    counted = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'gateway_shadow_refusals_total{proxy="p",reason="overloaded"} 1\n' in counted
