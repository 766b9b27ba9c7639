"""Every cell of the two tables, on real streams: the state that follows, and the timer that then runs."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from harness.frames import POST
from harness.scripted import HeldSource, ScriptedEnd
from unit.wire.h1.stage import KeptRequest
from unit.wire.h2.stage import CallerStage

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, ResponseHead
from gateway.wire.h2.frames import rst_stream, window_update
from gateway.wire.h2.server_stream import H2ServerStream
from gateway.wire.h2.states import (
    REQUEST,
    REQUEST_TIMERS,
    RESPONSE,
    RESPONSE_TIMERS,
    RequestEvent,
    RequestState,
    ResponseEvent,
    ResponseState,
)
from gateway.wire.timer import LazyTimer

LIMITS = Limits(body_timeout=44)
OK = ResponseHead(200, b"OK", 1, [], {b"date": b"D"}, CHUNKED, True)


class Stream:
    """A stream with a body to come, which no exchange touches but the test."""

    def __init__(self) -> None:
        self.stage = CallerStage(LIMITS, window=10)
        self.stage.request(1, POST, ended=False)
        self.stream: H2ServerStream = self.stage.server.streams[1]
        self.sink = KeptRequest()
        self.source = HeldSource()
        self.waiting: asyncio.Future[float] | None = None

    # -- the request

    def request(self, event: RequestEvent) -> None:
        stream, stage = self.stream, self.stage
        if event is RequestEvent.LAST:
            stage.data(1, b"last", ended=True)
        elif event is RequestEvent.PIPED:
            stream.pipe(self.sink, lambda: None)  # type: ignore[arg-type]
        elif event is RequestEvent.HOLD:
            self.sink.full = True
            stream.hold()
        elif event is RequestEvent.RESUME:
            self.sink.full = False
            stream.resume()
        elif event is RequestEvent.STOPPED:
            stream.stop_body()
        elif event is RequestEvent.TAKEN:
            stream.pipe(self.sink, lambda: None)  # type: ignore[arg-type]
        elif event is RequestEvent.EXPIRED:
            timer = stream._body_timer
            assert timer is not None
            timer.arm(monotonic() - 1)
            timer._fire()
        else:
            stage.say(rst_stream(1, 8))

    def reach_request(self, state: RequestState) -> None:
        if state is RequestState.RECEIVING:
            self.request(RequestEvent.PIPED)
        elif state is RequestState.HELD:
            self.request(RequestEvent.PIPED)
            self.request(RequestEvent.HOLD)
        elif state is RequestState.REST:
            self.request(RequestEvent.LAST)
        elif state is RequestState.DONE:
            self.request(RequestEvent.CLOSED)

    # -- the response

    async def response(self, event: ResponseEvent) -> None:
        stream, stage = self.stream, self.stage
        if event is ResponseEvent.BEGIN:
            stream.begin(OK, b"", self.source, None)
        elif event is ResponseEvent.SWITCH:
            stream.switch(OK, b"", ScriptedEnd())  # type: ignore[arg-type]
        elif event is ResponseEvent.OVER:
            if not stream.full:
                await self.response(ResponseEvent.BLOCK)
            self.waiting = asyncio.ensure_future(stream.sent())
            await asyncio.sleep(0)
        elif event is ResponseEvent.BLOCK:
            stream.data(memoryview(b"more than ten bytes"), pooled=False)
        elif event is ResponseEvent.TAKEN:
            stage.say(window_update(1, 1000))
        elif event is ResponseEvent.END:
            stream.end([])
        else:
            stage.say(rst_stream(1, 8))

    async def reach_response(self, state: ResponseState) -> None:
        if state is ResponseState.TUNNEL:
            await self.response(ResponseEvent.SWITCH)
        elif state is not ResponseState.WAITING:
            await self.response(ResponseEvent.BEGIN)
        if state is ResponseState.BLOCKED:
            await self.response(ResponseEvent.BLOCK)
        elif state is ResponseState.DONE:
            await self.response(ResponseEvent.CLOSED)


def seconds(timer: LazyTimer | None) -> int | None:
    return round(timer.expires_at - monotonic()) if timer is not None and timer.expires_at else None


def cells(table: dict, impossible: bool = False) -> list:  # type: ignore[type-arg]
    return [
        pytest.param(event, before, after, id=f"{before.name}-{event.name}")
        for event, row in table.items()
        for before, after in row.items()
        if (after is None) is impossible
    ]


@pytest.mark.parametrize(("event", "before", "after"), cells(REQUEST))
async def test_each_cell_of_a_request(event: RequestEvent, before: RequestState, after: RequestState) -> None:
    made = Stream()
    made.reach_request(before)
    assert made.stream.request_state is before
    if event is RequestEvent.PIPED and before is RequestState.REST:
        assert made.stream.request_ended
        made.sink.full = True  # else all of it is taken at once
    if event is RequestEvent.LAST and before is RequestState.RECEIVING:
        made.sink.full = True
    made.request(event)
    assert made.stream.request_state is after
    assert seconds(made.stream._body_timer) == (44 if REQUEST_TIMERS[after] == "body" else None)
    made.stage.close()


@pytest.mark.parametrize(("event", "before", "after"), cells(RESPONSE))
async def test_each_cell_of_a_response(event: ResponseEvent, before: ResponseState, after: ResponseState) -> None:
    made = Stream()
    await made.reach_response(before)
    assert made.stream.response_state is before
    await made.response(event)
    assert made.stream.response_state is after
    assert seconds(made.stream._send_timer) == (44 if RESPONSE_TIMERS[after] == "body" else None)
    if made.waiting is not None:
        await made.response(ResponseEvent.TAKEN)
        await made.waiting
    made.stage.close()


@pytest.mark.parametrize(("event", "before", "after"), cells(RESPONSE, impossible=True))
async def test_what_cannot_happen_to_a_response(event: ResponseEvent, before: ResponseState, after: None) -> None:
    made = Stream()
    await made.reach_response(before)
    with pytest.raises(AssertionError, match="cannot happen"):
        made.stream.move_response(event)
    made.stage.close()
