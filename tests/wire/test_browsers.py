"""What pages in a browser need of a gateway: readable refusals, and paths that lead where they should."""

from __future__ import annotations

import asyncio

import pytest
from harness.client import code_of
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker, Cors

APP = "https://app.test"
CORS = Cors((APP,), ("X-Request-Id", "Retry-After"), True)
TOLD = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers", "vary")


@pytest.mark.parametrize("origin", [APP, "https://evil.test", "null", ""])
async def test_refusals_of_ours_can_be_read_by_listed_pages(
    gateway_for: GatewayFor, upstream: Upstream, origin: str
) -> None:
    proxies = (
        proxy_to(upstream, name="login", path="/login", access_rule="", cors=CORS),
        proxy_to(upstream, name="off", path="/off", active=False, cors=CORS),
        proxy_to("http://127.0.0.1:1", name="down", path="/down", cors=CORS, circuit_breaker=CircuitBreaker(True, 1)),
        proxy_to(upstream, name="busy", path="/busy", max_concurrent=1, cors=CORS),
        proxy_to(upstream, name="plain", path="/plain", access_rule=""),
    )
    rig = await gateway_for(upstream, proxies=proxies)
    lines = [f"Origin: {origin}"] if origin else []
    first = await rig.connect()
    running = asyncio.create_task(first.ask("/busy"))
    link = await upstream.link()
    await link.request()
    for path, status in (("/login", 401), ("/off", 404), ("/down", 502), ("/down", 503), ("/busy", 429)):
        response = await rig.ask(path, *lines)
        assert response.status == status
        expected = (
            [APP.encode(), b"true", b"X-Request-Id, Retry-After", b"Origin"]
            if origin == APP
            else [None] * 3 + [b"Origin"]
        )
        assert [response.get(name) for name in TOLD] == expected, path
    plain = await rig.ask("/plain", *lines)
    assert [plain.get(name) for name in TOLD] == [None] * 4
    assert code_of(plain) == "unauthenticated"
    await link.send(b"HTTP/1.1 200 OK\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n")
    own = await running
    assert [own.get(name) for name in TOLD] == [None, None, None, b"Accept"], "the upstream's responses are its own"


async def test_locations_of_the_upstream_lead_back_through_the_proxy(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream.url + "/base", path="/-/ai", rewrite_location=True)
    client = await rig.connect()
    link = None
    for _ in range(2):  # a head that is repeated is remembered, and rewritten again
        asked = asyncio.create_task(client.ask("/-/ai/x"))
        link = link or await upstream.link()
        await link.request()
        await link.send(
            b"HTTP/1.1 302 Found\r\nLocation: %b/base/login?a=/base\r\nContent-Location: /base/x\r\nX-Path: /base\r\n"
            b"Set-Cookie: a=1; Path=/base\r\nset-cookie: b=2; path=/; Secure\r\nContent-Length: 0\r\n\r\n"
            % upstream.url.encode()
        )
        told = await asked
        assert told.get("location") == b"/-/ai/login?a=/base"
        assert told.get("content-location") == b"/-/ai/x"
        assert told.all("set-cookie") == [b"a=1; Path=/-/ai", b"b=2; path=/-/ai; Secure"]
        assert told.get("x-path") == b"/base"


@pytest.mark.http1
async def test_nothing_is_rewritten_unless_asked(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, path="/-/ai")
    client = await rig.connect()
    asked = asyncio.create_task(client.ask("/-/ai/x"))
    link = await upstream.link()
    await link.request()
    await link.send(b"HTTP/1.1 302 Found\r\nlocation:/login\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")
    told = await asked
    assert {b"location:/login", b"Set-Cookie: a=1; Path=/"} <= set(told.lines)


async def test_two_callers_by_two_names_get_locations_of_their_own(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The upstream's connection is one, and its heads are remembered: what was made for one host is not for another."""
    rig = await gateway_for(upstream, path="/-/ai", rewrite_location=True, preserve_host=True)
    client = await rig.connect()
    link = None
    for host in ("a.test", "b.test"):
        asked = asyncio.create_task(client.ask("/-/ai/x", host=host))
        link = link or await upstream.link()
        await link.request()
        await link.send(
            b"HTTP/1.1 302 Found\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nLocation: http://a.test/in\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        told = await asked
        assert told.get("location") == (b"http://a.test/-/ai/in" if host == "a.test" else b"http://a.test/in")
