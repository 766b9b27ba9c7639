"""A final response that comes before the upload is complete reaches the client, although the upstream breaks off."""

from __future__ import annotations

import asyncio

import pytest
from harness.answers import answer, chunk, head
from harness.client import request
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.stream import unacknowledged
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker
from gateway.wire.h1.client import H1Client

BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
REASON = b"no such " * 100
RESPONSES = {
    "413": answer(REASON, "Connection: close", status=413, reason="Content Too Large"),
    "401": answer(REASON, "WWW-Authenticate: Basic", status=401, reason="Unauthorized"),
    "413 chunked": head("Transfer-Encoding: chunked", status="413 Content Too Large") + chunk(REASON) + b"0\r\n\r\n",
    "413 of 100 KB": answer(REASON * 125, status=413, reason="Content Too Large"),
    "413 until close": head(status="413 Content Too Large") + REASON,
}
"""Without TLS a reset is no end of a body without a length: there the last one is complete after a half-close alone."""

WAYS = ["close", "half-close", "reset"]


def leave(link: Link, way: str) -> None:
    if way == "close":  # bytes of the upload are unread: the kernel makes a RST of it
        link.close()
    elif way == "reset":
        link.reset()
    else:
        link.half_close()


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name in RESPONSES for way in WAYS if name != "413 until close" or way == "half-close"],
)
async def test_a_rejected_upload(gateway_for: GatewayFor, upstream: Upstream, name: str, way: str) -> None:
    """RFC 9112 9.6: the close of an upstream that has unread bytes resets; what it said before has arrived."""
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    for _ in range(3):
        client = await rig.connect()
        await client.send(request("/", "Content-Length: 3000000", method="POST"), b"x" * 100_000)
        link = await upstream.link()
        await link.head()
        await link.send(RESPONSES[name])
        if way != "half-close":
            # A reset destroys what has not left the upstream's kernel, and 100 KB are more than one window.
            await eventually(lambda: not unacknowledged(link.sock), "the response has arrived")  # noqa: B023 - awaited at once
        leave(link, way)
        sending = asyncio.ensure_future(client.send(*[b"x" * 100_000] * 29))
        response = await client.response()
        assert response.status == int(name[:3])
        assert response.body in {REASON, REASON * 125}
        assert response.get("x-gateway-reason") is None
        client.close()
        await asyncio.wait([sending])
    assert rig.p.endpoints[0].breaker.failures == 0
    assert {line["reason"] for line in await rig.log.wait(3)} == {""}


@pytest.mark.interpreted
@pytest.mark.parametrize("size", [100, 2_000, 30_000])
async def test_a_write_meets_the_reset_before_the_response_is_read(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The order in which both are seen is chance: here the piece of the upload always comes first."""
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request("/", "Transfer-Encoding: chunked", method="POST"), chunk(b"x"))
    link = await upstream.link()
    await link.until(b"x\r\n")
    relay = H1Client.pieces

    def pieces(self: H1Client, parts: list[memoryview], *, pooled: bool) -> None:
        """The upstream has responded and reset by the time of this very write."""
        if not link.closed:
            link.push(RESPONSES["413"])
            link.reset()
        relay(self, parts, pooled=pooled)

    monkeypatch.setattr(H1Client, "pieces", pieces)
    await client.send(chunk(b"y" * size))
    response = await client.response()
    assert (response.status, response.body) == (413, REASON)
    assert rig.p.endpoints[0].breaker.failures == 0


async def test_an_upload_that_is_only_cut_is_a_failure_still(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, circuit_breaker=BREAKER)
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 3000000", method="POST"), b"x" * 100_000)
    link = await upstream.link()
    await link.head()
    await link.send(b"HTTP/1.1 413 Content Too La")
    link.close()
    sending = asyncio.ensure_future(client.send(*[b"x" * 100_000] * 29))
    response = await client.response()
    assert (response.status, response.get("x-gateway-reason")) == (502, b"upstream_reset")
    assert rig.p.endpoints[0].breaker.failures == 1
    client.close()
    await asyncio.wait([sending])
