"""Conformance on raw frames, by section of RFC 9113 and RFC 7541: what comes in, and the code that goes out.

The cases are those of h2spec, written anew, with one difference: RFC 9113 5.3.2 has no priorities any more, so a stream
may depend on itself.
"""

from __future__ import annotations

import pytest
from harness.frames import GET, POST, Fields, Frame, block
from unit.wire.h2.stage import CallerStage

from gateway.wire.h2.codes import (
    COMPRESSION_ERROR,
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    RST_STREAM,
    STREAM_CLOSED,
)
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings, window_update


def head(ident: int = 1, fields: Fields = GET, flags: int = 5) -> bytes:
    return frame(HEADERS, flags, ident, block(fields))


def body(payload: bytes, ident: int = 1, flags: int = 0) -> bytes:
    return frame(DATA, flags, ident, payload)


OPEN = head(1, POST, 4)
"""A request whose body is to come."""
CLOSED = head(1) + rst_stream(1, 8)
PING_FRAME = frame(6, 0, 0, b"12345678")

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

ENDS_THE_CONNECTION = {
    "http2 4.2/3 HEADERS above the size": (frame(HEADERS, 5, 1, bytes(MAX_FRAME + 1)), FRAME_SIZE_ERROR),
    "http2 4.2/2 DATA above the size": (OPEN + body(bytes(MAX_FRAME + 1)), FRAME_SIZE_ERROR),
    "http2 4.3/1 a block that cannot be decoded": (frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff"), COMPRESSION_ERROR),
    "http2 4.3/2 PRIORITY within a block": (frame(HEADERS, 1, 1, b"\x82") + frame(2, 0, 1, b"12345"), PROTOCOL_ERROR),
    "http2 4.3/3 HEADERS of another stream within": (frame(HEADERS, 1, 1, b"\x82") + head(3), PROTOCOL_ERROR),
    "http2 5.1/1 DATA on an idle stream": (body(b"a"), PROTOCOL_ERROR),
    "http2 5.1/2 RST_STREAM on an idle stream": (rst_stream(1, 8), PROTOCOL_ERROR),
    "http2 5.1/3 WINDOW_UPDATE on an idle stream": (window_update(1, 100), PROTOCOL_ERROR),
    "http2 5.1/4 CONTINUATION on an idle stream": (frame(9, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "http2 5.1/7 CONTINUATION on a half-closed stream": (head() + frame(9, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "http2 5.1/9 HEADERS after RST_STREAM": (CLOSED + head(), STREAM_CLOSED),
    "http2 5.1/10 CONTINUATION after RST_STREAM": (CLOSED + frame(9, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "http2 5.1.1/1 an even number": (head(2), PROTOCOL_ERROR),
    "http2 5.1.1/2 a lower number": (head(5) + head(3), PROTOCOL_ERROR),
    "http2 5.1.1 DATA on an even stream": (head(5) + body(b"a", 2), PROTOCOL_ERROR),
    "http2 5.4.1/1 an invalid PING": (frame(6, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "http2 5.5/2 an extension within a block": (frame(HEADERS, 1, 1, b"\x82") + frame(0x16, 0, 1, b""), PROTOCOL_ERROR),
    "http2 6.1/1 DATA on stream 0": (frame(DATA, 1, 0, b"a"), PROTOCOL_ERROR),
    "http2 6.1/3 DATA with too much padding": (OPEN + body(b"\x06test", flags=9), PROTOCOL_ERROR),
    "http2 6.2/1 HEADERS without END_HEADERS, then PRIORITY": (
        frame(HEADERS, 1, 1, block(GET)) + frame(2, 0, 1, b"12345"),
        PROTOCOL_ERROR,
    ),
    "http2 6.2/3 HEADERS on stream 0": (frame(HEADERS, 5, 0, block(GET)), PROTOCOL_ERROR),
    "http2 6.2/4 HEADERS with too much padding": (frame(HEADERS, 0xD, 1, b"\xff" + block(GET)), PROTOCOL_ERROR),
    "http2 6.3/1 PRIORITY on stream 0": (frame(2, 0, 0, b"12345"), PROTOCOL_ERROR),
    "http2 6.4/1 RST_STREAM on stream 0": (rst_stream(0, 8), PROTOCOL_ERROR),
    "http2 6.4/3 RST_STREAM of a wrong size": (OPEN + frame(RST_STREAM, 0, 1, b"123"), FRAME_SIZE_ERROR),
    "http2 6.5/1 SETTINGS ACK with a payload": (frame(4, 1, 0, b"\0\x03\0\0\0\x01"), FRAME_SIZE_ERROR),
    "http2 6.5/2 SETTINGS on a stream": (frame(4, 0, 1, b"\0\x03\0\0\0\x01"), PROTOCOL_ERROR),
    "http2 6.5/3 SETTINGS of a wrong size": (frame(4, 0, 0, b"\0\x03\0"), FRAME_SIZE_ERROR),
    "http2 6.5.2/1 ENABLE_PUSH": (settings([(2, 2)]), PROTOCOL_ERROR),
    "http2 6.5.2/2 INITIAL_WINDOW_SIZE": (settings([(4, 1 << 31)]), FLOW_CONTROL_ERROR),
    "http2 6.5.2/3 MAX_FRAME_SIZE below": (settings([(5, MAX_FRAME - 1)]), PROTOCOL_ERROR),
    "http2 6.5.2/4 MAX_FRAME_SIZE above": (settings([(5, 1 << 24)]), PROTOCOL_ERROR),
    "http2 6.7/3 PING on a stream": (frame(6, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "http2 6.7/4 PING of a wrong size": (frame(6, 0, 0, b"123456"), FRAME_SIZE_ERROR),
    "http2 6.8/1 GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "http2 6.9/1 WINDOW_UPDATE of 0": (window_update(0, 0), PROTOCOL_ERROR),
    "http2 6.9/3 WINDOW_UPDATE of a wrong size": (frame(8, 0, 0, b"\0\0\x01"), FRAME_SIZE_ERROR),
    "http2 6.9.1/2 the window of the connection overflows": (
        window_update(0, (1 << 31) - 1) + window_update(0, (1 << 31) - 1),
        FLOW_CONTROL_ERROR,
    ),
    "http2 6.9.2 a window of a stream overflows by SETTINGS": (
        OPEN + window_update(1, (1 << 31) - 1 - 65535) + settings([(4, 65536)]),
        FLOW_CONTROL_ERROR,
    ),
    "http2 6.10/2 CONTINUATION after END_HEADERS": (OPEN + frame(9, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "http2 6.10/4 CONTINUATION on stream 0": (
        frame(HEADERS, 1, 1, block(GET)) + frame(9, 4, 0, b"\x82"),
        PROTOCOL_ERROR,
    ),
    "http2 6.10/5 CONTINUATION after CONTINUATION with END_HEADERS": (
        frame(HEADERS, 1, 1, block(GET)[:2]) + frame(9, 4, 1, block(GET)[2:]) + frame(9, 4, 1, b"\x82"),
        PROTOCOL_ERROR,
    ),
    "http2 6.10/6 CONTINUATION after DATA": (OPEN + body(b"a") + frame(9, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "http2 8.4/1 PUSH_PROMISE": (frame(5, 4, 1, b"\0\0\0\x02" + block(GET)), PROTOCOL_ERROR),
    "hpack 2.3.3/1 an index beyond the table": (frame(HEADERS, 5, 1, b"\xc6"), COMPRESSION_ERROR),
    "hpack 2.3.3/2 a literal with such a name": (frame(HEADERS, 5, 1, b"\x7f\x0a\x01a"), COMPRESSION_ERROR),
    "hpack 4.2/1 a size update at the end": (frame(HEADERS, 5, 1, block(GET) + b"\x20"), COMPRESSION_ERROR),
    "hpack 5.2/1 padding longer than 7 bits": (frame(HEADERS, 5, 1, b"\x00\x86\xf2\xb2\x4a\x84\xff\xff\x00"), 9),
    "hpack 5.2/2 padding by zero": (frame(HEADERS, 5, 1, b"\x00\x83\x49\x50\x90\x00"), COMPRESSION_ERROR),
    "hpack 5.2/3 EOS in a string": (frame(HEADERS, 5, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION_ERROR),
    "hpack 6.1/1 index 0": (frame(HEADERS, 5, 1, b"\x80"), COMPRESSION_ERROR),
    "hpack 6.3/1 a size above the setting": (frame(HEADERS, 5, 1, b"\x3f\xe2\x1f"), COMPRESSION_ERROR),
}

RESETS_THE_STREAM = {
    "http2 5.1/5 DATA on a half-closed stream": (head() + body(b"a"), STREAM_CLOSED),
    "http2 5.1/6 HEADERS on a half-closed stream": (head() + head(), STREAM_CLOSED),
    "http2 5.1/8 DATA after RST_STREAM": (OPEN + rst_stream(1, 8) + body(b"a"), STREAM_CLOSED),
    "http2 6.3/2 PRIORITY of a wrong size": (OPEN + frame(2, 0, 1, b"1234"), FRAME_SIZE_ERROR),
    "http2 6.9/2 WINDOW_UPDATE of 0 on a stream": (OPEN + window_update(1, 0), PROTOCOL_ERROR),
    "http2 6.9.1/3 the window of a stream overflows": (OPEN + window_update(1, (1 << 31) - 1), FLOW_CONTROL_ERROR),
    "http2 8.1/1 a second HEADERS without END_STREAM": (OPEN + head(1, [(b"x", b"y")], 4), PROTOCOL_ERROR),
    "http2 8.1.2.1/3 a pseudo-field in trailers": (OPEN + body(b"a") + head(1, [(b":method", b"x")]), PROTOCOL_ERROR),
    "http2 8.1.2.6/1 a body longer than content-length": (
        head(1, [*POST, (b"content-length", b"1")], 4) + body(b"test", flags=1),
        PROTOCOL_ERROR,
    ),
    "http2 8.1.2.6/2 several frames": (
        head(1, [*POST, (b"content-length", b"1")], 4) + body(b"te") + body(b"st", flags=1),
        PROTOCOL_ERROR,
    ),
    "a body shorter than content-length": (
        head(1, [*POST, (b"content-length", b"5")], 4) + body(b"test", flags=1),
        PROTOCOL_ERROR,
    ),
    "trailers before the end of the announced body": (
        head(1, [*POST, (b"content-length", b"5")], 4) + body(b"test") + head(1, [(b"x", b"y")]),
        PROTOCOL_ERROR,
    ),
    "more than the window of a stream": (OPEN + body(bytes(MAX_FRAME)) * 4 + body(b"a"), FLOW_CONTROL_ERROR),
}

MALFORMED = {
    "http2 8.1.2/1 an upper-case name": [*GET, (b"X-Test", b"ok")],
    "http2 8.1.2.1/1 an unknown pseudo-field": [*GET, (b":test", b"ok")],
    "http2 8.1.2.1/2 a pseudo-field of responses": [*GET, (b":status", b"200")],
    "http2 8.1.2.1/4 a pseudo-field behind a field": [(b"x-test", b"ok"), *GET],
    "http2 8.1.2.2/1 connection": [*GET, (b"connection", b"keep-alive")],
    "http2 8.1.2.2/2 te": [*GET, (b"trailers", b"test"), (b"te", b"trailers, deflate")],
    "http2 8.1.2.3/1 an empty path": [*GET[:3], (b":path", b"")],
    "http2 8.1.2.3/2 no method": GET[1:],
    "http2 8.1.2.3/3 no scheme": [GET[0], *GET[2:]],
    "http2 8.1.2.3/4 no path": GET[:3],
    "http2 8.1.2.3/5 a repeated method": [GET[0], *GET],
    "http2 8.1.2.3/6 a repeated scheme": [*GET[:2], GET[1], *GET[2:]],
    "http2 8.1.2.3/7 a repeated path": [*GET, GET[3]],
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
