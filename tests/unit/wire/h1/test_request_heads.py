"""Heads of requests among the bytes of a caller."""

from __future__ import annotations

import asyncio

import pytest
from harness.patience import eventually
from unit.wire.h1.stage import GET, CallerStage, seconds_left

from gateway.core.limits import Limits
from gateway.wire.h1.request_heads import FREE_PARTS, REST_SECONDS, SMALL_PART
from gateway.wire.h1.server import CLOSED, HEAD, IDLE, LINGERING, NEW, SERVING


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_head_in_pieces_and_a_pipelined_request(size: int) -> None:
    stage = CallerStage()
    raw = GET + GET.replace(b"/a", b"/b")
    for start in range(0, len(raw), size):
        stage.transport.say(raw[start : start + size])
        assert stage.state is (SERVING if start + size >= len(GET) else HEAD)
    stage.service.go_on.set()
    await stage.turn()
    assert [ex.request.target for ex in stage.service.served] == [b"/a", b"/b"]
    assert stage.state is IDLE


async def test_a_request_that_is_none_is_refused_and_ends_the_connection() -> None:
    stage = CallerStage()
    stage.transport.say(b"garbage\r\n\r\n")
    await stage.turn()
    assert stage.service.refused == ["bad_request"]
    assert b"\r\nConnection: close\r\n" in stage.transport.taken
    assert stage.state is LINGERING
    assert stage.transport.eof
    stage.transport.say(b"whatever follows")
    assert stage.service.refused == ["bad_request"], "it is read and dropped"
    assert stage.server.timer.expires_at, "for a bounded time"


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n"])
async def test_empty_lines_before_a_head_are_no_part_of_it(empty: bytes) -> None:
    stage = CallerStage()
    stage.transport.say(empty)
    assert (stage.state, seconds_left(stage.server.timer)) == (NEW, 10)
    stage.transport.say(GET)
    await stage.turn()
    assert (stage.state, stage.service.served[0].request.target) == (SERVING, b"/a")


async def test_half_of_an_empty_line_is_waited_for_as_a_part_of_a_head() -> None:
    stage = CallerStage()
    stage.transport.say(b"\r")
    assert stage.state is HEAD
    stage.transport.say(b"\n" + GET)
    await stage.turn()
    assert (stage.state, stage.service.served[0].request.target) == (SERVING, b"/a")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET /" + b"a" * 200, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 300, "headers_too_large"),
        (b"GET / HTTP/1.1\nHost: a", "bad_request"),
        (b"\x16\x03\x01", "bad_request"),
    ],
)
async def test_what_can_no_longer_become_a_head_is_not_waited_for(data: bytes, code: str) -> None:
    stage = CallerStage(Limits(max_uri=100, max_header_bytes=250))
    stage.transport.say(data)
    await stage.turn()
    assert (stage.service.refused, stage.state) == ([code], LINGERING)


async def test_a_drip_does_not_move_the_end_of_the_time_for_a_head() -> None:
    stage = CallerStage()
    stage.transport.say(GET[:1])
    armed = stage.server.timer.expires_at
    for byte in GET[1:10]:
        stage.transport.say(bytes((byte,)))
    assert (stage.state, stage.server.timer.expires_at) == (HEAD, armed)


@pytest.mark.parametrize(("size", "rests"), [(1, True), (SMALL_PART - 1, True), (SMALL_PART, False)])
async def test_a_head_in_many_small_parts_is_read_ever_more_rarely(size: int, rests: bool) -> None:
    stage = CallerStage(Limits(max_header_bytes=1 << 20))
    stage.transport.say(GET[:20])
    waits = list[float]()
    loop = asyncio.get_running_loop()
    for number in range(1, FREE_PARTS + 5):
        assert stage.transport.reading
        stage.transport.say(b"x" * size)
        assert stage.transport.reading is (number < FREE_PARTS or not rests)
        began = loop.time()
        await eventually(lambda: stage.transport.reading, "the end of the rest")
        waits.append(loop.time() - began)
    assert not rests or waits[-1] > 3 * REST_SECONDS
    stage.transport.say(GET[20:])
    await stage.respond()
    stage.transport.say(GET[:20])
    stage.transport.say(GET[20:21])
    assert stage.transport.reading, "each head has parts of its own"


async def test_so_are_empty_lines_before_a_head() -> None:
    stage = CallerStage()
    for _ in range(FREE_PARTS):
        stage.transport.say(b"\r\n")
        assert stage.transport.reading
    stage.transport.say(b"\r\n")
    assert (stage.state, stage.transport.reading) == (NEW, False)


async def test_a_rest_ends_with_its_connection() -> None:
    stage = CallerStage()
    for byte in GET[:1] + b"x" * FREE_PARTS:
        stage.transport.say(bytes((byte,)))
    stage.transport.lose()
    await asyncio.sleep(REST_SECONDS)
    assert stage.state is CLOSED
    assert not stage.transport.reading, "it is not read any more"


async def test_equal_heads_are_parsed_once() -> None:
    stage = CallerStage()
    for _ in range(2):
        stage.transport.say(GET)
        await stage.turn()
        await stage.respond()
    first, second = stage.service.served
    assert first.request is second.request
    assert stage.state is IDLE
