"""What a caller of an event stream gets while it waits in the queue, and what can follow behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.answers import OK, answer, chunk, head
from harness.client import Client, code_of, request
from harness.message import Message
from harness.records import Proxied, proxy
from harness.rig import TIMEOUTS, GatewayFor, Rig, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import Backoff, CircuitBreaker, Cors, Queue, Retries, Stream, Timeouts

pytestmark = pytest.mark.protocols

SHORT, LONG = 0.1, 30.0
ACCEPTS = "Accept: text/event-stream"
EVENTS = head("Content-Type: text/event-stream", "X-Own: lost", "Transfer-Encoding: chunked")
DATA, LAST = chunk(b"data: a\n\n"), b"0\r\n\r\n"
COMMENT = b": queued position=1\n\n"
TALKS = {"max_concurrent": 1, "queue": Queue(9, LONG, comments=SHORT)}
BREAKER = CircuitBreaker(enabled=True, failure_threshold=100)
BUSY = answer(b"busy", status=503, reason="Service Unavailable")


class Scene:
    """One permit, which another request has; ``client`` waits for it, and has got its first comment."""

    def __init__(self, rig: Rig, upstream: Upstream, link: Link, client: Client) -> None:
        self.rig = rig
        self.upstream = upstream
        self.link = link
        self.client = client

    async def admit(self) -> Link:
        """The other request ends; the connection on which the head of the one that waited has come."""
        await self.link.send(OK)
        await self.link.head()
        return self.link

    async def event(self) -> dict[str, Any]:
        """The response has the status 200 and ends with an event ``error``: its data."""
        return error_in(await self.client.response())

    async def line(self) -> dict[str, Any]:
        return next(line for line in reversed(await self.rig.log.wait(1)) if line["path"].endswith("/waits"))


def error_in(response: Message) -> dict[str, Any]:
    assert (response.status, response.get("content-type")) == (200, b"text/event-stream")
    *_, last, end = response.body.split(b"\n\n")
    kind, *_, data = last.split(b"\n")
    assert (kind, end) == (b"event: error", b"")
    return dict(json.loads(data.removeprefix(b"data: ")))


async def occupied(rig: Rig, upstream: Upstream) -> Link:
    client = await rig.connect()
    await client.send(request("/holds"))
    link = await upstream.link()
    await link.head()
    return link


async def waiting(rig: Rig, upstream: Upstream, *parts: bytes) -> Scene:
    link = await occupied(rig, upstream)
    client = await rig.connect()
    await client.send(*(parts or (request("/waits", ACCEPTS),)))
    await client.holds(COMMENT)
    return Scene(rig, upstream, link, client)


async def scene_of(gateway_for: GatewayFor, upstream: Upstream, *parts: bytes, **settings: Any) -> Scene:
    rig = await gateway_for(upstream, **(TALKS | {"circuit_breaker": BREAKER} | settings))
    return await waiting(rig, upstream, *parts)


# -- who gets comments


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream;q=0", "text/*"])
async def test_others_wait_in_silence(gateway_for: GatewayFor, upstream: Upstream, accept: str) -> None:
    rig = await gateway_for(upstream, max_concurrent=1, queue=Queue(9, 3 * SHORT, comments=SHORT))
    await occupied(rig, upstream)
    response = await rig.ask("/waits", f"Accept: {accept}")
    assert (response.status, code_of(response)) == (429, "queue_timeout")


async def test_a_rejection_before_the_first_comment_has_its_status(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, max_concurrent=1, queue=Queue(9, SHORT, comments=LONG))
    await occupied(rig, upstream)
    response = await rig.ask("/waits", ACCEPTS)
    assert (response.status, code_of(response)) == (429, "queue_timeout")
    assert int(response.get("retry-after") or b"0") >= 1


async def test_who_does_not_wait_gets_the_head_of_the_upstream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, **TALKS)
    client = await rig.connect()
    await client.send(request("/", ACCEPTS))
    link = await upstream.link()
    await link.head()
    await link.send(EVENTS, DATA, LAST)
    response = await client.response()
    assert (response.get("x-own"), response.body) == (b"lost", b"data: a\n\n")


async def test_a_caller_that_holds_its_body_back_gets_none(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, max_concurrent=1, queue=Queue(9, 3 * SHORT, comments=SHORT))
    await occupied(rig, upstream)
    client = await rig.connect()
    await client.send(request("/waits", ACCEPTS, "Expect: 100-continue", "Content-Length: 4", method="POST"))
    assert (await client.final()).status == 429


# -- what follows


async def test_the_events_of_the_upstream_follow_the_comments(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream, stream=Stream(event_gap=LONG))
    link = await scene.admit()
    await link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", EVENTS, DATA)
    await scene.client.holds(b"data: a\n\n")
    await link.send(chunk(b"data: b\n\n"), LAST)
    response = await scene.client.response()
    assert (response.status, response.get("content-type")) == (200, b"text/event-stream")
    assert (response.get("x-own"), response.get("cache-control")) == (None, b"no-store")
    comments, separator, events = response.body.partition(b"data: a\n\n")
    assert set(comments.split(b"\n\n")) == {b": queued position=1", b""}
    assert separator + events == b"data: a\n\ndata: b\n\n"
    line = await scene.line()
    assert (line["status_code"], line["reason"], line["events"]["count"]) == (200, "", 2)
    assert line["queue_ms"] >= SHORT * 1000
    assert line["bytes_out"] == len(response.body)


async def test_a_response_that_is_there_at_once_follows_too(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream)
    link = await scene.admit()
    await link.send(head("Content-Type: text/event-stream", "Content-Length: 9"), b"data: a\n\n")
    assert (await scene.client.response()).body.endswith(b"\n\ndata: a\n\n")
    await scene.client.send(request("/again"))
    await link.head()
    await link.send(OK)
    assert (await scene.client.response()).body == b"ok", "the connections of both sides go on"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (answer(b"{}", "Content-Type: application/json"), 200),
        (BUSY, 503),
        (answer(b"data: a\n\n", "Content-Type: text/event-stream", "Content-Encoding: gzip"), 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    ],
    ids=["json", "503", "encoded", "204"],
)
async def test_any_other_response_is_an_event_of_its_own(
    gateway_for: GatewayFor, upstream: Upstream, data: bytes, status: int
) -> None:
    scene = await scene_of(gateway_for, upstream)
    link = await scene.admit()
    await link.send(data)
    event = await scene.event()
    assert (event["code"], f"status {status}," in event["details"]) == ("no_event_stream", True)
    line = await scene.line()
    assert (line["status_code"], line["reason"]) == (200, "no_event_stream")
    assert scene.rig.p.endpoints[0].breaker.failures == (status == 503), "it is judged by its own status"
    await scene.client.send(request("/again"))
    await link.head()
    await link.send(OK)
    assert (await scene.client.response()).body == b"ok", "the connections of both sides go on"


async def test_a_body_that_waits_goes_to_the_upstream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    body = b"x" * 60_000
    lines = (ACCEPTS, f"Content-Length: {len(body)}")
    scene = await scene_of(gateway_for, upstream, request("/waits", *lines, method="POST"))
    await scene.client.send(body)
    await scene.link.send(OK)
    assert (await scene.link.request()).body == body
    await scene.link.send(EVENTS, DATA, LAST)
    assert (await scene.client.response()).body.endswith(b"data: a\n\n")


@pytest.mark.parametrize("interim", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_no_interim_response_follows_while_a_body_is_relayed(
    gateway_for: GatewayFor, upstream: Upstream, interim: bytes
) -> None:
    lines = (ACCEPTS, "Content-Length: 60000")
    scene = await scene_of(gateway_for, upstream, request("/waits", *lines, method="POST"))
    await scene.link.send(OK)
    asked = await scene.link.head()
    await scene.link.send(interim)
    await scene.client.send(b"x" * 60_000)
    await scene.link.body(asked)
    await scene.link.send(EVENTS, DATA, LAST)
    assert (await scene.client.response()).body.endswith(b"position=1\n\ndata: a\n\n")


# -- what goes wrong


async def test_the_end_of_patience_is_an_event(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream, queue=Queue(9, 4 * SHORT, comments=SHORT))
    response = await scene.client.response()
    event = error_in(response)
    assert event["code"] == "queue_timeout"
    assert b"\nretry: " in response.body
    line = await scene.line()
    assert (line["status_code"], line["reason"], line["request_id"]) == (200, "queue_timeout", event["request_id"])
    assert line["bytes_out"] == len(response.body)


async def test_the_deadline_is_an_event(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream, timeouts=Timeouts(total=4 * SHORT))
    assert (await scene.event())["code"] == "total_timeout"


async def test_a_failed_attempt_is_an_event(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream)
    (await scene.admit()).close()
    link = await upstream.link()  # because a kept connection may have been closed before the request came
    await link.head()
    link.close()
    assert (await scene.event())["code"] == "upstream_reset"
    assert scene.rig.p.endpoints[0].breaker.failures == 1


async def test_a_retry_is_hidden_behind_the_comments(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream, retries=Retries(2, ("503",), backoff=Backoff(0.0, 0.0)))
    link = await scene.admit()
    await link.send(BUSY)
    await link.head()
    await link.send(EVENTS, DATA, LAST)
    assert (await scene.client.response()).body.endswith(b"position=1\n\ndata: a\n\n")
    assert (await scene.line())["retries"]["failures"] == ["503"]


async def test_a_stall_before_the_first_event_is_tried_again(gateway_for: GatewayFor, upstream: Upstream) -> None:
    stalls = Retries(2, ("stall",), backoff=Backoff(0.0, 0.0))
    scene = await scene_of(gateway_for, upstream, retries=stalls, stream=Stream(first_event=2 * SHORT))
    link = await scene.admit()
    await link.send(EVENTS, chunk(b": of the attempt that stalls\n\n"))
    link = await upstream.link()
    await link.head()
    await link.send(EVENTS, DATA, LAST)
    assert (await scene.client.response()).body.endswith(b"position=1\n\ndata: a\n\n")


async def test_a_break_after_an_event_cuts_the_stream(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream)
    link = await scene.admit()
    await link.send(EVENTS, DATA)
    await scene.client.holds(b"data: a\n\n")
    link.close()
    assert not (await scene.client.rest()).endswith(LAST)
    assert (await scene.line())["reason"] == "upstream_reset"


async def test_a_caller_who_leaves_gives_its_place_up(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream)
    scene.client.close()
    line = await scene.line()
    assert (line["status_code"], line["reason"]) == (499, "client_gone")
    limiter = next(iter(scene.rig.gateway.upstreams.values())).limiter
    assert limiter is not None
    assert (limiter.waiting, limiter.in_flight) == (0, 1)


# -- a fallback


@pytest.fixture
async def spare(upstream_class: type[Upstream]) -> AsyncIterator[Upstream]:
    async with upstream_class() as made:
        yield made


def falling_back(upstream: Upstream, spare: Upstream, fallback: Fallback, queue: Queue) -> tuple[Proxied, ...]:
    other = proxy("spare", "/spare", spare.url, access_rule="true", timeouts=TIMEOUTS)
    return proxy_to(upstream, fallback=fallback, max_concurrent=1, queue=queue), other


async def test_another_upstream_takes_over_behind_the_comments(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    fallback = Fallback(("queue",), upstream="spare")
    proxies = falling_back(upstream, spare, fallback, Queue(9, 4 * SHORT, comments=SHORT))
    scene = await waiting(await gateway_for("", proxies=proxies), upstream)
    link = await spare.link()
    await link.head()
    await link.send(EVENTS, DATA, LAST)
    assert (await scene.client.response()).body.endswith(b"position=1\n\ndata: a\n\n")
    assert (await scene.line())["fallback"]["cause"] == "queue"


async def test_what_does_not_fit_from_another_upstream_is_an_event(
    gateway_for: GatewayFor, upstream: Upstream, spare: Upstream
) -> None:
    fallback = Fallback(("queue",), upstream="spare")
    proxies = falling_back(upstream, spare, fallback, Queue(9, 4 * SHORT, comments=SHORT))
    scene = await waiting(await gateway_for("", proxies=proxies), upstream)
    link = await spare.link()
    await link.head()
    await link.send(BUSY)
    assert (await scene.event())["code"] == "no_event_stream"


@pytest.mark.parametrize(
    ("response", "ends"),
    [
        (FixedResponse(200, "data: busy\n\n", "text/event-stream; charset=utf-8"), b"position=1\n\ndata: busy\n\n"),
        (FixedResponse(503, "data: busy\n\n", "text/event-stream"), b""),
        (FixedResponse(200, "{}", "application/json"), b""),
    ],
)
async def test_a_fixed_response_follows_where_it_is_one_of_events(
    gateway_for: GatewayFor, upstream: Upstream, response: FixedResponse, ends: bytes
) -> None:
    fallback = Fallback(("queue",), response=response)
    proxies = (proxy_to(upstream, fallback=fallback, max_concurrent=1, queue=Queue(9, 4 * SHORT, comments=SHORT)),)
    scene = await waiting(await gateway_for("", proxies=proxies), upstream)
    got = await scene.client.response()
    if ends:
        assert got.body.endswith(ends)
    else:
        assert error_in(got)["code"] == "queue_timeout", "the rejection itself stands"


# -- the head


async def test_pages_of_other_origins_may_read_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    ask = request("/waits", ACCEPTS, "Origin: https://app.test")
    scene = await scene_of(gateway_for, upstream, ask, cors=Cors(("https://app.test",)))
    await (await scene.admit()).send(EVENTS, DATA, LAST)
    response = await scene.client.response()
    assert response.get("access-control-allow-origin") == b"https://app.test"
    assert response.get("x-request-id")


async def test_positions_move_up(gateway_for: GatewayFor, upstream: Upstream) -> None:
    scene = await scene_of(gateway_for, upstream)
    second = await scene.rig.connect()
    await second.send(request("/second", ACCEPTS))
    await second.holds(b": queued position=2\n\n")
    link = await scene.admit()
    await second.holds(b": queued position=1\n\n")
    await link.send(EVENTS, DATA, LAST)
    await link.head()
    await link.send(EVENTS, DATA, LAST)
    body = (await second.response()).body
    assert body.index(b"position=2") < body.index(b"position=1") < body.index(b"data: a")
