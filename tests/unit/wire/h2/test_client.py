"""One connection to an endpoint: places, numbers, the end, and what only concerns the connection."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import block
from unit.wire.h2.client_stage import OK, UpstreamStage

from gateway import errors
from gateway.errors import GatewayError
from gateway.wire.h2.codes import (
    ACK,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    SETTINGS,
    WINDOW_UPDATE,
)
from gateway.wire.h2.frames import frame, goaway, settings, window_update


async def turn() -> None:
    """Let a connection that rests read again."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_the_greeting() -> None:
    stage = UpstreamStage(greeted=False)
    assert stage.transport.taken.startswith(PREFACE)
    first, second = stage.frames()
    assert (first.kind, first.payload) == (SETTINGS, b"\0\x02\0\0\0\0" + b"\0\x04\0\x01\0\0")
    assert (second.kind, second.ident, second.number) == (WINDOW_UPDATE, 0, (1 << 20) - 65535)
    opened = asyncio.ensure_future(stage.client.opened())
    await asyncio.sleep(0)
    assert not opened.done()
    stage.say(settings([(3, 7)]))
    await opened
    assert (stage.client.room, stage.client.limit) == (7, 7)
    assert [(f.kind, f.flags) for f in stage.frames()] == [(SETTINGS, ACK)]
    stage.close()


@pytest.mark.parametrize(("said", "error"), [(b"HTTP/1.1 400 Bad\r\n\r\n", GatewayError), (b"", ConnectionResetError)])
async def test_an_endpoint_that_does_not_greet(said: bytes, error: type[Exception]) -> None:
    stage = UpstreamStage(greeted=False)
    if said:
        stage.say(said)
    stage.close()
    with pytest.raises(error):
        await stage.client.opened()


async def test_a_cancelled_wait_for_the_greeting_is_no_fault() -> None:
    stage = UpstreamStage(greeted=False)
    opened = asyncio.ensure_future(stage.client.opened())
    await asyncio.sleep(0)
    opened.cancel()
    await asyncio.gather(opened, return_exceptions=True)
    stage.say(settings([]))
    stage.close()


async def test_a_drain_lets_those_that_run_end() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    late = stage.client.open()
    stage.client.leave()
    assert stage.client.room == 0
    stage.head(asking, ended=True)
    assert not stage.transport.closing, "a place is taken"
    late.abandon(0.0)
    assert stage.transport.closing
    assert [f.number for f in stage.frames() if f.kind == GOAWAY] == [NO_ERROR]
    assert stage.lost == 1


async def test_goaway_without_streams_closes() -> None:
    stage = UpstreamStage()
    stage.say(goaway(0, NO_ERROR))
    assert (stage.transport.closing, stage.lost) == (True, 1)


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("silent", [False, True])
async def test_what_is_stale(reused: bool, silent: bool) -> None:
    stage = UpstreamStage()
    if reused:
        stage.head(stage.ask(), ended=True)
    asking = stage.ask()
    if not silent:
        stage.say(frame(PING, 0, 0, bytes(8)))
    stage.close()
    assert isinstance(asking.error, GatewayError)
    assert (asking.error.reason, asking.error.retryable) == (errors.UPSTREAM_RESET, reused and silent)
    assert not asking.error.unprocessed


async def test_a_fin_ends_what_runs() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.client.eof_received()
    assert isinstance(asking.error, GatewayError)
    assert stage.lost == 1


async def test_a_broken_rule_fails_what_runs_and_gives_on_what_came_whole() -> None:
    stage = UpstreamStage()
    one, two = stage.ask(), stage.ask()
    stage.say(frame(HEADERS, 5, 1, block(OK)), frame(HEADERS, 5, 2, block(OK)))
    assert one.error is None
    assert isinstance(two.error, GatewayError)
    assert two.error.reason is errors.UPSTREAM_BAD_RESPONSE
    (last,) = [f for f in stage.frames() if f.kind == GOAWAY]
    assert last.number == PROTOCOL_ERROR
    assert (stage.transport.closing, stage.client.streams) == (True, 0)


async def test_nothing_is_read_behind_a_broken_rule() -> None:
    stage = UpstreamStage()
    stage.transport.stop()
    stage.client.write(b"x")
    stage.say(window_update(0, 0))
    assert stage.transport.lost
    stage.client.buffer_updated(10)


async def test_an_endpoint_that_takes_no_acknowledgements_is_left() -> None:
    stage = UpstreamStage()
    stage.transport.stop()
    for _ in range(30):
        if stage.transport.lost:
            break
        stage.say(frame(PING, 0, 0, bytes(8)) * 4_000)
        stage.client.flush()
        stage.now += 60
        await turn()
    assert stage.transport.lost
