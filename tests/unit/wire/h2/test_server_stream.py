"""The response of a stream: its frames, its windows, its ends."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import GET, POST, Frame
from harness.scripted import HeldSource
from unit.wire.h2.stage import CallerStage

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, ResponseHead
from gateway.wire.h2.codes import CANCEL, DATA, HEADERS, INTERNAL_ERROR, MAX_FRAME, RST_STREAM
from gateway.wire.h2.frames import rst_stream, settings, window_update
from gateway.wire.h2.server_stream import H2ServerStream


def response(status: int = 200, length: int = CHUNKED, *lines: bytes) -> ResponseHead:
    return ResponseHead(status, b"Odd", 1, list(lines), {b"date": b"D"}, length, True)


class Clock:
    name = b"server-timing"

    def line(self) -> bytes:
        return b"Server-Timing: a;dur=1"


def opened(window: int | None = None, limits: Limits | None = None) -> tuple[CallerStage, H2ServerStream]:
    stage = CallerStage(limits, window=window)
    stage.request()
    return stage, stage.server.streams[1]


def payload(frames: list[Frame]) -> bytes:
    return b"".join(frame.payload for frame in frames if frame.kind == DATA)


async def test_a_response_in_pieces() -> None:
    stage, stream = opened()
    stream.begin(response(200, CHUNKED, b"Content-Type: a", b"Connection: close"), b"X-Request-Id: 7\r\n", None, None)
    assert stage.frames() == []
    stream.flush()
    (head,) = stage.frames()
    assert stage.reader.fields(head) == {b":status": b"200", b"content-type": b"a", b"x-request-id": b"7"}
    stream.pieces([memoryview(b"ab"), memoryview(b"cd")], pooled=False)
    stream.end([])
    frames = stage.frames()
    assert [(f.kind, f.flags, f.payload) for f in frames] == [(DATA, 0, b"ab"), (DATA, 0, b"cd"), (DATA, 1, b"")]
    assert stream.body_out == 4
    stage.close()


@pytest.mark.parametrize(("status", "length"), [(200, 0), (204, 0), (304, 0)])
async def test_a_response_without_a_body_is_one_frame(status: int, length: int) -> None:
    stage, stream = opened()
    stream.begin(response(status, length, b"Content-Length: 0"), b"", None, None)
    stream.whole(memoryview(b""))
    (head,) = stage.frames()
    assert head.ended
    assert (b"content-length" in stage.reader.fields(head)) is (status != 204)
    assert not stage.server.streams
    stage.close()


async def test_a_whole_body_ends_its_last_frame() -> None:
    stage, stream = opened(window=1 << 20)
    stream.begin(response(200, 40000), b"", None, None)
    stream.whole(memoryview(bytes(40000)))
    frames = stage.frames()
    assert [(f.kind, len(f.payload), f.ended) for f in frames[1:]] == [
        (DATA, MAX_FRAME, False),
        (DATA, MAX_FRAME, False),
        (DATA, 40000 - 2 * MAX_FRAME, True),
    ]
    stage.close()


async def test_trailers_of_the_endpoint_and_of_the_gateway() -> None:
    stage, stream = opened()
    stream.begin(response(), b"", None, Clock())
    stream.data(memoryview(b"a"), pooled=False)
    stream.end([b"grpc-status: 0"])
    head, _, trailers = stage.frames()
    assert stage.reader.fields(head)[b"trailer"] == b"server-timing"
    assert stage.reader.fields(trailers) == {b"grpc-status": b"0", b"server-timing": b"a;dur=1"}
    assert trailers.ended
    stage.close()


async def test_trailers_without_a_body() -> None:
    stage, stream = opened()
    stream.begin(response(), b"", None, None)
    stream.end([b"grpc-status: 0"])
    head, trailers = stage.frames()
    assert (head.kind, head.ended, trailers.kind, trailers.ended) == (HEADERS, False, HEADERS, True)
    stage.close()


async def test_interim_responses() -> None:
    stage, stream = opened()
    stream.interim(ResponseHead(103, b"", 1, [b"Link: </a>"], {}, 0, True))
    (early,) = stage.frames()
    assert (stage.reader.fields(early), early.ended) == ({b":status": b"103", b"link": b"</a>"}, False)
    stream.begin(response(), b"", None, None)
    stream.interim(ResponseHead(103, b"", 1, [], {}, 0, True))
    assert stage.frames() == [], "none comes after the final head"
    stage.close()


async def test_an_own_response_and_one_to_head() -> None:
    for method, wanted in ((b"GET", b"hello"), (b"HEAD", b"")):
        stage = CallerStage()
        stage.request(1, [(b":method", method), *GET[1:]])
        await stage.turn()
        stage.server.streams[1].respond(429, b"Retry-After: 1\r\n", b"hello")
        frames = stage.frames()
        fields = stage.reader.fields(frames[0])
        assert fields.pop(b"date")
        assert fields == {b":status": b"429", b"retry-after": b"1", b"content-length": b"5"}
        assert payload(frames) == wanted
        assert frames[-1].ended
        stage.close()


async def test_windows_hold_the_source_and_each_byte_comes_in_order() -> None:
    stage, stream = opened(window=10)
    source = HeldSource()
    stream.begin(response(), b"", source, None)
    stream.data(memoryview(b"0123456789abcdef"), pooled=False)
    assert (stream.full, source.held) == (True, True)
    assert payload(stage.frames()) == b"0123456789"
    stream.data(memoryview(b"ghij"), pooled=False)  # what the same read brought besides
    stage.say(window_update(1, 3))
    assert payload(stage.frames()) == b"abc"
    assert source.held
    stage.say(settings([(4, 11)]))  # RFC 9113 6.9.2: all windows grow by one
    assert payload(stage.frames()) == b"d"
    stage.say(settings([(4, 5)]))
    stage.say(window_update(1, 6))
    assert payload(stage.frames()) == b"", "the window is below zero, then zero"
    stage.say(window_update(1, 100))
    assert payload(stage.frames()) == b"efghij"
    assert (stream.full, source.held) == (False, False)
    assert stream.blocked > 0
    stage.close()


async def test_the_end_waits_for_the_window() -> None:
    for trailers in ([], [b"x: y"]):
        stage, stream = opened(window=1)
        stream.begin(response(), b"", HeldSource(), None)
        stream.data(memoryview(b"ab"), pooled=False)
        stream.end(trailers)
        assert stage.frames()[-1].payload == b"a"
        waiting = asyncio.ensure_future(stream.sent())
        await asyncio.sleep(0)
        stage.say(window_update(1, 1))
        frames = stage.frames()
        assert frames[0].payload == b"b"
        assert frames[-1].ended
        assert len(frames) == (2 if trailers else 1)
        assert await waiting == stream.blocked
        stage.close()


async def test_those_that_wait_for_the_connection_have_their_turn() -> None:
    stage = CallerStage(window=1 << 20)
    streams = []
    for ident in (1, 3, 5):
        stage.request(ident)
        stream = stage.server.streams[ident]
        stream.begin(response(), b"", HeldSource(), None)
        streams.append(stream)
    streams[0].data(memoryview(bytes(65535)), pooled=False)  # all of the window of the connection
    for stream in streams:
        stream.data(memoryview(bytes(3 * MAX_FRAME)), pooled=False)
    stage.frames()
    stage.say(window_update(0, 6 * MAX_FRAME))
    assert [f.ident for f in stage.frames() if f.kind == DATA] == [1, 3, 5, 1, 3, 5]
    stage.close()


async def test_a_socket_that_takes_nothing_holds_every_source() -> None:
    stage = CallerStage(window=1 << 20)
    stage.say(window_update(0, 1 << 20))
    sources = [HeldSource() for _ in range(3)]
    for ident, source in zip((1, 3, 5), sources, strict=True):
        stage.request(ident)
        stage.server.streams[ident].begin(response(), b"", source, None)
    stage.transport.stop()
    for ident in (1, 3, 5):
        stage.server.streams[ident].data(memoryview(bytes(32768)), pooled=False)
    stage.server.flush()
    for ident in (1, 3, 5):
        stage.server.streams[ident].data(memoryview(bytes(32768)), pooled=False)
    assert all(source.held for source in sources)
    assert not stage.transport.reading, "each frame of its own could demand a response"
    stage.transport.take()
    assert not any(source.held for source in sources)
    assert stage.transport.reading
    assert len(payload(stage.frames())) == 6 * 32768
    stage.close()


async def test_cve_2016_1546_a_window_that_stays_shut_ends_by_body_timeout() -> None:
    stage, stream = opened(window=0)
    await stage.turn()
    stream.begin(response(), b"", HeldSource(), None)
    stream.data(memoryview(b"a"), pooled=False)
    stream._on_send_timeout()
    reset = stage.frames()[-1]
    assert (reset.kind, reset.number) == (RST_STREAM, CANCEL)
    exchange = stage.service.served[0]
    await stage.turn()
    assert exchange.reason == "client_timeout"
    assert not stage.server.exchanges
    stage.close()


async def test_a_response_that_breaks_off_never_looks_complete() -> None:
    stage, stream = opened()
    stream.begin(response(), b"", HeldSource(), None)
    stream.data(memoryview(b"a"), pooled=False)
    stream.cut()
    frames = stage.frames()
    assert (frames[-1].kind, frames[-1].number) == (RST_STREAM, INTERNAL_ERROR)
    assert not any(frame.ended for frame in frames)
    stage.close()


async def test_nothing_is_sent_on_a_stream_that_was_reset() -> None:
    stage, stream = opened()
    stage.say(rst_stream(1, 8))
    stream.begin(response(), b"", HeldSource(), None)
    stream.data(memoryview(b"a"), pooled=False)
    stream.whole(memoryview(b"a"))
    stream.end([])
    stream.cut()
    assert stage.frames() == []
    stage.close()


async def test_an_early_response_ends_the_upload() -> None:
    stage = CallerStage()
    stage.request(1, POST, ended=False)
    await stage.respond()
    frames = stage.frames()
    assert frames[-2].ended
    assert (frames[-1].kind, frames[-1].number) == (RST_STREAM, 0)
    stage.close()
