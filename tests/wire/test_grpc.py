"""Calls of gRPC on the wire: refusals that gRPC clients read, and deadlines that travel."""

from __future__ import annotations

import pytest
from harness.answers import answer, each_request
from harness.frames import Fields
from harness.http2 import Http2Client
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import Queue

pytestmark = [pytest.mark.plain, pytest.mark.raw]

CALL: Fields = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/service/method"),
    (b":authority", b"a"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


async def client_of(rig: Rig) -> Http2Client:
    client = await Http2Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)  # type: ignore[arg-type]
    return client


@pytest.mark.parametrize(("rule", "status", "reason"), [("false", b"7", b"forbidden"), ("", b"16", b"unauthenticated")])
async def test_a_refusal_is_one_head(
    gateway_for: GatewayFor, upstream: Upstream, rule: str, status: bytes, reason: bytes
) -> None:
    rig = await gateway_for(upstream, http2=True, access_rule=rule)
    client = await client_of(rig)
    await client.request(1, CALL, ended=False)
    response = await client.response()
    assert (response.status, response.body) == (200, b"")
    assert response.fields[b"content-type"] == b"application/grpc"
    assert response.fields[b"grpc-status"] == status
    assert response.fields[b"x-gateway-reason"] == reason
    line = await rig.log.last()
    assert (line["status_code"], line["reason"]) == (200, reason.decode())


async def test_a_refusal_says_when_to_come_back(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True, max_concurrent=1, queue=Queue())
    first, second = await client_of(rig), await client_of(rig)
    await first.request(1, CALL, ended=False)
    await first.data(1, b"", ended=True)
    link = await upstream.link()
    await link.head()
    await second.request(1, CALL)
    response = await second.response()
    assert response.fields[b"grpc-status"] == b"14"
    assert int(response.fields[b"grpc-retry-pushback-ms"]) >= 1000


async def test_the_deadline_of_a_call_is_held_and_travels(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*CALL, (b"grpc-timeout", b"300m")])
    link = await upstream.link()
    asked = await link.request()
    left = asked.get("grpc-timeout")
    assert left is not None
    assert 0 < int(left[:-1]) <= 300
    assert left.endswith(b"m")
    response = await client.response()
    assert response.fields[b"grpc-status"] == b"4"
    assert response.fields[b"x-gateway-reason"] == b"total_timeout"
    await link.gone()


async def test_a_deadline_that_is_none_travels_as_it_is(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(lambda _: answer(b"ok"))
    rig = await gateway_for(upstream, http2=True)
    client = await client_of(rig)
    await client.request(1, [*CALL, (b"grpc-timeout", b"soon")])
    assert (await client.response()).status == 200
    assert upstream.requests[0].get("grpc-timeout") == b"soon"
