"""gRPC between clients and servers of grpcio, through the gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from harness.grpc_peers import Peer, Stubs, calling_grpc, failed, serving_grpc
from harness.patience import eventually
from harness.rig import GatewayFor, Rig, proxy_to
from harness.tls import listener_tls, write_authority
from harness.upstream import refused_url

from gateway.app import Gateway
from gateway.config.load import parse
from gateway.config.records import CircuitBreaker, Limits, Queue, Timeouts

pytestmark = [pytest.mark.plain, pytest.mark.raw]
PAGE = Path(__file__).parents[2] / "docs/grpc.md"
LARGE = bytes(range(128, 256)) * (5 << 13)
"""5 MiB: eighty windows of a stream; without a comma."""
SILENT = Timeouts(dial=2, tls_handshake=5, response_header=0, body_idle=0, idle=5, total=0)
"""As docs/grpc.md has it for streams that may be silent."""


@dataclass
class Way:
    """From ``stubs`` through the gateway of ``rig`` to ``peer``."""

    peer: Peer
    rig: Rig
    stubs: Stubs


@pytest.fixture
async def way(gateway_for: GatewayFor) -> AsyncIterator[Way]:
    async with serving_grpc() as peer:
        rig = await gateway_for(peer.url, http2=True, proxies=(grpc_proxy(peer.url),))
        async with calling_grpc(rig.gateway.addresses[0]) as stubs:
            yield Way(peer, rig, stubs)


def grpc_proxy(url: str, **changes: Any) -> Any:
    return proxy_to(url, **({"http2": "always", "timeouts": SILENT, "max_concurrent": 4} | changes))


async def listed(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
async def test_each_kind_of_call(
    gateway_for: GatewayFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    async with serving_grpc(tls=tls) as peer:
        proxied = grpc_proxy(peer.url, http2="auto" if tls else "always")
        rig = await gateway_for(peer.url, http2=True, tls=listener_tls() if tls else None, proxies=(proxied,))
        async with calling_grpc(rig.gateway.addresses[0], tls=tls) as stubs:
            call = stubs.echo(b"one", metadata=(("given", "text"), ("given-bin", b"\x00\xff,")))
            assert await call == b"one"
            assert dict(await call.initial_metadata())["early-bin"] == b"\x00\xff,"
            late = dict(await call.trailing_metadata())
            assert (late["late"], late["late-bin"]) == ("2", b"\x00\xff,")
            assert (peer.metadata[0]["given"], peer.metadata[0]["given-bin"]) == ("text", b"\x00\xff,")
            assert await stubs.join(listed(b"a", b"b", b"c")) == b"a,b,c"
            assert [part async for part in stubs.split(b"d,e,f")] == [b"d", b"e", b"f"]
            chat = stubs.chat()
            for message in (b"1", b"", LARGE, b"3"):  # in turns: nothing is held back on the way
                await chat.write(message)
                assert await chat.read() == message
            await chat.done_writing()
            assert await chat.read() is grpc.aio.EOF
            assert await stubs.join(listed(LARGE, LARGE)) == LARGE + b"," + LARGE
            assert [part async for part in stubs.split(LARGE + b"," + LARGE)] == (LARGE + b"," + LARGE).split(b",")
        lines = await rig.log.wait(6)
        assert {(line["grpc_status"], line["upstream_protocol"]) for line in lines} == {(0, "2")}
        assert rig.p.endpoints[0].pool.dials == 1


@pytest.mark.covers("FR-007", "T010")
async def test_the_configuration_of_the_page(tmp_path: Path) -> None:
    page = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    for written, meant in (
        ("shop.Orders", "test.Peer"),
        ("\"@request.auth.id != ''\"", '"true"'),
        ("0.0.0.0:8080", "127.0.0.1:0"),
    ):
        assert written in page
        page = page.replace(written, meant)
    async with serving_grpc() as peer:
        page = page.replace("127.0.0.1:50051", peer.url.removeprefix("http://"))
        gateway = Gateway(parse(page + f"access_log: {{path: {tmp_path}/log}}\n", "yaml", "page", {}))
        await gateway.start()
        try:
            async with calling_grpc(gateway.addresses[0]) as stubs:
                assert await stubs.echo(b"one") == b"one"
        finally:
            await gateway.aclose()


async def test_a_status_travels_with_its_details(way: Way) -> None:
    error = await failed(way.stubs.fail(b"5"))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no — 100 %")
    assert dict(error.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x05\x00\xff"
    line = await way.rig.log.last()
    assert (line["status_code"], line["grpc_status"], line["reason"]) == (200, 5, "")


async def test_a_call_that_is_cancelled_is_over_everywhere(way: Way) -> None:
    call = way.stubs.hang()
    await call.write(b"one")
    assert await call.read() == b"one"
    assert way.rig.permits() == 1
    call.cancel()
    await eventually(lambda: way.peer.cancelled == 1, "the server sees it")
    await way.rig.settled()
    assert (await way.rig.log.last())["reason"] == "client_gone"
    assert await way.stubs.echo(b"two") == b"two"
    assert way.rig.p.endpoints[0].pool.dials == 1


async def test_a_deadline_reaches_the_server(way: Way) -> None:
    error = await failed(way.stubs.hang(listed(b"one"), timeout=0.3))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < way.peer.remaining[0] < 0.3
    await eventually(lambda: not way.peer.hanging, "the server sees the end")
    await way.rig.settled()


async def test_a_response_that_cannot_go_on_says_why(gateway_for: GatewayFor) -> None:
    """In its trailers, because a client takes a reset for an internal error."""
    async with serving_grpc() as peer:
        proxied = grpc_proxy(peer.url, timeouts=replace(SILENT, total=0.3))
        rig = await gateway_for(peer.url, http2=True, proxies=(proxied,))
        async with calling_grpc(rig.gateway.addresses[0]) as stubs:
            call = stubs.hang()
            await call.write(b"one")
            assert await call.read() == b"one"
            error = await failed(call.read())
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert dict(error.trailing_metadata())["x-gateway-reason"] == "total_timeout"
            line = await rig.log.last()
            assert (line["grpc_status"], line["reason"]) == (4, "total_timeout")


@pytest.mark.parametrize("body_idle", [0, 5])
async def test_a_stream_may_be_silent_where_the_proxy_says_so(gateway_for: GatewayFor, body_idle: int) -> None:
    async with serving_grpc() as peer:
        proxied = grpc_proxy(peer.url, timeouts=replace(SILENT, body_idle=body_idle))
        rig = await gateway_for(peer.url, http2=True, limits=Limits(body_timeout=0.1), proxies=(proxied,))
        async with calling_grpc(rig.gateway.addresses[0]) as stubs:
            chat = stubs.chat()
            await chat.write(b"one")
            assert await chat.read() == b"one"
            await failed(stubs.hang(timeout=0.3))  # three times as long as a caller may be silent
            if body_idle:
                error = await failed(chat.read())
                assert dict(error.trailing_metadata())["x-gateway-reason"] == "client_timeout"
            else:
                await chat.write(b"two")
                assert await chat.read() == b"two"
                await chat.done_writing()
                assert await chat.read() is grpc.aio.EOF


async def test_a_refusal_says_when_to_come_back(gateway_for: GatewayFor) -> None:
    async with serving_grpc() as peer:
        proxied = grpc_proxy(peer.url, max_concurrent=1, queue=Queue(max_waiting=0))
        rig = await gateway_for(peer.url, http2=True, proxies=(proxied,))
        async with calling_grpc(rig.gateway.addresses[0]) as stubs:
            call = stubs.hang()
            await call.write(b"one")
            assert await call.read() == b"one"
            error = await failed(stubs.echo(b"two"))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) >= 1000
            assert dict(error.trailing_metadata())["x-gateway-reason"] == "concurrency_limit"
            line = await rig.log.last()
            assert (line["grpc_status"], line["reason"]) == (14, "concurrency_limit")
            call.cancel()
            await rig.settled()
            assert await stubs.echo(b"three") == b"three"


async def test_a_server_that_is_away(gateway_for: GatewayFor) -> None:
    url = refused_url()
    rig = await gateway_for(url, http2=True, proxies=(grpc_proxy(url),))
    async with calling_grpc(rig.gateway.addresses[0]) as stubs:
        error = await failed(stubs.echo(b"one"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(error.trailing_metadata())["x-gateway-reason"] == "dial_failed"


async def test_the_breaker_judges_the_status_of_grpc(gateway_for: GatewayFor) -> None:
    breaker = CircuitBreaker(enabled=True, failure_threshold=2, recovery_timeout=60)
    async with serving_grpc() as peer:
        rig = await gateway_for(peer.url, http2=True, proxies=(grpc_proxy(peer.url, circuit_breaker=breaker),))
        async with calling_grpc(rig.gateway.addresses[0]) as stubs:
            for status in (14, 5, 13, 2):  # NOT_FOUND in between sets the count back
                assert (await failed(stubs.fail(b"%d" % status))).code().value[0] == status
            error = await failed(stubs.echo(b"one"))
            assert dict(error.trailing_metadata())["x-gateway-reason"] == "breaker_open"
            moves = rig.p.endpoints[0].breaker.moves
            assert [judged.reason for judged in moves[-1].outcomes][-2:] == ["grpc-status 13", "grpc-status 2"]


async def test_a_client_that_pings_is_served(way: Way) -> None:
    """Its C core sends a PING each second, and gives the connection up when no response comes."""
    often = [
        ("grpc.keepalive_time_ms", 5),
        ("grpc.keepalive_timeout_ms", 500),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with calling_grpc(way.rig.gateway.addresses[0], options=often) as stubs:
        chat = stubs.chat()
        await chat.write(b"one")
        assert await chat.read() == b"one"
        await failed(stubs.hang(timeout=1.6))
        await chat.write(b"two")
        assert await chat.read() == b"two"
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF


async def test_many_calls_share_a_connection(way: Way) -> None:
    results = await asyncio.gather(*(way.stubs.echo(b"%d" % number) for number in range(4)))
    assert results == [b"0", b"1", b"2", b"3"]
    assert way.rig.p.endpoints[0].pool.dials == 1
