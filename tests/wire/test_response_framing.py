"""Answers of the upstream: how long they are, how they end, and what becomes of those that are not HTTP."""

from __future__ import annotations

import asyncio

import pytest
from harness.answers import LAST_CHUNK, OK, answer, chunk, head, once
from harness.attacks.responses import BAD, CUT, MENDED
from harness.client import Client, code_of, request
from harness.message import Truncated
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import Limits
from gateway.upstream import pool

pytestmark = pytest.mark.protocols

GET_10 = b"GET /a HTTP/1.0\r\nHost: gateway.test\r\n\r\n"


async def begin(rig: Rig, upstream: Upstream, raw: bytes) -> tuple[Client, Link]:
    """The client has asked, the upstream has read the request."""
    client = await rig.connect()
    await client.send(raw)
    link = await upstream.link()
    await link.request()
    return client, link


# -- answers without a body

WITHOUT_BODY = {
    "9110-9.3.2 HEAD keeps the length it would have": ("HEAD", head("Content-Length: 1234"), b"1234"),
    "9110-9.3.2 HEAD without a length": ("HEAD", head(), None),
    "9112-6.3 HEAD with chunked": ("HEAD", head("Transfer-Encoding: chunked"), None),
    "9110-15.3.5 204": ("GET", head(status="204 No Content"), None),
    "9110-15.4.5 304": ("GET", head("ETag: x", status="304 Not Modified"), None),
    "9110-15.4.5 304 keeps a length": ("GET", head("Content-Length: 99", status="304 Not Modified"), b"99"),
    "9112-6.3 length 0": ("GET", head("Content-Length: 0"), b"0"),
}


@pytest.mark.parametrize(("method", "raw", "length"), WITHOUT_BODY.values(), ids=WITHOUT_BODY)
async def test_without_body(
    gateway_for: GatewayFor,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    raw: bytes,
    length: bytes | None,
) -> None:
    monkeypatch.setattr(pool, "REST_SECONDS", 0.05)
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request("/a", method=method))
    await link.send(raw)
    response = await client.response(method)
    assert response.get("content-length") == length
    # Nothing follows it: both connections serve the next request.
    await eventually(lambda: rig.p.endpoints[0].pool.idle == 1, "the connection may be used again")
    await client.send(request("/b"))
    assert (await link.request()).target == b"/b"
    await link.send(OK)
    assert (await client.response()).body == b"ok"
    assert upstream.accepted == 1


NAMED = {
    "HEAD, length": ("HEAD", head("Content-Length: 5")),
    "HEAD, chunked": ("HEAD", head("Transfer-Encoding: chunked")),
    "HEAD, neither": ("HEAD", head()),
    "304, length": ("GET", head("Content-Length: 5", status="304 Not Modified")),
    "304, chunked": ("GET", head("Transfer-Encoding: chunked", status="304 Not Modified")),
    "204, length": ("GET", head("Content-Length: 5", status="204 No Content")),
    "204, chunked": ("GET", head("Transfer-Encoding: chunked", status="204 No Content")),
}
EVIL = answer(b"evil")


@pytest.mark.parametrize("late", [0.001, 0.02, 0.2])
@pytest.mark.parametrize(("method", "raw"), NAMED.values(), ids=NAMED)
async def test_a_body_that_must_not_be_there_is_never_a_response(
    gateway_for: GatewayFor, upstream: Upstream, method: str, raw: bytes, late: float
) -> None:
    """RFC 9112 6.3: a broken upstream sends it all the same, later; requests of others come all the while."""
    good = answer(b"good")

    async def serve(link: Link) -> None:
        while True:
            asked = await link.request()
            await link.send(raw if asked.target == b"/named" else good)
            if asked.target == b"/named":
                await asyncio.sleep(late)
                await link.send(EVIL)

    upstream.behaviour = serve
    rig = await gateway_for(upstream)
    first, second = await rig.connect(), await rig.connect()
    assert (await first.ask("/named", method=method)).body == b""
    await eventually(
        lambda: rig.p.endpoints[0].pool.open == 0 or rig.p.endpoints[0].pool.idle == 0, "it is not used at once"
    )
    end = asyncio.get_running_loop().time() + late + 0.05
    while asyncio.get_running_loop().time() < end:
        for client in (first, second):
            response = await client.ask("/b")
            assert (response.status, response.body) == (200, b"good")
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("fields", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_a_204_that_names_a_body_ends_its_connection(
    gateway_for: GatewayFor, upstream: Upstream, fields: str
) -> None:
    """RFC 9110 8.6 and 15.3.5: it must not. Nobody knows what else such an upstream sends."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request("/a"))
    await link.send(head(fields, status="204 No Content"))
    response = await client.response()
    assert response.status == 204
    assert response.get("transfer-encoding") is None
    await link.gone()
    assert rig.p.endpoints[0].pool.open == 0
    upstream.behaviour = once(OK)
    assert (await client.ask("/b")).body == b"ok"


# -- answers with a body


async def test_content_length(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(answer(b"x" * 100_000))
    response = await client.response()
    assert (response.framing, response.body) == ("length", b"x" * 100_000)


async def test_chunked(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"one"), chunk(b"two"), b"3;x=y\r\nend\r\n", LAST_CHUNK)
    response = await client.response()
    assert (response.framing, response.body) == ("chunked", b"onetwoend")


async def test_chunked_split_at_every_byte(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request("/", "TE: trailers"))
    raw = head("Transfer-Encoding: chunked", "X: y") + b'3;a="b"\r\none\r\n' + chunk(b"two") + b"0\r\nX-Sum: 1\r\n\r\n"
    for byte in raw:
        await link.send(bytes([byte]))
        await asyncio.sleep(0.0005)  # paces the segments; nothing waits for it
    response = await client.response()
    assert (response.body, response.get("x")) == (b"onetwo", b"y")


async def test_until_close_becomes_chunked(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 6.3: the end of the upstream's connection is a proper end only as long as nobody needs to tell."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head(), b"until the ")
    await link.send(b"end")
    link.close()
    response = await client.response()
    assert (response.framing, response.body) == ("chunked", b"until the end")
    upstream.behaviour = once(OK)
    assert (await client.ask()).body == b"ok"


@pytest.mark.http1
async def test_until_close_to_http_1_0(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, GET_10)
    await link.send(head(), b"until the end")
    link.close()
    response = await client.response()
    assert (response.framing, response.body, client.ended) == ("close", b"until the end", "eof")


@pytest.mark.http1
async def test_chunked_to_http_1_0(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 6.1: no Transfer-Encoding to a client of HTTP/1.0."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, GET_10)
    await link.send(head("Transfer-Encoding: chunked"), chunk(b"one"), chunk(b"two"), b"0\r\nX-Sum: 1\r\n\r\n")
    response = await client.response()
    assert (response.framing, response.body, client.ended) == ("close", b"onetwo", "eof")


async def test_an_upstream_of_http_1_0(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 6.2: the version on each connection is that of its own sender."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    response = await client.response()
    assert response.start.startswith(b"HTTP/1.1 200 ")
    await link.gone()  # RFC 9112 9.3: without keep-alive an HTTP/1.0 connection ends here
    await client.send(request("/b"))
    await (await upstream.link()).request()
    assert upstream.accepted == 2


async def test_no_reason_phrase(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(b"HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nok")
    response = await client.response()
    assert (response.status, response.body) == (299, b"ok")


async def test_trailers_both_ways(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 6.5: trailers travel on, but never those that frame or route."""
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/", "TE: trailers", "Trailer: X-Sum", "Transfer-Encoding: chunked", method="POST"))
    await client.send(chunk(b"hello"), b"0\r\nx-sum: abc\r\nContent-Length: 7\r\n\r\n")
    link = await upstream.link()
    received = await link.request()
    assert (received.body, received.trailers) == (b"hello", [b"x-sum: abc"])
    await link.send(head("Trailer: X-Sum", "Transfer-Encoding: chunked"), chunk(b"world"))
    await link.send(b"0\r\nx-sum: def\r\nTransfer-Encoding: chunked\r\n\r\n")
    response = await client.response()
    assert (response.body, response.trailers) == (b"world", [b"x-sum: def"])


@pytest.mark.parametrize("named", ["Date: Tue, 15 Nov 1994 08:12:31 GMT", None])
async def test_date(gateway_for: GatewayFor, upstream: Upstream, named: str | None) -> None:
    """RFC 9110 6.6.1: a forwarded answer without Date gets one; one that is there is left alone."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(answer(b"ok", *[named] if named else []))
    date = (await client.response()).get("date")
    assert date is not None
    assert date.endswith(b" GMT")
    assert named is None or date == named.encode()[6:]


# -- interim answers (RFC 9110 15.2)


async def test_interim_answers_are_forwarded(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head("Link: </style.css>; rel=preload", status="103 Early Hints"))
    early = await client.response()
    assert (early.status, early.get("link")) == (103, b"</style.css>; rel=preload")
    await link.send(head(status="102 Processing"))
    assert (await client.response()).status == 102
    await link.send(OK)
    assert (await client.response()).body == b"ok"


async def test_interim_answers_and_the_final_one_in_one_segment(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head(status="103 Early Hints") + head(status="103 Early Hints") + OK)
    assert [(await client.response()).status for _ in range(3)] == [103, 103, 200]


async def interim_then_ok(link: Link, count: int) -> None:
    for _ in range(count):
        await link.send(head("X: " + "y" * 100, status="102 Processing"))
    await link.send(OK)


@pytest.mark.parametrize("most", [1, 17, 100])
async def test_interim_responses_up_to_the_limit(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    rig = await gateway_for(upstream, limits=Limits(max_interim_responses=most))
    client, link = await begin(rig, upstream, request())
    await interim_then_ok(link, most)
    assert [(await client.response()).status for _ in range(most + 1)] == [102] * most + [200]
    await client.send(request())
    await link.request()
    await interim_then_ok(link, most + 1)
    assert [(await client.response()).status for _ in range(most + 1)] == [102] * most + [502]
    assert f"No final response came after {most} interim responses" in caplog.text


async def test_a_limit_of_trailers(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """In both directions, in all sizes of pieces."""
    rig = await gateway_for(upstream, limits=Limits(max_trailer_bytes=100))
    for size, complete in ((90, True), (120, False)):
        trailer = b"x: " + b"y" * (size - 5) + b"\r\n"
        client, link = await begin(rig, upstream, request("/", "TE: trailers"))
        await link.send(head("Transfer-Encoding: chunked"), chunk(b"x"))
        await client.holds(b"x")
        await link.send(b"0\r\n", trailer[:50])
        await link.send(trailer[50:], b"\r\n")
        if complete:
            assert (await client.response()).trailers == [trailer[:-2]]
        else:
            with pytest.raises(Truncated):
                await client.response()
            assert (await rig.log.last(2))["reason"] == "upstream_bad_response"
        link.close()
    client = await rig.connect()
    await client.send(request("/", "Transfer-Encoding: chunked", method="POST"), b"0\r\n", trailer, b"\r\n")
    assert code_of(await client.response()) == "bad_framing"


@pytest.mark.parametrize("step", [1, 500, 100_000])
@pytest.mark.parametrize(("limit", "status"), [(3000, 502), (3100, 200)])
async def test_a_limit_of_the_head(
    gateway_for: GatewayFor, upstream: Upstream, step: int, limit: int, status: int
) -> None:
    """However it comes: byte by byte it is not read from its start each time."""
    rig = await gateway_for(upstream, limits=Limits(max_response_header_bytes=limit))
    client, link = await begin(rig, upstream, request())
    raw = answer(b"ok", "X: " + "y" * 3000)
    for at in range(0, len(raw), step):
        await link.send(raw[at : at + step])
    response = await client.response()
    assert response.status == status


@pytest.mark.http1
async def test_no_interim_answer_to_http_1_0(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, GET_10)
    await link.send(head("Link: </x>", status="103 Early Hints") + OK)
    assert (await client.response()).status == 200


async def test_a_protocol_switch_that_nobody_asked_for(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 15.2.2 and 7.8: 101 answers only an Upgrade that was sent."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"))
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_bad_response")
    await link.gone()


# -- answers that are not HTTP


@pytest.mark.covers("EC-004")
@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
async def test_not_http(gateway_for: GatewayFor, upstream: Upstream, raw: bytes) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(raw)
    response = await client.response()
    assert (response.status, code_of(response)) == (502, "upstream_bad_response")
    await link.gone()
    assert (await rig.log.last())["reason"] == "upstream_bad_response"
    # Our own answer is whole: the client's connection goes on.
    upstream.behaviour = once(OK)
    assert (await client.ask()).body == b"ok"


@pytest.mark.parametrize("raw", MENDED.values(), ids=MENDED)
async def test_mended_or_refused_but_never_passed_on(gateway_for: GatewayFor, upstream: Upstream, raw: bytes) -> None:
    """RFC 9112 5.1 and 5.2 let a proxy mend these; a 502 is as safe. The strict reader fails on any other outcome."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(raw)
    response = await client.response()
    assert response.status == 502 or response.body == b"ok"


# -- answers that break off


@pytest.mark.http1
@pytest.mark.parametrize(("raw", "ending"), CUT.values(), ids=CUT)
async def test_a_broken_answer_never_looks_complete_to_http_1_0(
    gateway_for: GatewayFor, upstream: Upstream, raw: bytes, ending: str
) -> None:
    """The end of the connection is the end of the body: only a reset tells the truth."""
    await breaks(await gateway_for(upstream), upstream, GET_10, raw, ending)


@pytest.mark.parametrize(("raw", "ending"), CUT.values(), ids=CUT)
async def test_a_broken_answer_never_looks_complete(
    gateway_for: GatewayFor, upstream: Upstream, raw: bytes, ending: str
) -> None:
    await breaks(await gateway_for(upstream), upstream, request("/a"), raw, ending)


async def breaks(rig: Rig, upstream: Upstream, asked: bytes, raw: bytes, ending: str) -> None:
    client, link = await begin(rig, upstream, asked)
    head_end = raw.index(b"\r\n\r\n") + 4
    await link.send(raw[:head_end] + raw[head_end : head_end + 10])
    await client.holds(b"\r\n\r\n")  # the head is out: from here on there is no way back
    await link.send(raw[head_end + 10 :])
    if ending == "reset":
        # Let the bytes arrive first: a RST may overtake what the kernel has not handed over.
        await asyncio.sleep(0.01)
        link.reset()
    elif ending == "close":
        link.close()
    with pytest.raises(Truncated) as caught:
        await client.response()
    assert len(caught.value.message.body) <= 70
    entry = await rig.log.last()
    assert entry["reason"] in {"upstream_reset", "upstream_bad_response"}
    if ending == "stay":
        await link.gone()


# -- bytes behind an answer


@pytest.mark.parametrize("late", [False, True], ids=["with the answer", "while idle"])
@pytest.mark.parametrize(
    "first",
    [
        OK,
        head(status="204 No Content"),
        head(status="304 Not Modified"),
        head("Transfer-Encoding: chunked") + LAST_CHUNK,
    ],
    ids=["length", "204", "304", "chunked"],
)
async def test_bytes_behind_an_answer_reach_nobody(
    gateway_for: GatewayFor, upstream: Upstream, first: bytes, late: bool
) -> None:
    """RFC 9112 6.3 and 9.2: what follows an answer that was not asked for is no answer to the next request."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request("/a"))
    evil = answer(b"evil", status=200)
    await link.send(first + (b"" if late else evil))
    await client.response()
    if late:
        await eventually(lambda: rig.p.endpoints[0].pool.idle == 1, "the connection is idle")
        await link.send(evil)
    await link.gone()
    await eventually(lambda: rig.p.endpoints[0].pool.idle == 0, "the connection has left the pool")
    upstream.behaviour = once(answer(b"good"))
    assert (await client.ask("/b")).body == b"good"
    assert upstream.accepted == 2


async def test_more_bytes_than_the_length_are_not_passed_on(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    await link.send(head("Content-Length: 4") + b"good, and more")
    assert (await client.response()).body == b"good"
    await client.silence()
    await link.gone()


async def test_a_body_behind_head_is_not_passed_on(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request(method="HEAD"))
    await link.send(answer(b"a body that must not be here"))
    await client.response("HEAD")
    await client.silence()
    await link.gone()


# -- hop-by-hop


async def test_hop_by_hop_fields_of_answers(gateway_for: GatewayFor, upstream: Upstream, over: str) -> None:
    """RFC 9110 7.6.1: Connection, what it names, and the fields of one hop only end here."""
    rig = await gateway_for(upstream)
    client, link = await begin(rig, upstream, request())
    kept = bytes.lower if over == "h2" else bytes  # RFC 9113 8.2.1: names are lower-case
    hop = ["Connection: X-Secret, keep-alive", "X-Secret: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic"]
    end = ["X-One: 1", "x-two: b", "X-One: 3", "Set-Cookie: a=1", "Set-Cookie: b=2", "Server: thing"]
    await link.send(answer(b"ok", end[0], hop[0], end[1], *hop[1:], *end[2:], "Proxy-Connection: x", "Upgrade: h2c"))
    response = await client.response()
    names = {line.split(b":")[0].lower() for line in response.lines}
    assert not names & {
        b"x-secret",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"upgrade",
        b"connection",
    }
    expected = [kept(line.encode()) for line in end]
    assert [line for line in response.lines if line in expected] == expected
