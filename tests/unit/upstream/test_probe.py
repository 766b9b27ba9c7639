"""Checks over real sockets: what a good response is, and what becomes of the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.answers import answer, chunk, each_request, head
from harness.upstream import Link, Upstream, refused_url
from unit.scene import Clock

from gateway.config.records import HealthCheck, Timeouts, UpstreamTls
from gateway.upstream.connector import HardenedConnector
from gateway.upstream.origin import Origin
from gateway.upstream.pool import IdleBudget, Keeping, Pool
from gateway.upstream.probe import Probe
from gateway.upstream.tls import TlsContexts
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser


def probe_of(url: str, **settings: Any) -> tuple[Probe, Pool]:
    connector = HardenedConnector(
        Origin.of(url), Timeouts(), BufferPool(), HeadParser(), TlsContexts().of(UpstreamTls())
    )
    pool = Pool(connector, Keeping(90, 300, IdleBudget(), max_idle=10, clock=Clock()))
    return Probe(Origin.of(url), pool, HealthCheck(True, **settings)), pool


async def checked(raw: bytes, **settings: Any) -> str:
    """What a check says of an upstream that answers it so, and then ends."""

    async def serve(link: Link) -> None:
        await link.request()
        await link.send(raw)

    async with Upstream(serve) as upstream:
        probe, pool = probe_of(upstream.url, **settings)
        why = await probe.check()
        await pool.aclose()
        return why


async def test_what_is_requested() -> None:
    async with Upstream(each_request(lambda _: answer(b"ok"))) as upstream:
        probe, pool = probe_of(f"{upstream.url}/base", path="/ready?full=1")
        assert [await probe.check() for _ in range(3)] == ["", "", ""]
        (link,) = upstream.links
        request = link.requests[0]
        assert (request.method, request.target) == (b"GET", b"/base/ready?full=1")
        assert request.all("host") == [b"127.0.0.1:%d" % upstream.port]
        assert request.all("user-agent") == [b"breakwater-health"]
        assert (pool.dials, pool.reuses, pool.idle) == (1, 2, 1)
        await pool.aclose()


@pytest.mark.parametrize(
    ("status", "expected", "why"),
    [
        (200, ("200-299",), ""),
        (299, ("200-299",), ""),
        (204, ("200", "204"), ""),
        (300, ("200-299",), "status 300, where 200-299 is expected"),
        (503, ("200", "204"), "status 503, where 200, 204 is expected"),
        (503, ("500-599",), ""),
    ],
)
async def test_statuses(status: int, expected: tuple[str, ...], why: str) -> None:
    raw = head(status=f"{status} X") if status == 204 else answer(status=status)
    assert await checked(raw, expect_status=expected) == why


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (answer(b"all ready now"), ""),
        (head("Transfer-Encoding: chunked") + chunk(b"rea") + chunk(b"dy") + b"0\r\n\r\n", ""),
        (head("Transfer-Encoding: chunked") + chunk(b"ready") + b"0\r\nX: 1\r\n\r\n", ""),
        (head() + b"ready", ""),
        (head("Early: 1", status="103 Hints") + answer(b"ready"), ""),
        (answer(b"starting"), "the expected text is not in the response"),
        (answer(b""), "the expected text is not in the response"),
    ],
)
async def test_the_text_of_a_response(raw: bytes, why: str) -> None:
    assert await checked(raw, expect_body="ready") == why


@pytest.mark.parametrize("framed", [True, False], ids=["length", "endless"])
async def test_of_a_long_response_only_the_begin_is_read(framed: bool) -> None:
    """The check ends before the response, and its connection is not used again."""
    began = head("Content-Length: 100000000") if framed else head("Transfer-Encoding: chunked")
    more = bytes(16_000)

    async def serve(link: Link) -> None:
        await link.request()
        await link.send(began)
        await link.send(b"ready" if framed else chunk(b"ready"))
        for _ in range(20):
            await link.send(more if framed else chunk(more))
        await link.gone()

    async with Upstream(serve) as upstream:
        probe, pool = probe_of(upstream.url, expect_body="ready", timeout=10.0)
        assert await probe.check() == ""
        assert pool.idle == 0
        await pool.aclose()
        probe, pool = probe_of(upstream.url, expect_body="never", timeout=10.0)
        assert await probe.check() == "the expected text is not in the response"
        await pool.aclose()


async def test_no_response_in_time() -> None:
    async with Upstream() as upstream:
        probe, pool = probe_of(upstream.url, timeout=0.05)
        assert await probe.check() == "no response within 0.05 s"
        assert pool.idle == 0
        await pool.aclose()


async def test_nobody_listens() -> None:
    probe, pool = probe_of(refused_url())
    assert (await probe.check()).startswith("dial_failed: ")
    await pool.aclose()


@pytest.mark.parametrize("raw", [b"", head("Content-Length: 5") + b"re", b"nonsense\r\n\r\n"])
async def test_a_response_that_is_none(raw: bytes) -> None:
    why = await checked(raw)
    assert why.startswith("upstream_"), why


async def test_a_connection_that_went_stale_is_no_failure() -> None:
    async def once(link: Link) -> None:
        await link.request()
        await link.send(answer(b"ok"))
        await link.request()  # and it closes without a word

    async with Upstream(once) as upstream:
        probe, pool = probe_of(upstream.url)
        assert [await probe.check() for _ in range(2)] == ["", ""]
        assert (pool.dials, pool.reuses) == (2, 1)
        await pool.aclose()


async def test_a_failure_over_a_connection_that_was_kept_is_one() -> None:
    async def once(link: Link) -> None:
        await link.request()
        await link.send(answer(b"ok"))
        await link.request()
        await link.send(head("Content-Length: 5") + b"re")

    async with Upstream(once) as upstream:
        probe, pool = probe_of(upstream.url)
        assert await probe.check() == ""
        assert (await probe.check()).startswith("upstream_")
        assert pool.dials == 1
        await pool.aclose()


async def test_a_check_that_is_called_off_leaves_no_connection() -> None:
    async with Upstream() as upstream:
        probe, pool = probe_of(upstream.url)
        check = asyncio.ensure_future(probe.check())
        link = await upstream.link()
        await link.request()
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
        await link.gone()
        assert pool.idle == 0
        await pool.aclose()


async def test_an_upgrade_that_nobody_asked_for() -> None:
    why = await checked(head("Upgrade: x", "Connection: upgrade", status="101 Switching Protocols"))
    assert why


async def test_the_head_of_a_response_is_shown_also_of_a_bad_one() -> None:
    statuses = iter([200, 503])
    async with Upstream(each_request(lambda _: answer(status=next(statuses)))) as upstream:
        _, pool = probe_of(upstream.url)
        seen: list[int] = []
        probe = Probe(Origin.of(upstream.url), pool, HealthCheck(True), lambda head: seen.append(head.status))
        assert await probe.check() == ""
        assert await probe.check() != ""
        assert seen == [200, 503]
        await pool.aclose()
