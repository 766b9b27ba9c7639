"""The life of a connection: its timers, its drain, its ends."""

from __future__ import annotations

import pytest
from harness.frames import GET, POST, block
from unit.wire.h1.stage import seconds_left
from unit.wire.h2.stage import CallerStage

from gateway import errors
from gateway.core.limits import Limits
from gateway.wire.h2.codes import GOAWAY, HEADERS, MAX_STREAM_ID, PING, PREFACE, REFUSED_STREAM
from gateway.wire.h2.frames import frame, settings, window_update

LIMITS = Limits(first_byte_timeout=11, keepalive_timeout=22, header_timeout=33, body_timeout=44)


def idle(stage: CallerStage) -> int | None:
    return seconds_left(stage.server._idle_timer)


def slow_head(stage: CallerStage) -> int | None:
    return seconds_left(stage.server._head_timer)


async def test_the_bounds_of_waiting() -> None:
    stage = CallerStage(LIMITS, greeted=False)
    assert idle(stage) == 11
    stage.say(PREFACE[:10])
    assert idle(stage) == 11
    stage.say(PREFACE[10:] + settings([]))
    assert idle(stage) == 22
    stage.request()
    assert idle(stage) is None
    await stage.respond()
    assert idle(stage) == 22
    stage.close()


async def test_pings_do_not_prolong_an_idle_connection() -> None:
    stage = CallerStage(LIMITS)
    before = stage.server._idle_timer.expires_at
    since = stage.server.idle_since
    stage.say(frame(PING, 0, 0, b"12345678") + window_update(0, 1000) + settings([]))
    assert (stage.server._idle_timer.expires_at, stage.server.idle_since) == (before, since)
    stage.close()


async def test_an_idle_connection_ends_with_a_goaway() -> None:
    stage = CallerStage(LIMITS)
    stage.request()
    await stage.respond()
    stage.frames()
    stage.server._on_idle()
    (goaway,) = stage.frames()
    assert (goaway.kind, goaway.number, goaway.payload[:4]) == (GOAWAY, 0, b"\0\0\0\x01")
    assert stage.transport.lost
    assert not stage.service.connections


@pytest.mark.parametrize(
    "part",
    [
        b"\0\0",
        frame(HEADERS, 5, 1, block(GET))[:12],
        frame(HEADERS, 1, 1, block(GET)),
        frame(PING, 0, 0, b"12345678")[:15],
    ],
)
async def test_what_does_not_come_whole_has_header_timeout(part: bytes) -> None:
    stage = CallerStage(LIMITS)
    assert slow_head(stage) is None
    stage.say(part)
    assert slow_head(stage) == 33
    before = stage.server._head_timer.expires_at
    stage.say(frame(9, 0, 1, b"x") if part[3:5] == b"\x01\x01" else b"\0")
    assert stage.server._head_timer.expires_at == before, "a drop more does not prolong it"
    stage.server._on_slow_head()
    goaway = stage.frames()[-1]
    assert goaway.kind == GOAWAY
    stage.close()


async def test_a_frame_that_came_whole_has_no_bound_any_more() -> None:
    stage = CallerStage(LIMITS)
    stage.say(frame(PING, 0, 0, b"12345678")[:12])
    stage.say(frame(PING, 0, 0, b"12345678")[12:] + b"\0")
    assert slow_head(stage) == 33
    stage.say(frame(PING, 0, 0, b"12345678")[1:])
    assert slow_head(stage) is None
    stage.close()


async def test_a_drain_tells_and_waits_and_refuses() -> None:
    stage = CallerStage(LIMITS)
    stage.request(1)
    await stage.turn()
    stage.server.close_idle()
    stage.server.close_idle()
    goaway, ping = stage.frames()
    assert int.from_bytes(goaway.payload[:4], "big") == MAX_STREAM_ID
    stage.request(3)  # it was on its way
    await stage.turn()
    stage.say(frame(PING, 1, 0, ping.payload))
    (goaway,) = stage.frames()
    assert int.from_bytes(goaway.payload[:4], "big") == 3
    stage.request(5)
    (refused,) = stage.frames()
    assert (refused.ident, refused.number) == (5, REFUSED_STREAM)
    assert not stage.transport.closing
    await stage.respond()
    assert {f.ident for f in stage.frames()} == {1, 3}
    assert stage.transport.lost
    assert not stage.service.connections


async def test_a_drain_of_an_idle_connection_waits_a_second_at_most() -> None:
    stage = CallerStage(LIMITS)
    stage.server.close_idle()
    assert not stage.transport.closing
    stage.server._refuse_streams()
    assert stage.transport.lost


async def test_a_caller_that_leaves() -> None:
    for leave in ("lose", "eof", "peer_left"):
        stage = CallerStage(LIMITS)
        stage.request(1)
        stage.request(3, POST, ended=False)
        await stage.turn()
        first, second = stage.server.exchanges
        if leave == "lose":
            stage.transport.lose()
        elif leave == "eof":
            stage.server.eof_received()
        else:
            stage.server._peer_left()
        await stage.turn()
        assert (first.reason, second.reason) == ("client_gone", "client_gone")
        assert stage.transport.lost
        assert not stage.server.exchanges
        assert not stage.service.connections


async def test_a_cut_and_a_stall() -> None:
    for reason in (errors.DRAINING, errors.CLIENT_TIMEOUT):
        stage = CallerStage(LIMITS)
        stage.request(1)
        await stage.turn()
        (exchange,) = stage.server.exchanges
        if reason is errors.DRAINING:
            stage.server.cancel(reason)
        else:
            stage.server._on_stall()
        await stage.turn()
        assert exchange.reason == reason.code
        assert stage.transport.lost


async def test_room_is_made_by_an_idle_connection() -> None:
    stage = CallerStage(LIMITS)
    assert stage.server.idle_since
    stage.request()
    await stage.turn()
    assert not stage.server.idle_since
    await stage.respond()
    assert stage.server.idle_since
    stage.frames()
    stage.server.make_room()
    assert stage.transport.lost
    assert stage.frames()[0].kind == GOAWAY


async def test_after_a_fault_the_rest_is_dropped_and_then_the_connection_ends() -> None:
    stage = CallerStage(LIMITS)
    stage.say(frame(PING, 0, 1, b"12345678"))
    assert idle(stage) == 2
    for _ in range(33):
        if not stage.transport.lost:
            stage.say(bytes(32768))
    assert stage.transport.lost
    other = CallerStage(LIMITS)
    other.say(frame(PING, 0, 1, b"12345678"))
    other.server._on_idle()
    assert other.transport.lost


async def test_one_that_has_no_name_any_more() -> None:
    stage = CallerStage.__new__(CallerStage)
    CallerStage.__init__(stage, LIMITS)
    stage.transport.info["peername"] = None
    stage.server.connection_made(stage.transport)
    assert stage.transport.lost
