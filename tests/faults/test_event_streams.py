"""A back end that keeps its stream of events open, and does not go on with its work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from harness.answers import chunk, head
from harness.client import Client, request
from harness.message import Truncated
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker, Stream
from gateway.control.metrics.exposition import Exposition

pytestmark = pytest.mark.protocols

SHORT, LONG = 0.2, 30.0
EVENTS = head("Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")
COMMENT, DATA, LAST = chunk(b": keepalive\n\n"), chunk(b"event: token\ndata: a\n\n"), b"0\r\n\r\n"
SILENT = [
    COMMENT,
    chunk(b"data:\n\n"),
    chunk(b"data: \r\n\r\n"),
    chunk(b"event: ping\nid: 7\n\n"),
    chunk(b"\n"),
]
"""What keeps a connection alive and says nothing about the work behind it."""


async def asked(rig: Rig, upstream: Upstream, *data: bytes) -> tuple[Client, Link]:
    """A caller, and the connection on which its request has come and got this response so far."""
    client = await rig.connect()
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(*data)
    return client, link


@asynccontextmanager
async def repeating(link: Link, piece: bytes) -> AsyncIterator[None]:
    """``piece`` is sent again and again; at the end the gateway has closed the connection."""

    async def send() -> None:
        while True:
            await link.send(piece)
            await asyncio.sleep(SHORT / 10)

    sending = asyncio.create_task(send())
    try:
        yield
        await link.gone()
    finally:
        sending.cancel()


async def line_of(rig: Rig) -> dict[str, object]:
    return (await rig.log.wait())[-1]


@pytest.mark.parametrize("piece", SILENT, ids=repr)
@pytest.mark.parametrize("bounds", [Stream(first_event=SHORT), Stream(event_gap=SHORT)], ids=["first", "gap"])
async def test_what_is_no_data_does_not_hide_a_stall(
    gateway_for: GatewayFor, upstream: Upstream, piece: bytes, bounds: Stream
) -> None:
    rig = await gateway_for(upstream, stream=bounds)
    begun = [DATA] if bounds.event_gap else []
    client, link = await asked(rig, upstream, EVENTS, *begun)
    async with repeating(link, piece):
        with pytest.raises(Truncated):
            await client.response()
    line = await line_of(rig)
    assert (line["status_code"], line["reason"]) == (200, "stream_stalled")
    seen = line["events"]
    assert isinstance(seen, dict)
    assert (seen["count"], seen["first_ms"] is None) == (len(begun), not begun)


async def test_events_with_data_prolong_a_stream_and_its_connection_is_used_again(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, stream=Stream(first_event=SHORT, event_gap=SHORT))
    client, link = await asked(rig, upstream, EVENTS)
    for _ in range(6):
        await link.send(DATA)
        await asyncio.sleep(SHORT / 3)
    await link.send(LAST)
    assert (await client.response()).body == b"event: token\ndata: a\n\n" * 6
    await asyncio.sleep(2 * SHORT)  # the time of the stream that is over goes by
    await client.send(request())
    await link.head()
    await link.send(head("Content-Length: 2"), b"ok")
    assert (await client.response()).body == b"ok"
    first, _ = await rig.log.wait(2)
    assert first["reason"] == ""
    assert first["events"]["count"] == 6
    assert first["events"]["longest_gap_ms"] < SHORT * 1000


async def test_each_event_comes_while_the_next_is_withheld(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, stream=Stream(first_event=LONG, event_gap=LONG))
    client, link = await asked(rig, upstream, EVENTS)
    await client.until(b"\r\n\r\n")
    told = rig.gateway.explain("p")
    assert told is not None
    shown = told["stream"]
    assert shown is not None
    assert shown["watched"] == 1
    assert 0.0 < shown["silence"] < LONG
    for piece in (b"data: a\n\n", b"data: b", b"c\n", b"\n", b": d\n"):
        await link.send(chunk(piece))
        await client.expect(chunk(piece))


def error_in(body: bytes) -> dict[str, object]:
    """Of the last event."""
    *_, last, end = body.split(b"\n\n")
    kind, _, data = last.partition(b"\ndata: ")
    assert (kind, end) == (b"event: error", b"")
    return dict(json.loads(data))


async def test_a_stall_may_be_an_event_and_the_caller_connection_goes_on(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, stream=Stream(event_gap=SHORT, on_stall="error_event"))
    client, link = await asked(rig, upstream, EVENTS, DATA)
    async with repeating(link, COMMENT):
        body = (await client.response()).body
    error = error_in(body)
    assert (error["code"], error["details"]) == (
        "stream_stalled",
        "No event with data came for 0.2 s (stream.event_gap)",
    )
    line = await line_of(rig)
    assert (line["reason"], line["request_id"], line["bytes_out"]) == (
        "stream_stalled",
        error["request_id"],
        len(body),
    )
    await client.send(request())
    other = await upstream.link()
    await other.head()
    await other.send(head("Content-Length: 2"), b"ok")
    assert (await client.response()).body == b"ok"


@pytest.mark.parametrize("whole", [True, False], ids=["between events", "within an event"])
async def test_so_may_a_break_but_not_in_the_middle_of_an_event(
    gateway_for: GatewayFor, upstream: Upstream, whole: bool
) -> None:
    rig = await gateway_for(upstream, stream=Stream(on_stall="error_event"))
    client, link = await asked(rig, upstream, EVENTS, DATA if whole else chunk(b"data: half"))
    await client.until(b"\r\n\r\n")
    await client.expect(DATA if whole else chunk(b"data: half"))
    link.reset()
    if whole:
        rest = await client.until(b"0\r\n\r\n")
        assert b'"code":"upstream_reset"' in rest
    else:
        await client.gone()
    assert (await line_of(rig))["reason"] == "upstream_reset"


async def test_a_body_of_known_length_gets_no_event_of_ours(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, stream=Stream(event_gap=SHORT, on_stall="error_event"))
    begun = head("Content-Type: text/event-stream", "Content-Length: 1000"), b"data: a\n\n"
    client, _ = await asked(rig, upstream, *begun)
    with pytest.raises(Truncated):
        await client.response()


async def test_in_shadow_mode_a_stall_is_noted_and_the_stream_goes_on(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream, stream=Stream(first_event=SHORT, mode="shadow"))
    client, link = await asked(rig, upstream, EVENTS)
    for _ in range(20):
        await link.send(COMMENT)
        await asyncio.sleep(SHORT / 10)
    await link.send(DATA, LAST)
    assert (await client.response()).status == 200
    line = await line_of(rig)
    assert (line["reason"], line["shadow"]) == ("", "stream_stalled")
    rig.gateway.sample()
    counted = "".join(Exposition(rig.gateway.counters).render(open_metrics=False))
    assert 'gateway_shadow_refusals_total{proxy="p",reason="stream_stalled"} 1\n' in counted


OTHERS = [
    head("Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"),
    head("Content-Type: text/event-stream", "Content-Encoding: br", "Transfer-Encoding: chunked"),
    head("Content-Type: text/event-stream-or-so", "Transfer-Encoding: chunked"),
    head("Content-Type: text/event-stream", "Transfer-Encoding: chunked", status="404 Not Found"),
]


@pytest.mark.parametrize("begun", OTHERS)
async def test_only_events_that_can_be_read_are_watched(
    gateway_for: GatewayFor, upstream: Upstream, begun: bytes
) -> None:
    rig = await gateway_for(upstream, stream=Stream(first_event=SHORT, event_gap=SHORT))
    client, link = await asked(rig, upstream, begun)
    await asyncio.sleep(2 * SHORT)
    await link.send(chunk(b"x"), LAST)
    assert (await client.response()).body == b"x"
    assert "events" not in await line_of(rig)


async def test_no_time_counts_while_the_caller_takes_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, stream=Stream(event_gap=SHORT))
    client = await rig.connect(receive_buffer=4096)
    await client.send(request())
    link = await upstream.link()
    await link.head()
    event = b"data: %b\n\n" % (b"x" * 60_000)
    sending = asyncio.create_task(link.send(EVENTS, chunk(event) * 400, LAST))
    await asyncio.sleep(4 * SHORT)
    assert not sending.done(), "the stream is held"
    assert (await client.response()).body == event * 400
    await sending
    assert (await line_of(rig))["reason"] == ""


async def test_stalls_are_failures_of_the_endpoint(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(
        upstream,
        stream=Stream(first_event=SHORT),
        circuit_breaker=CircuitBreaker(enabled=True, failure_threshold=2),
    )
    for _ in range(2):
        client, _ = await asked(rig, upstream, EVENTS)
        with pytest.raises(Truncated):
            await client.response()
    assert (await rig.ask("/")).status == 503


async def test_the_bound_on_silence_ends_a_stream_with_an_event_too(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    timeouts = replace(TIMEOUTS, body_idle=SHORT)
    rig = await gateway_for(upstream, stream=Stream(on_stall="error_event"), timeouts=timeouts)
    client, _ = await asked(rig, upstream, EVENTS, DATA)
    assert error_in((await client.response()).body)["code"] == "body_idle_timeout"
