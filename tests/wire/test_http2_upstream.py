"""HTTP/2 to upstreams, on real sockets: dialogues on raw frames, with prior knowledge and over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from harness.answers import echo as echo_1_1
from harness.client import Client, code_of, request
from harness.frames import GET, block
from harness.http2 import Http2Client
from harness.http2_upstream import Asked, Http2TlsUpstream, Pairs, Session, echo, speaking
from harness.message import Truncated
from harness.patience import PROMPT, eventually
from harness.rig import GatewayFor, Rig, proxy_to
from harness.tls import TlsUpstream, write_authority
from harness.upstream import Link, Upstream

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import CircuitBreaker, Timeouts
from gateway.control.metrics.exposition import Exposition
from gateway.core.limits import Limits
from gateway.wire.h2.codes import (
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    HTTP_1_1_REQUIRED,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    STREAM_CLOSED,
)
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings, window_update

pytestmark = [pytest.mark.protocols, pytest.mark.raw]  # TLS to the upstream matters here, TLS to callers does not

Gateway = Callable[..., Awaitable[Rig]]
AT_ONCE = CircuitBreaker(enabled=True, failure_threshold=1)
"""One failure, and no attempt is made any more."""


@pytest.fixture
def upstream_class(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Upstream]:
    if request.param is Upstream:
        return Upstream
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))
    return Http2TlsUpstream


@pytest.fixture
def gateway(gateway_for: GatewayFor, upstream: Upstream) -> Gateway:
    """Starts a gateway that speaks HTTP/2 to ``upstream``."""

    async def start(*, limits: Limits | None = None, http2: bool = False, **changes: Any) -> Rig:
        mode = "always" if upstream.scheme == "http" else "auto"
        proxied = proxy_to(upstream, **({"http2": mode} | changes))
        return await gateway_for(upstream, limits=limits or Limits(), http2=http2, proxies=(proxied,))

    return start


async def accept(upstream: Upstream, pairs: Pairs | None = None) -> Session:
    return await Session(await upstream.link()).greet(pairs)


async def asking(rig: Rig, *args: Any, **kwargs: Any) -> tuple[Client, asyncio.Future[Any]]:
    client = await rig.connect()
    return client, asyncio.ensure_future(client.ask(*args, **kwargs))


# -- the plain cases


async def test_what_the_upstream_gets(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client, response = await asking(rig, "/a?b", "X-One: 1", "X-One: 2", "Cookie: a=1; b=2", "TE: trailers, gzip")
    session = await accept(upstream)
    asked = await session.request()
    assert asked.fields.pop(b"x-request-id")
    via = asked.fields.pop(b"via")
    assert via.startswith(b"1.1 ")
    port = client.sock.getsockname()[1]
    assert port
    assert asked.fields == {
        b":method": b"GET",
        b":scheme": upstream.scheme.encode(),
        b":authority": upstream.url.partition("://")[2].encode(),
        b":path": b"/a?b",
        b"x-one": b"2",
        b"cookie": b"a=1; b=2",
        b"te": b"trailers",
        b"x-forwarded-for": b"127.0.0.1",
        b"x-forwarded-host": b"gateway.test",
        b"x-forwarded-proto": b"http",
    }
    assert session.settings == {2: 0, INITIAL_WINDOW_SIZE: 65536}
    assert session.credit[0] == (1 << 20) - 65535
    await session.respond(asked, b"body", (b"x-two", b"2"))
    message = await response
    assert (message.status, message.body, message.get("x-two")) == (200, b"body", b"2")


async def test_the_log_says_what_was_spoken(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behaviour = speaking(echo)
    rig = await gateway()
    for _ in range(2):
        assert (await rig.ask()).status == 200
    first, second = await rig.log.wait(2)
    assert (first["upstream_protocol"], first["reused"]) == ("2", False)
    assert (second["upstream_protocol"], second["reused"]) == ("2", True)
    assert upstream.accepted == 1


@pytest.mark.parametrize("size", [0, 1, 16384, 70_000, 1_000_000])
async def test_bodies_both_ways(gateway: Gateway, upstream: Upstream, size: int) -> None:
    async def answer(session: Session) -> None:
        asked = await session.head()
        await session.open_windows(asked, size + 1)
        await session.until(lambda: asked.ended)
        await session.begin(asked)
        sent = 0
        while sent < size:
            at = sent
            await session.until(lambda at=at: at <= 65536 + session.credit.get(asked.ident, 0) - 16384)  # type: ignore[misc]
            await session.data(asked, asked.body[sent : sent + 16384])
            sent += 16384
        await session.data(asked, b"", ended=True)

    async def serve(session: Session) -> None:
        while True:
            await answer(session)

    upstream.behaviour = speaking(serve)
    rig = await gateway()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    client = await rig.connect()
    for chunked in (False, True):
        if chunked:
            framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
            await client.send(request("/", "Transfer-Encoding: chunked", method="POST"), framed)
        else:
            await client.send(request("/", f"Content-Length: {size}", method="POST"), body)
        message = await client.response()
        assert (message.status, message.body) == (200, body)
    assert upstream.accepted == 1


async def test_over_http_2_on_both_sides(gateway: Gateway, upstream: Upstream) -> None:
    async def serve(session: Session) -> None:
        asked = await session.request()
        assert asked.trailers == {b"x-sum": b"1"}
        await session.begin(asked, (b"link", b"</a>"), status=103)
        await session.begin(asked, (b"x-one", b"1"))
        await session.data(asked, b"abc")
        await session.send(session.headers(asked, [(b"grpc-status", b"0")], ended=True))
        await session.link.gone()

    upstream.behaviour = speaking(serve)
    rig = await gateway(http2=True)
    client = await Http2Client.connect(rig.gateway.addresses[0])
    try:
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
        await client.request(1, [*fields, (b"te", b"trailers")], ended=False)
        await client.data(1, b"12")
        await client.send(frame(HEADERS, 5, 1, block([(b"x-sum", b"1")])))
        response = await client.response()
    finally:
        client.close()
    assert [interim[b":status"] for interim in response.interims] == [b"103"]
    assert (response.status, response.body, response.trailers) == (200, b"abc", {b"grpc-status": b"0"})


async def test_operators_see_the_protocols_of_both_sides(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(http2=True)
    client = await Http2Client.connect(rig.gateway.addresses[0])
    try:
        await client.request(1, [*GET, (b"x-request-id", b"this")])
        session = await accept(upstream)
        asked = await session.request()
        spoken = {"protocol": "2", "upstream_protocol": "2"}
        told, found = rig.gateway.explain("p"), rig.gateway.find("this")
        assert told is not None
        assert found is not None
        assert (told["pool"]["sessions"], told["pool"]["streams"]) == (1, 1)
        assert told["active"][0].items() >= spoken.items()
        assert found.items() >= spoken.items()
        rig.gateway.sample()
        running = shown(rig)
        await session.respond(asked, b"body")
        assert (await client.response()).status == 200
        _, response = await asking(rig)
        await session.respond(await session.request(), b"")
        assert (await response).status == 200
    finally:
        client.close()
    lines = await rig.log.wait(2)
    assert [(line["protocol"], line["upstream_protocol"]) for line in lines] == [("2", "2"), ("1.1", "2")]
    gauges = ("gateway_http2_connections", "gateway_http2_streams")
    pool = ('gateway_pool_sessions{proxy="p"}', 'gateway_pool_streams{proxy="p"}')
    assert {name: running[name] for name in (*gauges, *pool)} == dict.fromkeys((*gauges, *pool), "1")
    await eventually(lambda: rig.gateway.sample() or shown(rig)[gauges[0]] == "0", "the client has left")
    ended = shown(rig)
    assert [ended[name] for name in (gauges[1], *pool)] == ["0", "1", "0"]
    of = 'gateway_requests_by_protocol_total{proxy="p",side="%s",protocol="%s"}'
    assert [ended.get(of % side) for side in (("downstream", "1.1"), ("downstream", "2"), ("upstream", "2"))] == [
        "1",
        "1",
        "2",
    ]


def shown(rig: Rig) -> dict[str, str]:
    """What a scrape of its counters shows."""
    lines = "".join(Exposition(rig.gateway.counters).render(open_metrics=False)).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")  # type: ignore[misc]


async def test_trailers_only_stay_one_frame(gateway: Gateway, upstream: Upstream) -> None:
    """nginx 1.13.9 sent HEADERS and an empty DATA, and gRPC clients found no trailers."""

    async def serve(session: Session) -> None:
        asked = await session.request()
        await session.begin(asked, (b"content-type", b"application/grpc"), (b"grpc-status", b"5"), ended=True)
        await session.link.gone()

    upstream.behaviour = speaking(serve)
    rig = await gateway(http2=True)
    client = await Http2Client.connect(rig.gateway.addresses[0])
    try:
        await client.request()
        response = await client.response()
    finally:
        client.close()
    assert b"content-length" not in response.fields
    assert [f.kind for f in client.frames if f.ident == 1] == [HEADERS]


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [("HEAD", 200, [(b"content-length", b"5")]), ("GET", 204, []), ("GET", 304, [(b"content-length", b"5")])],
)
@pytest.mark.parametrize("late", [False, True])
async def test_responses_without_a_body(
    gateway: Gateway, upstream: Upstream, method: str, status: int, fields: list[tuple[bytes, bytes]], late: bool
) -> None:
    async def serve(session: Session) -> None:
        while True:
            asked = await session.request()
            await session.begin(asked, *fields, status=status, ended=not late)
            if late:
                await session.data(asked, b"", ended=True)

    upstream.behaviour = speaking(serve)
    rig = await gateway()
    client = await rig.connect()
    for _ in range(2):
        message = await client.ask(method=method)
        assert (message.status, message.body) == (status, b"")


async def test_a_response_of_no_announced_length_and_no_body(gateway: Gateway, upstream: Upstream) -> None:
    """A caller of HTTP/1.1 must not wait for the close of its connection."""

    async def serve(session: Session) -> None:
        while True:
            await session.begin(await session.request(), ended=True)

    upstream.behaviour = speaking(serve)
    client = await (await gateway()).connect()
    for _ in range(2):
        assert (await client.ask()).body == b""


async def test_expect_100_continue(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Expect: 100-continue", "Content-Length: 4", method="POST"))
    session = await accept(upstream)
    asked = await session.head()
    assert asked.fields[b"expect"] == b"100-continue"
    await session.begin(asked, status=100)
    assert (await client.response()).status == 100
    await client.send(b"body")
    await session.until(lambda: asked.ended)
    await session.respond(asked, asked.body)
    assert (await client.response()).body == b"body"


# -- multiplexing


async def test_a_cold_burst_shares_one_connection(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behaviour = speaking(echo)
    rig = await gateway()
    responses = await asyncio.gather(*(rig.ask(f"/{number}") for number in range(100)))
    assert [m.body for m in responses] == [b"GET /%d " % number for number in range(100)]
    assert upstream.accepted == 1
    pool = rig.p.endpoints[0].pool
    assert (pool.dials, pool.open, pool.idle) == (1, 1, 1)


async def test_the_limit_of_the_upstream_is_never_exceeded(gateway: Gateway, upstream: Upstream) -> None:
    """HAProxy overran it before the SETTINGS had come (#2853)."""
    sessions: list[Session] = []

    async def serve(session: Session) -> None:
        sessions.append(session)
        while True:
            first = await session.request()
            await session.acknowledged()
            await session.respond(first, b"ok")

    upstream.behaviour = speaking(serve, [(MAX_CONCURRENT_STREAMS, 4)])
    rig = await gateway()
    for _ in range(2):
        responses = await asyncio.gather(*(rig.ask(f"/{number}") for number in range(30)))
        assert {m.status for m in responses} == {200}
    assert max(session.most for session in sessions) <= 4
    assert upstream.accepted <= 8


async def test_an_upstream_that_allows_nothing(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behaviour = speaking(lambda session: session.link.gone(), [(MAX_CONCURRENT_STREAMS, 0)])  # type: ignore[arg-type,return-value]
    rig = await gateway()
    assert code_of(await rig.ask()) == "dial_failed"


async def test_a_limit_that_is_lowered_and_raised(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, one = await asking(rig, "/1")
    session = await accept(upstream)
    first = await session.request()
    await session.send(settings([(MAX_CONCURRENT_STREAMS, 1)]))
    await session.acknowledged()
    _, two = await asking(rig, "/2")
    other = await accept(upstream, [(MAX_CONCURRENT_STREAMS, 1)])
    second = await other.request()
    await session.send(settings([(MAX_CONCURRENT_STREAMS, 10)]))
    await session.acknowledged()
    _, three = await asking(rig, "/3")
    third = await session.request()
    assert third.path == b"/3"
    for at, asked, response in ((session, first, one), (other, second, two), (session, third, three)):
        await at.respond(asked, asked.path)
        assert (await response).body == asked.path


async def test_a_slow_reader_blocks_no_other(gateway: Gateway, upstream: Upstream) -> None:
    """HAProxy lets one response that is not read block a shared connection."""
    rig = await gateway()
    slow = await rig.connect(receive_buffer=4096)
    await slow.send(request("/slow"))
    session = await accept(upstream)
    large = await session.request()
    await session.begin(large)
    sent = 0

    def taken() -> bool:
        return sent + 16384 > 65536 + session.credit.get(large.ident, 0)

    while True:  # until the window of the stream stays shut
        while not taken():
            await session.data(large, bytes(16384))
            sent += 16384
        await session.acknowledged()
        try:
            await session.until(lambda: not taken(), within=0.5)
        except TimeoutError:
            break
    for number in range(50):
        _, response = await asking(rig, f"/{number}")
        asked = await session.request()
        await session.respond(asked, bytes(30_000))
        assert len((await response).body) == 30_000
    assert upstream.accepted == 1
    slow.close()
    assert await session.reset(large) == CANCEL


async def test_a_caller_who_leaves_resets_its_stream_alone(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    leaving = await rig.connect()
    await leaving.send(request("/1"))
    session = await accept(upstream)
    first = await session.request()
    _, staying = await asking(rig, "/2")
    second = await session.request()
    await session.begin(first)
    left = monotonic()
    leaving.close()
    assert await session.reset(first) == CANCEL
    assert monotonic() - left < PROMPT, "within 100 ms when the machine is quiet"
    await session.data(first, b"on its way", ended=True)  # which is no fault
    await session.respond(second, b"ok")
    assert (await staying).body == b"ok"
    assert upstream.accepted == 1


async def test_uploads_share_the_windows(gateway: Gateway, upstream: Upstream) -> None:
    """Round robin: with the window of the connection open for a part, each of the uploads moves."""
    rig = await gateway()
    clients = [await rig.connect() for _ in range(4)]
    for client in clients:
        await client.send(request("/", "Content-Length: 100000", method="POST"), bytes(30_000))
    session = await accept(upstream)
    uploads = [await session.head() for _ in clients]
    await session.until(lambda: sum(len(a.body) for a in uploads) == 65535)
    await session.send(window_update(0, 32768))
    await session.until(lambda: sum(len(a.body) for a in uploads) == 65535 + 32768)
    assert all(a.body for a in uploads)
    for client in clients:
        await client.send(bytes(70_000))
    await session.send(window_update(0, 1 << 20), *[window_update(a.ident, 1 << 20) for a in uploads])
    for client, asked in zip(clients, uploads, strict=True):
        await session.until(lambda: asked.ended)  # noqa: B023
        assert len(asked.body) == 100_000
        await session.respond(asked, b"ok")
        assert (await client.response()).body == b"ok"


async def test_a_window_that_becomes_negative(gateway: Gateway, upstream: Upstream) -> None:
    """RFC 9113 6.9.2."""
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 100000", method="POST"), bytes(100_000))
    session = await accept(upstream)
    asked = await session.head()
    await session.until(lambda: len(asked.body) == 65535)
    await session.send(settings([(INITIAL_WINDOW_SIZE, 10)]), window_update(0, 1 << 20), window_update(1, 65525))
    await session.acknowledged()
    assert len(asked.body) == 65535
    await session.send(window_update(1, 1 << 20))
    await session.until(lambda: asked.ended)
    await session.respond(asked, b"ok")
    assert (await client.response()).body == b"ok"


# -- ends


async def test_a_cut_never_looks_whole(gateway: Gateway, upstream: Upstream) -> None:
    """HAProxy ends a stream cleanly when the origin dies in the middle of a response without a length."""

    async def serve(session: Session) -> None:
        asked = await session.request()
        await session.begin(asked)
        await session.data(asked, b"part")
        await session.acknowledged()

    upstream.behaviour = speaking(serve)
    rig = await gateway(http2=True)
    with pytest.raises(Truncated):
        await rig.ask()
    client = await Http2Client.connect(rig.gateway.addresses[0])
    try:
        await client.request()
        response = await client.response()
    finally:
        client.close()
    assert (response.body, response.ended, response.code) == (b"part", False, INTERNAL_ERROR)


@pytest.mark.parametrize("code", [NO_ERROR, CANCEL, INTERNAL_ERROR, 0x77])
async def test_a_stream_that_is_reset(gateway: Gateway, upstream: Upstream, code: int) -> None:
    rig = await gateway()
    _, response = await asking(rig, method="POST", body=b"x")
    session = await accept(upstream)
    await session.refuse(await session.request(), code)
    message = await response
    assert (message.status, code_of(message)) == (502, "upstream_reset")
    _, response = await asking(rig)
    asked = await session.request()
    await session.begin(asked, (b"content-length", b"9"))
    await session.data(asked, b"part")
    await session.acknowledged()
    await session.refuse(asked, code)
    with pytest.raises(Truncated):
        await response
    assert upstream.accepted == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refused_stream_is_sent_once_more(gateway: Gateway, upstream: Upstream, method: str) -> None:
    """Only Envoy repeats a POST here, where nothing was done with it."""
    rig = await gateway()
    _, response = await asking(rig, method=method, body=b"abc" if method == "POST" else b"")
    session = await accept(upstream)
    await session.refuse(await session.request(), REFUSED_STREAM)
    again = await session.request()
    await session.respond(again, again.body)
    assert (await response).body == (b"abc" if method == "POST" else b"")
    line = await rig.log.last(1)
    assert (line["attempts"], line["reason"]) == (2, "")
    _, response = await asking(rig, method=method)
    for _ in range(2):
        await session.refuse(await session.request(), REFUSED_STREAM)
    assert code_of(await response) == "upstream_reset"


async def test_an_upstream_that_requires_http_1_1(gateway: Gateway, upstream: Upstream) -> None:
    """RFC 9113 7: the request is repeated, and so are all that follow, where http2: always does not exclude it."""
    rig = await gateway(circuit_breaker=AT_ONCE)
    client, response = await asking(rig, method="POST", body=b"abc")
    session = await accept(upstream)
    await session.refuse(await session.request(), HTTP_1_1_REQUIRED)
    if upstream.scheme == "http":
        message = await response
        assert code_of(message) == "upstream_reset"
        assert b"HTTP_1_1_REQUIRED; where http2: always is set, write auto or never" in message.body
        return
    link = await upstream.link()
    assert (await link.request()).body == b"abc"
    await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    assert (await response).body == b"1"
    again = asyncio.ensure_future(client.ask())
    await link.request()
    await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
    assert (await again).body == b"2"
    assert upstream.accepted == 2
    await session.goaway()


async def test_a_refused_upload_of_which_nothing_was_sent(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 4", method="POST"))
    session = await accept(upstream)
    await session.refuse(await session.head(), REFUSED_STREAM)
    again = await session.head()
    await client.send(b"body")
    await session.until(lambda: again.ended)
    await session.respond(again, again.body)
    assert (await client.response()).body == b"body"


async def test_a_refused_upload_of_which_a_part_was_sent(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 4", method="POST"), b"bo")
    session = await accept(upstream)
    asked = await session.head()
    await session.until(lambda: asked.body)
    await session.refuse(asked, REFUSED_STREAM)
    assert code_of(await client.response()) == "upstream_reset"


async def test_goaway(gateway: Gateway, upstream: Upstream) -> None:
    """Those that run live to their end; what the upstream has not begun with goes to another connection."""
    rig = await gateway(circuit_breaker=AT_ONCE)
    _, one = await asking(rig, "/1")
    session = await accept(upstream)
    first = await session.request()
    _, two = await asking(rig, "/2", method="POST", body=b"x")
    await session.request()
    await session.send(goaway(first.ident, NO_ERROR))
    other = await accept(upstream)
    second = await other.request()
    assert (second.path, second.body) == (b"/2", b"x")
    await other.respond(second, b"two")
    assert (await two).body == b"two"
    await session.respond(first, b"one")
    assert (await one).body == b"one"
    await session.goaway()
    assert upstream.accepted == 2


async def test_goaway_in_advance(gateway: Gateway, upstream: Upstream) -> None:
    """RFC 9113 6.8: an upstream that drains names the highest number first."""
    rig = await gateway()
    _, one = await asking(rig, "/1")
    session = await accept(upstream)
    first = await session.request()
    await session.send(goaway((1 << 31) - 1, NO_ERROR))
    await session.acknowledged()
    _, two = await asking(rig, "/2")
    other = await accept(upstream)
    await other.respond(await other.request(), b"two")
    assert (await two).body == b"two"
    await session.respond(first, b"one")
    assert (await one).body == b"one"


async def test_an_early_response_ends_the_upload(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 1000000", method="POST"), b"x")
    session = await accept(upstream)
    asked = await session.head()
    await session.respond(asked, b"no", status=413)
    assert (await client.response()).status == 413
    assert await session.reset(asked) == CANCEL
    _, response = await asking(rig)
    again = await session.request()
    await session.respond(again, b"ok")
    assert (await response).body == b"ok"


async def test_an_early_response_and_no_error(gateway: Gateway, upstream: Upstream) -> None:
    """RFC 9113 8.1: the reset says that the rest of the request is not needed; the response is whole."""
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 1000000", method="POST"), b"x")
    session = await accept(upstream)
    asked = await session.head()
    await session.send(session.headers(asked, [(b":status", b"413")], ended=True), rst_stream(asked.ident, NO_ERROR))
    assert (await client.response()).status == 413


async def test_a_stale_connection_is_made_good(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, response = await asking(rig)
    session = await accept(upstream)
    await session.respond(await session.request(), b"ok")
    await response
    _, response = await asking(rig)
    await session.request()
    session.link.close()
    other = await accept(upstream)
    await other.respond(await other.request(), b"ok")
    assert (await response).status == 200


async def test_a_connection_that_dies_at_work_is_not(gateway: Gateway, upstream: Upstream) -> None:
    """Bytes came since the request was sent: the upstream was there, and may have begun with it."""
    rig = await gateway()
    _, response = await asking(rig)
    session = await accept(upstream)
    await session.respond(await session.request(), b"ok")
    await response
    _, response = await asking(rig)
    await session.request()
    await session.acknowledged()
    session.link.close()
    assert code_of(await response) == "upstream_reset"
    assert upstream.accepted == 1


# -- timeouts


async def test_no_head_in_time(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=0.3, body_idle=2))
    _, response = await asking(rig)
    session = await accept(upstream)
    asked = await session.request()
    assert code_of(await response) == "header_timeout"
    assert await session.reset(asked) == CANCEL


async def test_a_connection_that_leads_nowhere_is_left(gateway: Gateway, upstream: Upstream) -> None:
    """Nothing at all has come since: the next request goes elsewhere."""
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=0.3, body_idle=2))
    _, response = await asking(rig, "/1")
    session = await accept(upstream)
    await session.request()
    assert code_of(await response) == "header_timeout"
    _, response = await asking(rig, "/2")
    other = await accept(upstream)
    await other.respond(await other.request(), b"ok")
    assert (await response).status == 200


async def test_a_slow_request_is_no_reason_to_leave(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=0.3, body_idle=2))
    _, slow = await asking(rig, "/1")
    session = await accept(upstream)
    await session.request()
    await session.acknowledged()
    assert code_of(await slow) == "header_timeout"
    _, response = await asking(rig, "/2")
    second = await session.request()
    assert second.path == b"/2"
    await session.respond(second, b"ok")
    assert (await response).status == 200
    assert upstream.accepted == 1


async def test_a_body_that_stands_still(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=2, body_idle=0.3))
    _, response = await asking(rig)
    session = await accept(upstream)
    asked = await session.request()
    await session.begin(asked)
    await session.data(asked, b"part")
    with pytest.raises(Truncated):
        await response
    assert await session.reset(asked) == CANCEL


async def test_an_upload_that_is_not_taken(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=2, body_idle=0.3))
    client = await rig.connect()
    await client.send(request("/", "Content-Length: 1000000", method="POST"), bytes(1_000_000))
    session = await accept(upstream)
    asked = await session.head()
    assert code_of(await client.response()) == "body_idle_timeout"
    assert await session.reset(asked) == CANCEL


async def test_no_settings(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=0.3, response_header=2, body_idle=2))
    _, response = await asking(rig)
    link = await upstream.link()
    assert code_of(await response) == "dial_timeout"
    await link.gone()


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", frame(PING, 0, 0, bytes(8))]
)
async def test_an_upstream_that_does_not_speak_it(gateway: Gateway, upstream: Upstream, said: bytes) -> None:
    rig = await gateway()
    _, response = await asking(rig)
    link = await upstream.link()
    await link.send(said)
    assert code_of(await response) == "upstream_bad_response"


async def test_an_upstream_that_closes_at_once(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, response = await asking(rig)
    (await upstream.link()).close()
    assert code_of(await response) == "dial_failed"


# -- responses against the rules

OK = (b":status", b"200")
MALFORMED: dict[str, Callable[[Session, Asked], list[bytes]]] = {
    "no status": lambda s, a: [s.headers(a, [(b"x", b"1")])],
    "two statuses": lambda s, a: [s.headers(a, [OK, OK])],
    "a late status": lambda s, a: [s.headers(a, [(b"x", b"1"), OK])],
    "a word for a status": lambda s, a: [s.headers(a, [(b":status", b"abc")])],
    "four digits": lambda s, a: [s.headers(a, [(b":status", b"2000")])],
    "another pseudo-field": lambda s, a: [s.headers(a, [OK, (b":path", b"/")])],
    "connection": lambda s, a: [s.headers(a, [OK, (b"connection", b"close")])],
    "transfer-encoding": lambda s, a: [s.headers(a, [OK, (b"transfer-encoding", b"chunked")])],
    "upper case": lambda s, a: [s.headers(a, [OK, (b"X-One", b"1")])],
    "a blank in a name": lambda s, a: [s.headers(a, [OK, (b"x one", b"1")])],
    "CRLF in a value": lambda s, a: [s.headers(a, [OK, (b"x", b"1\r\nset-cookie: a=b")])],
    "two lengths": lambda s, a: [s.headers(a, [OK, (b"content-length", b"1"), (b"content-length", b"1")])],
    "a length that is none": lambda s, a: [s.headers(a, [OK, (b"content-length", b"+1")])],
    "a length without a body": lambda s, a: [s.headers(a, [OK, (b"content-length", b"1")], ended=True)],
    "DATA before HEADERS": lambda s, a: [frame(DATA, 0, a.ident, b"x")],
    "an empty end before HEADERS": lambda s, a: [frame(DATA, 1, a.ident, b"")],
    "101": lambda s, a: [s.headers(a, [(b":status", b"101")])],
    "an interim response that ends": lambda s, a: [s.headers(a, [(b":status", b"103")], ended=True)],
    "too large": lambda s, a: [s.headers(a, [OK, *[(b"x-%d" % n, b"v" * 900) for n in range(8)]])],
    "too short": lambda s, a: [s.headers(a, [OK, (b"content-length", b"3")]), frame(DATA, 1, a.ident, b"ab")],
    "too long": lambda s, a: [s.headers(a, [OK, (b"content-length", b"1")]), frame(DATA, 1, a.ident, b"ab")],
    "trailers that do not end": lambda s, a: [s.headers(a, [OK]), s.headers(a, [(b"x", b"1")])],
    "a pseudo-field in trailers": lambda s, a: [s.headers(a, [OK]), s.headers(a, [OK], ended=True)],
    "a window that opens nothing": lambda s, a: [window_update(a.ident, 0)],
    "a window that is too wide": lambda s, a: [window_update(a.ident, (1 << 31) - 1)] * 2,
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_response_concerns_its_stream_alone(
    gateway: Gateway, upstream: Upstream, case: Callable[[Session, Asked], list[bytes]]
) -> None:
    rig = await gateway(limits=Limits(max_response_header_bytes=4096))
    _, staying = await asking(rig, "/stays")
    session = await accept(upstream)
    first = await session.request()
    _, response = await asking(rig, "/bad", method="POST", body=b"x")
    second = await session.request()
    await session.send(b"".join(case(session, second)))
    message = await response
    assert (message.status, code_of(message)) == (502, "upstream_bad_response")
    assert await session.reset(second) in (PROTOCOL_ERROR, FLOW_CONTROL_ERROR)
    await session.respond(first, b"ok")
    assert (await staying).body == b"ok"
    assert upstream.accepted == 1


async def test_too_many_interim_responses(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(limits=Limits(max_interim_responses=3))
    client = await rig.connect()
    await client.send(request())
    session = await accept(upstream)
    asked = await session.request()
    for _ in range(4):
        await session.begin(asked, status=103)
    statuses = [(await client.response()).status for _ in range(3)]
    assert statuses == [103, 103, 103]
    assert code_of(await client.response()) == "upstream_bad_response"
    assert await session.reset(asked) == PROTOCOL_ERROR


async def test_a_body_in_response_to_head(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request(method="HEAD"))
    session = await accept(upstream)
    asked = await session.request()
    await session.respond(asked, b"body")
    message = await client.response("HEAD")
    assert message.status in (200, 502)
    assert message.body == b""
    assert await session.reset(asked) == PROTOCOL_ERROR


async def test_more_than_the_window_of_a_stream(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    client = await rig.connect(receive_buffer=4096)
    await client.send(request())
    session = await accept(upstream)
    asked = await session.request()
    await session.begin(asked)
    for _ in range(200):
        await session.data(asked, bytes(16384))
        if asked.code is not None:
            break
        await session.acknowledged()
    assert await session.reset(asked) == FLOW_CONTROL_ERROR
    client.close()


BREAKING: dict[str, tuple[bytes, int]] = {
    "a push": (frame(5, 4, 1, bytes(4)), PROTOCOL_ERROR),
    "ENABLE_PUSH": (settings([(2, 1)]), PROTOCOL_ERROR),
    "a frame on an idle stream": (frame(DATA, 0, 99, b"x"), PROTOCOL_ERROR),
    "a reset of an idle stream": (rst_stream(99, CANCEL), PROTOCOL_ERROR),
    "a window of an idle stream": (window_update(99, 1000), PROTOCOL_ERROR),
    "an even stream": (frame(HEADERS, 5, 2, b"\x88"), PROTOCOL_ERROR),
    "a block that cannot be decoded": (frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff"), 9),
    "a frame that is too large": (frame(DATA, 0, 1, bytes(16385)), 6),
    "a window of the connection that opens nothing": (window_update(0, 0), PROTOCOL_ERROR),
    "a window of the connection that is too wide": (window_update(0, (1 << 31) - 1), FLOW_CONTROL_ERROR),
    "PINGs": (frame(PING, 0, 0, bytes(8)) * 15_000, ENHANCE_YOUR_CALM),
    "SETTINGS": (settings([]) * 15_000, ENHANCE_YOUR_CALM),
    "empty DATA": (frame(HEADERS, 4, 1, b"\x88") + frame(DATA, 0, 1, b"") * 2000, ENHANCE_YOUR_CALM),
    "windows of one byte": (window_update(1, 1) * 15_000, ENHANCE_YOUR_CALM),
    "unknown frames": (frame(0x77, 0, 0, b"") * 15_000, ENHANCE_YOUR_CALM),
    "PRIORITY": (frame(2, 0, 1, bytes(5)) * 15_000, ENHANCE_YOUR_CALM),
    "CONTINUATION": (frame(HEADERS, 0, 1, b"\x88") + frame(9, 0, 1, b"") * 9, ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize(("said", "code"), BREAKING.values(), ids=BREAKING.keys())
async def test_a_broken_rule_ends_the_connection(gateway: Gateway, upstream: Upstream, said: bytes, code: int) -> None:
    rig = await gateway()
    client = await rig.connect()
    await client.send(request("/", method="POST", body=b"x"))
    session = await accept(upstream)
    await session.request()
    sending = asyncio.ensure_future(session.send(said))
    assert await session.goaway() == code
    await asyncio.gather(sending, return_exceptions=True)
    try:
        message = await client.response()
    except Truncated:
        pass  # its head had come
    else:
        assert message.status == 502
        assert code_of(message) == "upstream_bad_response"
    _, response = await asking(rig)
    other = await accept(upstream)
    await other.respond(await other.request(), b"ok")
    assert (await response).status == 200


async def test_what_came_whole_before_a_broken_rule_is_given_on(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, response = await asking(rig)
    session = await accept(upstream)
    asked = await session.request()
    whole = session.headers(asked, [OK, (b"content-length", b"2")]) + frame(DATA, 1, asked.ident, b"ok")
    await session.send(whole + frame(DATA, 0, 99, b"x"))
    assert (await response).body == b"ok"
    assert await session.goaway() == PROTOCOL_ERROR


async def test_data_behind_the_end(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, response = await asking(rig)
    session = await accept(upstream)
    asked = await session.request()
    await session.respond(asked, b"ok")
    assert (await response).body == b"ok"
    await session.send(frame(DATA, 0, asked.ident, b"more"))
    assert await session.goaway() == STREAM_CLOSED


async def test_ping_and_settings_are_acknowledged(gateway: Gateway, upstream: Upstream) -> None:
    upstream.behaviour = speaking(echo)
    rig = await gateway()
    await rig.ask()
    upstream.behaviour = None
    link = upstream.links[0]
    assert frame(SETTINGS, 1, 0, b"") in bytes(link.received)


# -- the pool


async def test_an_idle_session_is_closed(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=2, body_idle=2, idle=0.2))
    _, response = await asking(rig)
    session = await accept(upstream)
    await session.respond(await session.request(), b"ok")
    await response
    assert await session.goaway() == NO_ERROR
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "the pool knows that it is closed")
    assert rig.p.endpoints[0].pool.idle == 0


async def test_an_old_session_begins_no_more_streams(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(timeouts=Timeouts(dial=1, response_header=2, body_idle=2, max_age=0.3))
    _, one = await asking(rig, "/1")
    session = await accept(upstream)
    first = await session.request()
    await asyncio.sleep(0.35)  # its age
    _, two = await asking(rig, "/2")
    other = await accept(upstream)
    await other.respond(await other.request(), b"two")
    assert (await two).body == b"two"
    await session.respond(first, b"one")
    assert (await one).body == b"one"
    await session.goaway()


async def test_a_reload_keeps_what_is_unchanged_and_drains_the_rest(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway()
    _, one = await asking(rig, "/1")
    session = await accept(upstream)
    first = await session.request()
    await rig.change(max_concurrent=7)
    _, two = await asking(rig, "/2")
    await session.respond(await session.request(), b"two")
    assert (await two).body == b"two"
    await rig.change(timeouts=Timeouts(dial=1, response_header=2, body_idle=2, idle=3))
    _, three = await asking(rig, "/3")
    other = await accept(upstream)
    await other.respond(await other.request(), b"three")
    assert (await three).body == b"three"
    await session.respond(first, b"one")
    assert (await one).body == b"one"
    await session.goaway()


async def test_the_limiter_counts_requests(gateway: Gateway, upstream: Upstream) -> None:
    rig = await gateway(max_concurrent=2)
    pending = [await asking(rig, f"/{number}") for number in range(2)]
    session = await accept(upstream)
    asked = [await session.request() for _ in pending]
    message = await rig.ask("/3")
    assert (message.status, code_of(message)) == (429, "concurrency_limit")
    for each in asked:
        await session.respond(each, b"ok")
    assert [(await response).status for _, response in pending] == [200, 200]


# -- which protocol


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", write_authority(tmp_path))


@pytest.mark.plain
async def test_http_1_1_where_alpn_does_not_choose_http_2(
    gateway_for: GatewayFor, upstream: Upstream, trusted: None
) -> None:
    """The first dial finds out, for all that wait; it is remembered."""
    del upstream, trusted
    async with TlsUpstream(echo_1_1()) as other:
        rig = await gateway_for(other, proxies=(proxy_to(other),))
        for _ in range(2):
            responses = await asyncio.gather(*(rig.ask(f"/{number}") for number in range(20)))
            assert {m.status for m in responses} == {200}
        assert {line["upstream_protocol"] for line in await rig.log.wait(40)} == {"1.1"}
        pool = rig.p.endpoints[0].pool
        assert pool.open == pool.idle == other.accepted <= 20
        assert pool.reuses > 0


@pytest.mark.plain
async def test_never(gateway_for: GatewayFor, upstream: Upstream, trusted: None) -> None:
    del upstream, trusted
    async with Http2TlsUpstream(echo_1_1()) as other:
        rig = await gateway_for(other, proxies=(proxy_to(other, http2="never"),))
        assert (await rig.ask()).status == 200
        assert (await rig.log.last())["upstream_protocol"] == "1.1"


@pytest.mark.plain
async def test_always_over_tls_does_not_ask(gateway_for: GatewayFor, upstream: Upstream, trusted: None) -> None:
    del upstream, trusted
    async with TlsUpstream(speaking(echo)) as other:
        rig = await gateway_for(other, proxies=(proxy_to(other, http2="always"),))
        assert (await rig.ask()).body == b"GET / "
        assert (await rig.log.last())["upstream_protocol"] == "2"


@pytest.mark.plain
async def test_an_http_upstream_is_not_asked(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo_1_1()
    rig = await gateway_for(upstream)
    assert (await rig.ask()).status == 200
    assert (await rig.log.last())["upstream_protocol"] == "1.1"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
async def test_a_response_with_a_listed_status_is_discarded_and_the_connection_goes_on(
    gateway: Gateway, upstream: Upstream, whole: bool
) -> None:
    rig = await gateway(fallback=Fallback((), ((503, 503),), response=FixedResponse(200, "fixed")))
    _, response = await asking(rig)
    session = await accept(upstream)
    asked = await session.request()
    if whole:
        await session.respond(asked, b"busy", status=503)
    else:
        await session.begin(asked, status=503)
        await session.until(lambda: asked.code == CANCEL)
    assert (await response).body == b"fixed"
    _, response = await asking(rig)
    asked = await session.request()
    await session.respond(asked, b"ok")
    assert (await response).body == b"ok"
    assert upstream.accepted == 1


@pytest.mark.parametrize("how", ["goaway", "end"])
async def test_an_upstream_that_closes_what_it_accepts_is_dialled_once_for_a_request(
    gateway: Gateway, upstream: Upstream, how: str
) -> None:
    """As one that goes down while it listens. A request would wait, and connections would be opened without end."""

    async def leaves(link: Link) -> None:
        session = Session(link)
        assert await link.exactly(len(PREFACE)) == PREFACE
        await session.send(settings([]) + (goaway(0, NO_ERROR) if how == "goaway" else b""))
        if how == "goaway":
            await link.gone()

    upstream.behaviour = leaves
    rig = await gateway()
    for times in (1, 2):
        response = await rig.ask()
        assert response.status == 502
        assert upstream.accepted <= 2 * times, "one that was lost is made good once"
