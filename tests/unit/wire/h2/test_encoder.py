from __future__ import annotations

import hpack
import pytest

from gateway.core.message import CHUNKED, OutgoingRequest, ResponseHead
from gateway.wire.h2.encoder import NO_TABLE, Encoder, field


def read(block: bytes) -> list[tuple[bytes, bytes]]:
    return [tuple(f) for f in hpack.Decoder().decode(block, raw=True)]  # type: ignore[misc]


def test_a_field_of_the_static_table_is_one_byte() -> None:
    assert field(b":status", b"200") == b"\x88"
    made = Encoder()
    assert made.status(200) == made.status(200) == b"\x88"
    assert field(b"accept-encoding", b"gzip, deflate") == b"\x90"


def test_a_line_of_http_1_1() -> None:
    made = Encoder()
    for _ in range(2):
        assert read(made.line(b"Content-Type:  text/html \t")) == [(b"content-type", b"text/html")]
        assert read(made.line(b"X-Odd: a:b")) == [(b"x-odd", b"a:b")]
        assert read(made.line(b"X-Empty:")) == [(b"x-empty", b"")]


@pytest.mark.parametrize("name", [b"Connection", b"keep-alive", b"TRANSFER-ENCODING", b"upgrade", b"Proxy-Connection"])
def test_what_speaks_of_the_connection_has_no_place(name: bytes) -> None:
    assert Encoder().line(name + b": x") == b""


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"set-cookie", b"proxy-authorization"])
def test_secrets_are_never_indexed_nor_remembered(name: bytes) -> None:
    made = Encoder()
    line = made.line(name + b": s")
    assert line[0] & 0xF0 == 0x10
    assert read(line) == [(name, b"s")]
    assert not made._lines


def test_lines() -> None:
    made = Encoder()
    assert read(made.lines(b"X-Request-Id: 0123\r\n")) == [(b"x-request-id", b"0123")]
    lines = b"X-Request-Id: 01\r\nConnection: close\r\nServer-Timing: a;dur=1\r\nVia: 1.1 x\r\n"
    assert read(made.lines(lines)) == [(b"x-request-id", b"01"), (b"server-timing", b"a;dur=1"), (b"via", b"1.1 x")]
    assert list(made._lines) == [b"Via: 1.1 x"]
    assert made.lines(b"") == b""


def test_the_memory_is_bounded() -> None:
    made = Encoder()
    for number in range(5000):
        made.line(b"X: %d" % number)
    made.line(b"X: " + b"x" * 300)
    assert len(made._lines) <= 2048


def test_long_values_and_the_empty_table() -> None:
    value = bytes(range(0x21, 0x7F)) * 40
    assert read(NO_TABLE + field(b"x", value)) == [(b"x", value)]


def test_heads_of_responses() -> None:
    made = Encoder()
    dated = ResponseHead(204, b"", 1, [b"Content-Length: 0", b"Connection: x", b"Date: D"], {b"date": b"D"}, 0, True)
    assert read(made.response(dated)) == [(b":status", b"204"), (b"date", b"D")]
    assert made.response(dated) is made.response(dated)
    undated = ResponseHead(200, b"", 1, [b"Content-Length: 0"], {}, 0, True)
    assert [name for name, _ in read(made.response(undated))] == [b":status", b"content-length", b"date"]
    assert undated.block is None, "the date of another second is another one"
    early = ResponseHead(103, b"", 1, [b"Link: </a>"], {}, 0, True)
    assert read(made.interim(early)) == [(b":status", b"103"), (b"link", b"</a>")]
    own = read(made.own(429, b"Retry-After: 1\r\n", 5))
    assert [pair for pair in own if pair[0] != b"date"] == [
        (b":status", b"429"),
        (b"retry-after", b"1"),
        (b"content-length", b"5"),
    ]


def test_a_switch_is_a_200() -> None:
    lines = [b"sec-websocket-accept:x", b"Content-Length: 0", b"Sec-WebSocket-Protocol: chat", b"Upgrade: websocket"]
    head = ResponseHead(101, b"", 1, lines, {b"date": b"D"}, 0, True)
    assert read(Encoder().switched(head)) == [(b":status", b"200"), (b"sec-websocket-protocol", b"chat")]


def test_a_request_is_made_once() -> None:
    fields = b"Content-Length: 3\r\nConnection: x\r\nTE: gzip\r\nX-A: 1\r\nCookie: c\r\n"
    request = OutgoingRequest(b"POST", b"/x?y", b"up.test", fields, CHUNKED, takes_trailers=True, replaced=frozenset())
    made = Encoder()
    block = made.request(request, b"https")
    assert read(block) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"up.test"),
        (b":path", b"/x?y"),
        (b"content-length", b"3"),
        (b"x-a", b"1"),
        (b"cookie", b"c"),
        (b"te", b"trailers"),
    ]
    assert made.request(request, b"https") is block
    request.takes_trailers, request.block = False, None
    assert (b"te", b"trailers") not in read(made.request(request, b"https"))
