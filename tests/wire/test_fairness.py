"""What many requests on one connection cost the others: their place in the line, and no more."""

from __future__ import annotations

import pytest
from harness.answers import ok
from harness.client import Client, request
from harness.rig import GatewayFor
from harness.upstream import Upstream

from gateway.wire.turns import PER_TURN

CONNECTIONS, EACH = 20, 400


def burst(client: Client, data: bytes) -> None:
    """Into the kernel, before the gateway gets its turn."""
    assert client.sock.send(data) == len(data)


@pytest.mark.parametrize(
    ("target", "rule"),
    [("/nowhere", "true"), ("/p/forbidden", "@request.auth.id != ''"), ("/p/../escape", "true")],
    ids=["404", "401", "400"],
)
async def test_pipelined_requests_stand_in_line(
    gateway_for: GatewayFor, upstream: Upstream, target: str, rule: str
) -> None:
    """No event of the kernel comes between two such requests: without turns, each connection is served to its end."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/p", access_rule=rule)
    crowd = [await rig.connect() for _ in range(CONNECTIONS)]
    good = await rig.connect()
    for client in crowd:
        burst(client, request(target) * EACH)
    burst(good, request("/good"))
    await good.response()
    for client in crowd:
        for _ in range(EACH):
            await client.response()
    lines = await rig.log.wait(CONNECTIONS * EACH + 1)
    place = [line["path"] for line in lines].index("/good")
    assert place <= CONNECTIONS + 4 * PER_TURN, f"{place} requests of others came first"
