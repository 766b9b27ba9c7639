"""HTTP/2 requests that would be another request, or two, in HTTP/1.1, and frames that break the rules of RFC 9113."""

from __future__ import annotations

from gateway.wire.h2.codes import (
    COMPRESSION_ERROR,
    DATA,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    PROTOCOL_ERROR,
    RST_STREAM,
    STREAM_CLOSED,
)
from gateway.wire.h2.frames import frame, rst_stream, settings, window_update
from harness.frames import GET, POST, Fields, block


def head(ident: int = 1, fields: Fields = GET, flags: int = 5) -> bytes:
    return frame(HEADERS, flags, ident, block(fields))


def body(payload: bytes, ident: int = 1, flags: int = 0) -> bytes:
    return frame(DATA, flags, ident, payload)


OPEN = head(1, POST, 4)
"""A request whose body is to come."""
CLOSED = head(1) + rst_stream(1, 8)
PING_FRAME = frame(6, 0, 0, b"12345678")

CONNECT: Fields = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]


def but(**changes: bytes | None) -> Fields:
    """`GET` with other values of its pseudo-fields; None: without it."""
    wanted = {f":{name}".encode(): value for name, value in changes.items()}
    return [(name, value) for name, old in GET if (value := wanted.get(name, old)) is not None]


REJECTED: dict[str, tuple[Fields, str]] = {
    "upper case": ([*GET, (b"X-a", b"1")], "bad_request"),
    "CVE-2019-9516 empty name": ([*GET, (b"", b"1")], "bad_request"),
    "colon in a name": ([*GET, (b"a:b", b"1")], "bad_request"),
    "blank in a name": ([*GET, (b"a b", b"1")], "bad_request"),
    "CRLF in a name": ([*GET, (b"a\r\nb", b"1")], "bad_request"),
    "CVE-2025-57804 CRLF in a value": ([*GET, (b"a", b"1\r\nb: 2")], "bad_request"),
    "LF in a value": ([*GET, (b"a", b"1\n")], "bad_request"),
    "CR in a value": ([*GET, (b"a", b"1\r")], "bad_request"),
    "NUL in a value": ([*GET, (b"a", b"1\x00")], "bad_request"),
    "leading blank": ([*GET, (b"a", b" 1")], "bad_request"),
    "trailing tab": ([*GET, (b"a", b"1\t")], "bad_request"),
    "connection": ([*GET, (b"connection", b"close")], "bad_request"),
    "keep-alive": ([*GET, (b"keep-alive", b"1")], "bad_request"),
    "proxy-connection": ([*GET, (b"proxy-connection", b"close")], "bad_request"),
    "CVE-2021-33193 transfer-encoding": ([*GET, (b"transfer-encoding", b"chunked")], "bad_request"),
    "CVE-2021-21295 upgrade": ([*GET, (b"upgrade", b"h2c")], "bad_request"),
    "te": ([*GET, (b"te", b"trailers, gzip")], "bad_request"),
    "repeated :method": ([*GET, (b":method", b"GET")], "bad_request"),
    "repeated :path": ([*GET, (b":path", b"/")], "bad_request"),
    "repeated :scheme": ([*GET, (b":scheme", b"http")], "bad_request"),
    "repeated :authority": ([*GET, (b":authority", b"a")], "bad_request"),
    "pseudo-field of a response": ([*GET, (b":status", b"200")], "bad_request"),
    "unknown pseudo-field": ([*GET, (b":protocol", b"websocket")], "bad_request"),
    "late pseudo-field": ([*GET[:3], (b"a", b"1"), GET[3]], "bad_request"),
    "no :method": (but(method=None), "bad_request"),
    "no :scheme": (but(scheme=None), "bad_request"),
    "no :path": (but(path=None), "bad_request"),
    "empty :path": (but(path=b""), "bad_request"),
    "empty :method": (but(method=b""), "bad_request"),
    "CVE-2021-33193 :method": (but(method=b"GET /admin HTTP/1.1\r\nx:"), "bad_request"),
    "CVE-2021-39240 blank in :method": (but(method=b"G T"), "bad_request"),
    "blank in :path": (but(path=b"/a b"), "bad_request"),
    "CRLF in :path": (but(path=b"/ HTTP/1.1\r\nx: y"), "bad_request"),
    "CVE-2023-45539 # in :path": (but(path=b"/a#b"), "bad_request"),
    "control character in :path": (but(path=b"/\x01"), "bad_request"),
    "no US-ASCII in :path": (but(path=b"/\xff"), "bad_request"),
    ":path without slash": (but(path=b"a"), "bad_request"),
    "absolute :path": (but(path=b"http://b/"), "bad_request"),
    "* without OPTIONS": (but(path=b"*"), "bad_request"),
    "odd :scheme": (but(scheme=b"ftp"), "bad_request"),
    "CVE-2021-39241 :scheme": (but(scheme=b"http://b/?"), "bad_request"),
    "no authority": (but(authority=None), "bad_request"),
    "empty :authority": (but(authority=b""), "bad_request"),
    "userinfo": (but(authority=b"u@a"), "bad_request"),
    "path in :authority": (but(authority=b"a/b"), "bad_request"),
    "blank in :authority": (but(authority=b"a b"), "bad_request"),
    "CVE-2021-39242 Host differs": ([*GET, (b"host", b"b")], "bad_request"),
    "repeated host": ([*GET, (b"host", b"a"), (b"host", b"a")], "bad_request"),
    "userinfo in host": ([*but(authority=None), (b"host", b"u@a")], "bad_request"),
    "two lengths": ([*GET, (b"content-length", b"0"), (b"content-length", b"0")], "bad_request"),
    "signed length": ([*GET, (b"content-length", b"+1")], "bad_framing"),
    "hex length": ([*GET, (b"content-length", b"0x1")], "bad_framing"),
    "CVE-2023-40225 empty length": ([*GET, (b"content-length", b"")], "bad_framing"),
    "list of lengths": ([*GET, (b"content-length", b"1, 1")], "bad_framing"),
    "CVE-2021-21409 length without a body": ([*GET, (b"content-length", b"5")], "bad_framing"),
    "CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"a:1")], "not_implemented"),
    "TRACE": (but(method=b"TRACE"), "not_implemented"),
    "a protocol without CONNECT": ([*GET, (b":protocol", b"websocket")], "bad_request"),
    "two protocols": ([*CONNECT, (b":protocol", b"websocket")], "bad_request"),
    "empty protocol": ([*CONNECT[:-1], (b":protocol", b"")], "bad_request"),
    "protocol that is no token": ([*CONNECT[:-1], (b":protocol", b"a b")], "bad_request"),
    "another protocol": ([*CONNECT[:-1], (b":protocol", b"connect-udp")], "not_implemented"),
    "a tunnel without scheme": ([*CONNECT[:1], *CONNECT[2:]], "bad_request"),
    "a tunnel without authority": ([*CONNECT[:2], *CONNECT[3:], (b"host", b"a")], "bad_request"),
    "a tunnel without path": ([*CONNECT[:3], *CONNECT[4:]], "bad_request"),
    "a tunnel to *": ([*CONNECT[:3], (b":path", b"*"), *CONNECT[4:]], "bad_request"),
    "a tunnel with a length": ([*CONNECT, (b"content-length", b"0")], "bad_request"),
    "a tunnel with Upgrade": ([*CONNECT, (b"upgrade", b"websocket")], "bad_request"),
}
"""Fields of a request without a body, and the reason of the gateway."""


SPLITTING: dict[str, Fields] = {
    "CVE-2021-33193 transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "CVE-2021-21409 a length without a body": [*GET, (b"content-length", b"5")],
    "CRLF in :path": [*GET[:3], (b":path", b"/a HTTP/1.1\r\nHost: b\r\n\r\nGET /b")],
    "CVE-2021-39240 :method": [(b":method", b"GET /b HTTP/1.1\r\nx:"), *GET[1:]],
    "CVE-2025-57804 CRLF in a value": [*GET, (b"x", b"1\r\nhost: b")],
    "CVE-2021-39242 Host differs": [*GET, (b"host", b"b")],
    "CVE-2023-45539 # in :path": [*GET[:3], (b":path", b"/a#b")],
}
"""One request here, and two or another one behind a gateway that copies what it reads."""

# -- by section of h2spec: the frames, and the code that goes out

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
