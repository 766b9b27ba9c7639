"""Conformance on raw frames, by section of RFC 9113 and RFC 7541: what comes in, and the code that goes out.

The cases are those of h2spec, written anew, with one difference: RFC 9113 5.3.2 has no priorities any more, so a stream
may depend on itself.
"""

from __future__ import annotations

import pytest
from harness.attacks.streams import (
    CLOSED,
    ENDS_THE_CONNECTION,
    MALFORMED,
    OPEN,
    PING_FRAME,
    RESETS_THE_STREAM,
    body,
    head,
)
from harness.frames import GET, POST, Fields, Frame, block
from unit.wire.h2.stage import CallerStage

from gateway.wire.h2.codes import (
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    RST_STREAM,
)
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings, window_update

FINE = {
    "generic 1/1, http2 3.5/1 the preface": b"",
    "generic 2/1 a PRIORITY on an idle stream": frame(2, 0, 1, b"\0\0\0\0\x10") + head(),
    "generic 2/2 WINDOW_UPDATE on a half-closed stream": head() + window_update(1, 100),
    "generic 2/3 PRIORITY on a half-closed stream": head() + frame(2, 0, 1, b"\0\0\0\0\x10"),
    "generic 2/5 PRIORITY on a closed stream": CLOSED + frame(2, 0, 1, b"\0\0\0\0\x10") + head(3),
    "generic 3.1/1 a DATA frame": OPEN + body(b"a", flags=1),
    "generic 3.1/2 several DATA frames": OPEN + body(b"a") + body(b"b") + body(b"c", flags=1),
    "generic 3.1/3 DATA with padding": OPEN + body(b"\x03a\0\0\0", flags=9),
    "generic 3.2/1 HEADERS": head(),
    "generic 3.2/2 HEADERS with padding": frame(HEADERS, 0xD, 1, b"\x02" + block(GET) + b"\0\0"),
    "generic 3.2/3 HEADERS with priority": frame(HEADERS, 0x25, 1, b"\0\0\0\0\x10" + block(GET)),
    "generic 3.3/1 PRIORITY": frame(2, 0, 1, b"\0\0\0\0\x01") + head(),
    "generic 3.3/5 PRIORITY for an idle stream": head() + frame(2, 0, 7, b"\0\0\0\x01\x01"),
    "generic 3.4/1 RST_STREAM": OPEN + rst_stream(1, 8) + head(3),
    "generic 3.5/1 SETTINGS": settings([(3, 100), (4, 70000)]) + head(),
    "generic 3.7/1 PING": PING_FRAME + head(),
    "generic 3.8/1 GOAWAY": head() + goaway(0, 0),
    "generic 3.9/1 WINDOW_UPDATE of the connection": window_update(0, 1) + head(),
    "generic 3.9/2 WINDOW_UPDATE of a stream": OPEN + window_update(1, 1) + body(b"", flags=1),
    "generic 3.10/1 CONTINUATION": frame(HEADERS, 1, 1, block(GET)[:3]) + frame(9, 4, 1, block(GET)[3:]),
    "generic 3.10/2 several CONTINUATIONs": frame(HEADERS, 1, 1, block(GET)[:3])
    + frame(9, 0, 1, block(GET)[3:4])
    + frame(9, 4, 1, block(GET)[4:]),
    "generic 4/1 GET": head(1, GET),
    "generic 4/2 HEAD": head(1, [(b":method", b"HEAD"), *GET[1:]]),
    "generic 4/3 POST": OPEN + body(b"test", flags=1),
    "generic 4/4 trailers": OPEN + body(b"test") + head(1, [(b"x-test", b"ok")]),
    "generic 5/1 indexed fields": frame(HEADERS, 5, 1, b"\x82\x84\x86\x01\x01a"),
    "generic 5/7 literals without indexing": frame(HEADERS, 5, 1, b"\x82\x86\x01\x01a\x04\x02/b\x00\x01x\x01y"),
    "generic 5/10 never indexed": frame(HEADERS, 5, 1, b"\x82\x84\x86\x11\x01a\x10\x01x\x01y"),
    "generic 5/13 size updates": frame(HEADERS, 5, 1, b"\x20\x3f\xe1\x1f\x82\x84\x86\x01\x01a"),
    "http2 4.1/1 an unknown type": frame(0xFF, 0, 0, b"12345678") + head(),
    "http2 4.1/2 undefined flags": frame(6, 0xFE, 0, b"12345678") + head(),
    "http2 4.1/3 the reserved bit": frame(6, 0, 0x80000000, b"12345678") + head(0x80000001),
    "http2 4.2/1 a frame of 2^14 bytes": OPEN + body(bytes(MAX_FRAME), flags=1),
    "http2 5.3.1/1 HEADERS that depend on themselves": frame(HEADERS, 0x25, 1, b"\0\0\0\x01\x10" + block(GET)),
    "http2 5.3.1/2 PRIORITY that depends on itself": head() + frame(2, 0, 1, b"\0\0\0\x01\x10"),
    "http2 5.5/1 an unknown extension": frame(0x16, 0, 0, b"12345678") + head(),
    "http2 6.5.3/2 unknown settings": settings([(0x4242, 1)]) + head(),
    "http2 6.7/2 an unasked PING ACK": frame(6, 1, 0, b"invalid!") + head(),
    "http2 7/1 GOAWAY with an unknown code": head() + goaway(0, 0xFF),
    "http2 7/2 RST_STREAM with an unknown code": OPEN + rst_stream(1, 0xFF) + head(3),
    "http2 8.2/0 push that is switched off": settings([(2, 0)]) + head(),
    "padding on the last frame of a body": OPEN + body(b"a") + body(b"\x04\0\0\0\0", flags=9),
}


def only(frames: list[Frame], kind: int) -> list[Frame]:
    return [found for found in frames if found.kind == kind]


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["bytes", "whole"])
@pytest.mark.parametrize("data", FINE.values(), ids=FINE.keys())
async def test_fine(data: bytes, size: int) -> None:
    stage = CallerStage()
    stage.service.go_on.set()
    for start in range(0, len(data), size):
        stage.say(data[start : start + size])
    await stage.turn()
    frames = stage.frames()
    assert not only(frames, GOAWAY)
    assert not only(frames, RST_STREAM)
    assert (frames[-1].kind == PING or frames[-1].ended) if data else not frames
    stage.say(PING_FRAME)
    assert stage.frames() == [Frame(PING, 1, 0, b"12345678")]
    stage.close()


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["bytes", "whole"])
@pytest.mark.parametrize(("data", "code"), ENDS_THE_CONNECTION.values(), ids=ENDS_THE_CONNECTION.keys())
async def test_ends_the_connection(data: bytes, code: int, size: int) -> None:
    stage = CallerStage()
    for start in range(0, len(data), size):
        stage.say(data[start : start + size])
    last = stage.frames()[-1]
    assert (last.kind, last.number) == (GOAWAY, code)
    assert stage.transport.eof
    assert not stage.server.streams
    await stage.turn()
    assert not stage.server.exchanges
    stage.say(head(99))
    assert stage.frames() == [], "nothing is taken any more"
    stage.close()


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["bytes", "whole"])
@pytest.mark.parametrize(("data", "code"), RESETS_THE_STREAM.values(), ids=RESETS_THE_STREAM.keys())
async def test_resets_the_stream(data: bytes, code: int, size: int) -> None:
    stage = CallerStage()
    for start in range(0, len(data), size):
        stage.say(data[start : start + size])
    (reset,) = only(stage.frames(), RST_STREAM)
    assert (reset.ident, reset.number) == (1, code)
    await stage.turn()
    assert not stage.server.exchanges
    stage.request(99)
    await stage.respond()
    assert stage.frames()[-1].ident == 99, "the connection goes on"
    stage.close()


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed(fields: Fields) -> None:
    """RFC 9113 8.1.1: a stream error, which a response may come before."""
    stage = CallerStage()
    stage.request(1, fields)
    await stage.turn()
    response, reset = stage.frames()
    assert stage.reader.fields(response)[b":status"] == b"400"
    assert (reset.kind, reset.number) == (RST_STREAM, PROTOCOL_ERROR)
    assert stage.service.refused == ["bad_request"]
    assert not stage.service.served
    stage.close()


@pytest.mark.parametrize("data", [b"INVALID PREFACE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", PREFACE + PING_FRAME])
async def test_http2_3_5_2_another_preface(data: bytes) -> None:
    stage = CallerStage(greeted=False)
    stage.say(data)
    last = stage.frames()[-1]
    assert (last.kind, last.number) == (GOAWAY, PROTOCOL_ERROR)
    stage.close()


async def test_settings_and_pings_are_acknowledged() -> None:
    stage = CallerStage()
    stage.say(settings([(3, 100)]) + PING_FRAME)
    assert stage.frames() == [Frame(4, 1, 0, b""), Frame(PING, 1, 0, b"12345678")]
    stage.close()


async def test_a_body_on_its_way_to_a_stream_that_was_reset_here_is_dropped() -> None:
    stage = CallerStage()
    stage.request(1, POST, ended=False)
    await stage.respond()
    assert stage.frames()[-1].kind == RST_STREAM
    stage.data(1, b"late")
    stage.say(head(1, [(b"x", b"late")]))
    stage.request(3)
    await stage.respond()
    assert {found.ident for found in stage.frames()} == {3}
    stage.close()


async def test_the_window_of_the_connection_is_given_back_at_its_half() -> None:
    stage = CallerStage()
    stage.request(1, POST, ended=False)
    stage.say(rst_stream(1, 8))
    given = 0
    for number in range(3, 300, 2):
        stage.request(number, POST, ended=False)
        stage.data(number, bytes(MAX_FRAME))
        stage.say(rst_stream(number, 8))
        given += sum(found.number for found in stage.frames() if found.kind == 8 and not found.ident)
        stage.now += 1
    assert given >= (1 << 20)
    stage.close()


async def test_pings_between_which_nothing_moves_are_counted() -> None:
    """As grpc/grpc, doc/keepalive.md: the client reads the debug data, and doubles its interval."""
    stage = CallerStage()
    ping = frame(PING, 0, 0, b"12345678")
    for ident in (1, 3):
        stage.request(ident)
        stage.say(ping * 100)
        await stage.turn()
    for _ in range(50):  # once in ten seconds
        stage.now += 10
        stage.say(ping)
    assert not [found for found in stage.frames() if found.kind == GOAWAY]
    stage.say(ping * 101)
    (goaway,) = [found for found in stage.frames() if found.kind == GOAWAY]
    assert (goaway.number, goaway.payload[8:]) == (ENHANCE_YOUR_CALM, b"too_many_pings")
    stage.close()


@pytest.mark.parametrize("one", [body(b"a"), head(1, [(b"x", b"late")])], ids=["DATA", "HEADERS"])
async def test_frames_on_a_stream_that_was_reset_here_have_a_budget(one: bytes) -> None:
    """RFC 9113 5.1: what was on its way is ignored, and a window of 64 KiB bounds that; a flood ends the connection."""
    stage = CallerStage()
    stage.request(1, POST, ended=False)
    await stage.respond()
    assert stage.frames()[-1].kind == RST_STREAM
    for _ in range(90):
        stage.say(one * 100)
        await stage.turn()
    assert stage.frames() == []
    while not stage.transport.eof:
        stage.say(one * 100)
        await stage.turn()
    last = stage.frames()[-1]
    assert (last.kind, last.number) == (GOAWAY, ENHANCE_YOUR_CALM)
    stage.close()
