"""Requests that mean two things to two recipients, or nothing to one: refused before any upstream hears of them.

Each row of a table is (bytes on the wire, accepted statuses) under a name that quotes its rule.
"""

from __future__ import annotations

import pytest
from harness.answers import OK, echo
from harness.attacks.requests import (
    ACCEPTED,
    CHUNKS,
    CODING,
    HOST,
    LENGTH,
    LINES,
    METHODS,
    REQUEST_LINE,
    VERSIONS,
    get,
    line,
    post,
)
from harness.client import Client, code_of
from harness.message import Message
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import Limits

pytestmark = pytest.mark.http1

BAD = {400}


SIZES = {
    "9110-15.5.15 target": (line(b"GET /" + b"a" * 1024 + b" HTTP/1.1"), {414}),
    "9110-15.5.15 endless target": (b"GET /" + b"a" * 9000, {414}),
    "6585-5 one long field": (get(b"X: " + b"a" * 4096), {431}),
    "6585-5 endless field": (b"GET /a HTTP/1.1\r\nHost: gateway.test\r\nX: " + b"a" * 9000, {431}),
    "6585-5 many fields": (get(*[b"X: a"] * 33), {431}),
    "9112-3 endless method": (b"A" * 9000, {400, 414, 431, 501}),
    "9110-15.5.14 announced body": (post(b"Content-Length: 1000001", body=b""), {413}),
}
LIMITS = Limits(max_uri=1024, max_header_bytes=4096, max_headers=32, max_body_bytes=1_000_000, header_timeout=5)


def rows(*tables: dict[str, bytes], statuses: set[int]) -> list[object]:
    return [pytest.param(raw, statuses, id=name) for table in tables for name, raw in table.items()]


REFUSED = [
    *rows(LENGTH, CODING, HOST, LINES, REQUEST_LINE, statuses=BAD),
    *rows(VERSIONS, statuses={400, 505}),
    *rows(METHODS, statuses={405, 501}),
    *[pytest.param(raw, statuses, id=name) for name, (raw, statuses) in SIZES.items()],
]


async def refused(rig: Rig, raw: bytes) -> tuple[Client, Message]:
    client = await rig.connect()
    await client.send(raw)
    return client, await client.response()


@pytest.mark.plain
@pytest.mark.parametrize(("raw", "statuses"), REFUSED)
async def test_refused(gateway_for: GatewayFor, upstream: Upstream, raw: bytes, statuses: set[int]) -> None:
    rig = await gateway_for(upstream, limits=LIMITS)
    client, answer = await refused(rig, raw)
    assert answer.status in statuses
    assert code_of(answer)
    assert b"close" in answer.options("connection")
    await client.gone()
    assert upstream.accepted == 0


@pytest.mark.plain
async def test_a_second_request_behind_a_refused_one_is_never_seen(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client, answer = await refused(rig, post(b"Content-Length: 5", b"Content-Length: 6") + get())
    assert answer.status == 400
    await client.gone()
    assert upstream.accepted == 0


async def test_a_refused_request_has_its_line_in_the_log(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    _, answer = await refused(rig, get(b"X : a"))
    entry = await rig.log.last()
    assert (entry["status_code"], entry["reason"]) == (400, code_of(answer))
    assert entry["attempts"] == 0


# -- bodies that go wrong after their head was in order


@pytest.mark.parametrize("apart", [False, True], ids=["with the head", "after the head"])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in CHUNKS.items()])
async def test_a_broken_body_never_completes_at_the_upstream(
    gateway_for: GatewayFor, upstream: Upstream, body: bytes, apart: bool
) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    head = post(b"Transfer-Encoding: chunked", body=b"")
    if apart:
        await client.send(head)
        await eventually(lambda: upstream.accepted == 1, "the head is forwarded")
        await client.send(body)
    else:
        await client.send(head + body)
    answer = await client.response()
    assert answer.status == 400
    assert code_of(answer) in {"bad_framing", "bad_request"}
    await client.gone()
    for link in upstream.links:
        assert await link.broken()
    await rig.settled()


async def test_a_chunked_body_above_the_limit_never_completes(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, limits=Limits(max_body_bytes=1000))
    client = await rig.connect()
    await client.send(post(b"Transfer-Encoding: chunked", body=b"3e8\r\n" + b"x" * 1000 + b"\r\n"))
    link = await upstream.link()
    await client.send(b"1\r\nx\r\n0\r\n\r\n")
    answer = await client.response()
    assert (answer.status, code_of(answer)) == (413, "body_too_large")
    assert await link.broken()


# -- what looks odd and is right


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in ACCEPTED.items()])
async def test_accepted(gateway_for: GatewayFor, upstream: Upstream, raw: bytes) -> None:
    rig = await gateway_for(upstream, limits=LIMITS)
    client = await rig.connect()
    await client.send(raw)
    link = await upstream.link()
    await link.request()
    await link.send(OK)
    assert (await client.response()).body == b"ok"
