"""What comes on a connection to an endpoint, and the places on it."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from harness.frames import block
from unit.wire.h2.client_stage import OK, UpstreamStage, outgoing

from gateway import errors
from gateway.errors import GatewayError
from gateway.wire.h2.codes import (
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    HTTP_1_1_REQUIRED,
    NO_ERROR,
    PING,
    STREAM_CLOSED,
)
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings, window_update


async def turn() -> None:
    """Let a connection that rests read again."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_no_more_places_than_a_hundred() -> None:
    stage = UpstreamStage(pairs=[(3, 1_000_000)])
    assert stage.client.room == 100
    streams = [stage.client.open() for _ in range(100)]
    assert stage.client.room == 0
    streams[0].abandon(0.0)
    assert (stage.client.room, stage.freed) == (1, 1)
    stage.close()


async def test_numbers_are_in_the_order_of_the_heads() -> None:
    stage = UpstreamStage()
    unused = stage.client.open()
    one, two = stage.ask(), stage.ask()
    assert (one.stream.ident, two.stream.ident, unused.ident) == (1, 3, 0)
    assert [f.ident for f in stage.frames()] == [1, 3]
    stage.close()


async def test_numbers_end() -> None:
    stage = UpstreamStage()
    stage.client._last = (1 << 31) - 3
    asking = stage.ask()
    assert asking.stream.ident == (1 << 31) - 1
    assert (stage.client.leaving, stage.client.room) == (True, 0)
    stage.head(asking, ended=True)
    assert asking.error is None
    assert stage.transport.closing
    stage.close()


@pytest.mark.parametrize("falls_back", [True, False])
async def test_http_1_1_required(falls_back: bool) -> None:
    stage = UpstreamStage()
    stage.client.on_http_1_1 = lambda: falls_back
    one, two, three = stage.ask(), stage.ask(), stage.ask()
    stage.head(one)
    for asking in (one, two):
        stage.say(rst_stream(asking.stream.ident, HTTP_1_1_REQUIRED))
    stage.say(goaway(two.stream.ident, HTTP_1_1_REQUIRED))
    told = [asking.error for asking in (one, two, three)]
    assert [isinstance(error, GatewayError) and error.unprocessed for error in told] == [False, falls_back, falls_back]
    assert [isinstance(error, GatewayError) and error.retryable for error in told] == [False, falls_back, falls_back]
    assert ("http2: always" in str(told[2])) is not falls_back
    stage.close()


async def test_goaway() -> None:
    stage = UpstreamStage()
    one, two = stage.ask(), stage.ask()
    waiting = stage.client.open()
    stage.say(goaway(1, NO_ERROR))
    assert isinstance(two.error, GatewayError)
    assert (two.error.reason, two.error.unprocessed, two.error.retryable) == (errors.UPSTREAM_RESET, True, True)
    done = waiting.send(outgoing(), b"", b"", one.reply, two.stream.limits)
    assert isinstance(done.exception(), GatewayError)
    waiting.abandon(0.0)
    stage.head(one, ended=True)
    assert one.error is None
    assert stage.transport.closing


@pytest.mark.parametrize(
    "said",
    [
        frame(0, 0, 1, b"late"),
        frame(HEADERS, 5, 1, block(OK)),
    ],
)
async def test_what_follows_the_end_of_a_stream_is_a_fault_unless_it_was_reset_here(said: bytes) -> None:
    stage = UpstreamStage()
    stage.head(stage.ask(), ended=True)
    stage.say(said)
    assert [f.number for f in stage.frames() if f.kind == GOAWAY] == [STREAM_CLOSED]
    stage = UpstreamStage()
    stage.ask().stream.abandon(0.0)
    stage.say(said, rst_stream(1, 0), window_update(1, 1000))
    assert [f for f in stage.frames() if f.kind == GOAWAY] == []
    stage.close()


async def test_the_streams_that_were_reset_here_are_not_remembered_without_a_bound() -> None:
    stage = UpstreamStage()
    for _ in range(300):
        stage.ask().stream.abandon(0.0)
    assert len(stage.client._reset_here) == 256
    stage.close()


async def test_the_budget_refills() -> None:
    stage = UpstreamStage()
    for _ in range(5):
        stage.say(frame(PING, 0, 0, bytes(8)) * 9_000)
        stage.client.flush()
        stage.now += 60
        await turn()
    assert not stage.transport.closing
    stage.say(frame(PING, 0, 0, bytes(8)) * 25_000)
    assert [f.number for f in stage.frames() if f.kind == GOAWAY] == [ENHANCE_YOUR_CALM]


async def test_credit_of_the_connection_is_given_back_as_it_comes() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    asking.stream.abandon(0.0)
    stage.frames()
    for _ in range(32):
        stage.data(asking, bytes(16384))
    assert [(f.ident, f.number) for f in stage.frames()] == [(0, 1 << 19)]
    stage.close()


async def test_the_timer_is_of_all_streams() -> None:
    stage = UpstreamStage()
    one, two, three = stage.ask(), stage.ask(), stage.ask()
    one.stream.expect_by(monotonic() + 500, errors.HEADER_TIMEOUT)
    two.stream.expect_by(monotonic() + 300, errors.HEADER_TIMEOUT)
    three.stream.expect_by(0.0, errors.HEADER_TIMEOUT)
    timer = stage.client._timer
    assert timer.expires_at == pytest.approx(monotonic() + 300, abs=5)
    two.stream.expires_at = monotonic() - 1
    timer.expires_at = 0.0
    stage.client._on_time()
    assert isinstance(two.error, GatewayError)
    assert timer.expires_at == pytest.approx(monotonic() + 500, abs=5)
    assert stage.client.leaving, "nothing at all has come since"
    stage.close()


async def test_a_limit_that_is_raised_makes_room() -> None:
    stage = UpstreamStage(pairs=[(3, 1)])
    stage.ask()
    assert stage.client.room == 0
    stage.say(settings([(3, 5)]))
    assert (stage.client.room, stage.freed) == (4, 1)
    stage.say(settings([(3, 0)]))
    assert stage.client.room == -1
    stage.close()


async def test_a_wrong_frame_on_a_stream_that_is_over() -> None:
    stage = UpstreamStage()
    stage.head(stage.ask(), ended=True)
    stage.say(window_update(1, 0))
    assert not stage.transport.closing
    stage.say(window_update(9, 0))
    assert stage.transport.closing
