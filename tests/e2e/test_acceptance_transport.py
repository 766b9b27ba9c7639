"""Acceptance: T012, T057, T060, SC-001, T010: an upstream is given up in time, its connections are used again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from harness.answers import OK, ok
from harness.client import code_of, request
from harness.rig import TIMEOUTS, GatewayFor, proxy_to
from harness.upstream import BlackHole, Upstream

SLACK = 0.5
"""Seconds that a timeout may come late on a busy machine."""


@pytest.mark.covers("FR-001", "T001", "T003", "T012", "T057")
async def test_t012_t057_dial_timeout(gateway_for: GatewayFor, upstream: Upstream, black_hole: BlackHole) -> None:
    """An address that swallows every dial costs the caller the dial timeout, 504 `dial_timeout`, and no more."""
    rig = await gateway_for(black_hole, timeouts=replace(TIMEOUTS, dial=0.2))
    start = time.monotonic()
    refused = await rig.ask()
    took = time.monotonic() - start
    assert (refused.status, code_of(refused)) == (504, "dial_timeout")
    assert 0.19 <= took < 0.2 + SLACK


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
    assert 0.19 <= took < 0.2 + SLACK
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
async def test_t010_an_upstream_of_two_protocols_is_spoken_to_in_http_1_1(
    gateway_for: GatewayFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where HTTP/2 would be preferred by the other side, both agree on HTTP/1.1, and the connection is used again."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    agreed: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while not reader.at_eof():
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /x HTTP/1.1\r\n")
                writer.write(OK)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        rig = await gateway_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert [(await rig.ask("/x")).body for _ in range(3)] == [b"ok"] * 3
        await rig.aclose(check=True)
    assert agreed == ["http/1.1"]
