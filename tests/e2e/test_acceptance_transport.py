"""Acceptance: T012, T057, T060, SC-001, T010: an upstream is given up in time, its connections are used again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from harness.answers import OK, ok
from harness.client import code_of, request
from harness.http2_upstream import Http2TlsUpstream, speaking
from harness.http2_upstream import echo as echo_2
from harness.patience import PROMPT
from harness.rig import TIMEOUTS, GatewayFor, proxy_to
from harness.tls import write_authority
from harness.upstream import BlackHole, Upstream


@pytest.mark.covers("FR-001", "T001", "T003", "T012", "T057")
async def test_t012_t057_dial_timeout(gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole) -> None:
    """An address that swallows every dial costs the caller the dial timeout, 504 `dial_timeout`, and no more."""
    rig = await gateway_for(black_hole, timeouts=replace(TIMEOUTS, dial=0.2))
    start = time.monotonic()
    refused = await rig.ask()
    took = time.monotonic() - start
    assert (refused.status, code_of(refused)) == (504, "dial_timeout")
    assert 0.19 <= took < PROMPT


@pytest.mark.covers("FR-002", "T005", "T012", "T057")
async def test_t012_t057_response_header_timeout(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """An upstream that takes the request and says nothing costs 504 `header_timeout`, and its connection is dropped."""
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=0.2))
    client = await rig.connect()
    start = time.monotonic()
    await client.send(request())
    link = await upstream.link()
    await link.request()
    refused = await client.response()
    took = time.monotonic() - start
    assert (refused.status, code_of(refused)) == (504, "header_timeout")
    assert 0.19 <= took < PROMPT
    await link.gone()


@pytest.mark.covers("FR-002", "T002", "T057")
async def test_t057_each_proxy_has_its_own_timeout(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """While one proxy gives up on the silent upstream, another one with a longer timeout still gets its answer."""
    hasty = proxy_to(upstream, name="p", path="/hasty", timeouts=replace(TIMEOUTS, response_header=0.1))
    patient = proxy_to(upstream, name="q", path="/patient", timeouts=TIMEOUTS)
    rig = await gateway_for(upstream, proxies=(hasty, patient))
    first, second = await rig.connect(), await rig.connect()
    await second.send(request("/patient"))
    link = await upstream.link()
    await link.request()
    await first.send(request("/hasty"))
    assert code_of(await first.response()) == "header_timeout"
    await link.send(OK)
    assert (await second.response()).body == b"ok"


@pytest.mark.covers("NFR-002", "SC-001", "T012", "T051", "T060", "T060b")
@pytest.mark.parametrize("clients", ["one connection", "a connection each"])
async def test_t012_t060_sc001_connections_are_reused(
    gateway_for: GatewayFor, upstream: Upstream, clients: str
) -> None:
    """Of 100 requests one after the other more than 90 % travel on a connection that was there already.

    What counts is what the upstream accepted; it makes no difference how the callers are connected.
    """
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    one = await rig.connect()
    for _ in range(100):
        message = await (one.ask() if clients == "one connection" else rig.ask())
        assert message.status == 200
    assert len(upstream.requests) == 100
    reused = 1 - upstream.accepted / 100
    assert reused > 0.9, f"{upstream.accepted} connections for 100 requests"


@pytest.mark.covers("FR-007", "T010")
async def test_t010_http_2_is_attempted(
    gateway_for: GatewayFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream of both protocols is spoken to in HTTP/2, on one connection, however many ask."""
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    async with Http2TlsUpstream(speaking(echo_2)) as two:
        rig = await gateway_for(two, proxies=(proxy_to(two),))
        responses = await asyncio.gather(*(rig.ask(f"/{number}") for number in range(20)))
        assert [m.body for m in responses] == [b"GET /%d " % number for number in range(20)]
        assert {line["upstream_protocol"] for line in await rig.log.wait(20)} == {"2"}
        assert two.accepted == 1
        await rig.aclose(check=True)
