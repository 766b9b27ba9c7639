"""The clocks of a stream of events, on a caller's stream without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest
from harness.patience import eventually

from gateway import errors
from gateway.config.records import Stream
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream
from gateway.errors import GatewayError
from gateway.proxy.event_watch import EventWatch, is_event_stream
from gateway.wire.memory import MemoryStream

TYPE = b"Content-Type: text/event-stream"
SHORT = 0.05
LATE = 0.2
"""Seconds that a busy machine may take more; what is shown here would take longer."""


def asked(method: bytes = b"GET") -> RequestHead:
    return RequestHead(method, b"/", 1, [], {}, 0, True)


def begun(*lines: bytes, status: int = 200, length: int = CHUNKED) -> ResponseHead:
    return ResponseHead(status, b"", 1, list(lines), {}, length, True)


class Endpoint:
    """What a watch uses of a stream to an endpoint."""

    error: GatewayError | None = None

    def fail(self, error: GatewayError) -> None:
        self.error = error


class Stage:
    def __init__(self, settings: Stream, head: ResponseHead | None = None) -> None:
        self.down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
        self.exchange = Exchange(self.down, asked(), 0.0)
        self.exchange.request_id = b"7"
        self.endpoint = Endpoint()
        head = head or begun(TYPE)
        self.down.begin(head, b"", None, None)
        self.watch = EventWatch(self.exchange, settings, cast(ClientStream, self.endpoint), head)

    def says(self, piece: bytes) -> None:
        self.watch.data(memoryview(piece), pooled=False)

    async def stalled(self) -> str:
        await eventually(lambda: self.endpoint.error is not None, "the stall")
        assert self.endpoint.error is not None
        assert self.endpoint.error.reason is errors.STREAM_STALLED
        return self.endpoint.error.details


@pytest.mark.parametrize(
    ("head", "watched"),
    [
        (begun(TYPE), True),
        (begun(b"content-type:Text/Event-Stream ; charset=utf-8"), True),
        (begun(b"Content-Encoding: identity", TYPE), True),
        (begun(TYPE, length=100), True),
        (begun(), False),
        (begun(b"Content-Type: text/event-streams"), False),
        (begun(TYPE, b"Content-Encoding: gzip"), False),
        (begun(TYPE, status=206), False),
        (begun(TYPE, length=0), False),
    ],
)
def test_which_responses_are_streams_of_events(head: ResponseHead, watched: bool) -> None:
    assert is_event_stream(asked(), head) is watched
    assert not is_event_stream(asked(b"HEAD"), head)


async def test_the_first_event_and_each_further_one_have_a_time_of_their_own() -> None:
    stage = Stage(Stream(first_event=SHORT, event_gap=2 * SHORT))
    assert await stage.stalled() == "No event with data came for 0.05 s (stream.first_event)"
    stage = Stage(Stream(first_event=SHORT, event_gap=2 * SHORT))
    stage.says(b"data: a\n\n")
    assert await stage.stalled() == "No event with data came for 0.1 s (stream.event_gap)"
    assert bytes(stage.down.received) == b"data: a\n\n"
    stage.watch.close()


@pytest.mark.parametrize("settings", [Stream(first_event=SHORT), Stream(on_stall="error_event")])
async def test_what_has_no_bound_is_not_timed(settings: Stream) -> None:
    stage = Stage(settings)
    stage.says(b"data: a\n\n")
    await asyncio.sleep(2 * SHORT)
    assert stage.endpoint.error is None
    assert (stage.watch.count, stage.watch.longest_gap) == (1, 0.0)
    stage.watch.close()


async def test_a_caller_that_takes_nothing_stops_the_time() -> None:
    stage = Stage(Stream(event_gap=SHORT))
    stage.says(b"data: a\n\n")
    stage.down.full = True
    await asyncio.sleep(12 * SHORT)
    assert stage.endpoint.error is None
    stage.down.full, stage.down.waited = False, 12 * SHORT
    assert stage.watch.full is False
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stage.stalled()
    assert loop.time() - began < 2 * SHORT + LATE, "that time is added once"
    stage.watch.close()


async def test_a_gap_has_no_time_in_which_the_caller_took_nothing() -> None:
    stage = Stage(Stream(on_stall="error_event"))
    stage.says(b"data: a\n\n")
    await asyncio.sleep(2 * SHORT)
    stage.down.waited = 2 * SHORT
    stage.says(b"data: b\n\n")
    assert stage.watch.longest_gap < SHORT + LATE


async def test_time_in_which_the_caller_took_nothing_is_added() -> None:
    stage = Stage(Stream(event_gap=SHORT))
    stage.says(b"data: a\n\n")
    stage.down.waited = 2 * SHORT  # it was slow for so long, and no longer is
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stage.stalled()
    assert loop.time() - began >= 2.5 * SHORT
    assert stage.watch.blocked == 2 * SHORT
    stage.watch.close()


async def test_in_shadow_mode_a_stall_is_noted() -> None:
    stage = Stage(Stream(event_gap=SHORT, mode="shadow"))
    stage.says(b"data: a\n\n")
    assert not stage.watch.overdue
    await eventually(lambda: stage.watch.overdue, "the note")
    assert stage.endpoint.error is None


@pytest.mark.parametrize(
    ("settings", "head", "piece", "takes"),
    [
        (Stream(on_stall="error_event"), begun(TYPE), b"data: a\n\n", True),
        (Stream(on_stall="error_event"), begun(TYPE), b"data: a\n", False),
        (Stream(on_stall="error_event"), begun(TYPE, length=100), b"data: a\n\n", False),
        (Stream(event_gap=9), begun(TYPE), b"data: a\n\n", False),
        (Stream(on_stall="error_event", mode="shadow"), begun(TYPE), b"data: a\n\n", False),
    ],
)
async def test_where_an_event_of_ours_may_stand(
    settings: Stream, head: ResponseHead, piece: bytes, takes: bool
) -> None:
    stage = Stage(settings, head)
    stage.says(piece)
    assert stage.watch.takes_error is takes
    stage.watch.close()


async def test_the_event_of_an_error_ends_the_response() -> None:
    stage = Stage(Stream(on_stall="error_event"))
    stage.watch.pieces([memoryview(b"data: a\n"), memoryview(b"\n")], pooled=False)
    stage.watch.append_error(GatewayError(errors.UPSTREAM_RESET), b"7")
    assert not stage.watch.takes_error, "once"
    first, last, end = bytes(stage.down.received).split(b"\n\n")
    assert (first, end, stage.down.complete) == (b"data: a", b"", True)
    assert last.startswith(b"event: error\ndata: {")
    assert json.loads(last.partition(b"data: ")[2])["code"] == "upstream_reset"
    assert len(stage.down.received) == stage.watch.body_out


@pytest.mark.parametrize("whole", [True, False])
async def test_the_end_of_a_response_ends_its_time(whole: bool) -> None:
    stage = Stage(Stream(first_event=SHORT, event_gap=SHORT, on_stall="error_event"))
    if whole:
        stage.watch.whole(memoryview(b"data: a\n\n"))
    else:
        stage.watch.flush()
        stage.watch.end([])
    await asyncio.sleep(2 * SHORT)
    assert stage.endpoint.error is None
    assert stage.down.complete
    assert not stage.watch.takes_error, "nothing follows the end"


async def test_chunks_come_as_pieces() -> None:
    stage = Stage(Stream(event_gap=9))
    assert not stage.watch.takes_chunks
    for call in (lambda: stage.watch.chunks(b"", 0), stage.watch.ended):
        with pytest.raises(NotImplementedError):
            call()
    stage.watch.close()
