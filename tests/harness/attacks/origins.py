"""HTTP/2 responses of an upstream that break the rules or break off. All are frames of stream 1."""

from __future__ import annotations

from gateway.wire.h2.codes import CONTINUATION, DATA, HEADERS
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings
from harness.frames import Fields, block

STATUS: Fields = [(b":status", b"200")]


def response(*fields: tuple[bytes, bytes], ended: bool = False) -> bytes:
    return frame(HEADERS, 5 if ended else 4, 1, block([*STATUS, *fields]))


def data(payload: bytes, *, ended: bool = False) -> bytes:
    return frame(DATA, 1 if ended else 0, 1, payload)


_FIVE = (b"content-length", b"5")

BROKEN = {
    "9113-8.1 DATA before HEADERS": data(b"hello", ended=True) + response(ended=True),
    "9113-8.1.1 shorter than content-length": response(_FIVE) + data(b"hel", ended=True),
    "9113-8.1.1 longer than content-length": response(_FIVE) + data(b"hello world", ended=True),
    "9113-8.1.1 content-length 5 and END_STREAM": response(_FIVE, ended=True),
    "9113-8.1.1 two lengths": response(_FIVE, (b"content-length", b"3")) + data(b"hello", ended=True),
    "9113-5.4.2 RST_STREAM within the body": response(_FIVE) + data(b"hel") + rst_stream(1, 2),
    "9113-5.4.2 RST_STREAM NO_ERROR within the body": response() + data(b"hel") + rst_stream(1, 0),
    "9113-8.3.2 no :status": frame(HEADERS, 4, 1, block([(b"x", b"y")])) + data(b"hello", ended=True),
    "9113-8.3.2 :status that is no number": frame(HEADERS, 5, 1, block([(b":status", b"2x0")])),
    "9113-8.3 :status twice": frame(HEADERS, 5, 1, block([*STATUS, *STATUS])),
    "9113-8.3 a pseudo-field of requests": response((b":path", b"/"), ended=True),
    "9113-8.6 101 Switching Protocols": frame(HEADERS, 4, 1, block([(b":status", b"101")])) + response(ended=True),
    "9113-8.2.1 an upper-case name": response((b"X-Test", b"1"), ended=True),
    "9113-8.2.1 CRLF in a value": response((b"x", b"1\r\nset-cookie: evil=1"), ended=True),
    "9113-8.2.2 transfer-encoding": response((b"transfer-encoding", b"chunked"), ended=True),
    "9113-8.1 a pseudo-field in trailers": response() + data(b"hello") + frame(HEADERS, 5, 1, block(STATUS)),
    "9113-8.1 trailers without END_STREAM": response() + data(b"hello") + frame(HEADERS, 4, 1, block([(b"x", b"y")])),
    "9113-8.4 PUSH_PROMISE": frame(5, 4, 1, b"\0\0\0\x02\x82\x84\x87") + response(_FIVE) + data(b"hello", ended=True),
    "9113-5.1 HEADERS on stream 2": frame(HEADERS, 5, 2, block(STATUS)),
    "9113-6.1 too much padding": response() + frame(DATA, 9, 1, b"\x06hel"),
    "7541-2.3.3 an index beyond the table": frame(HEADERS, 5, 1, b"\xc6"),
    "CVE-2024-27316 a flood of CONTINUATION": frame(HEADERS, 1, 1, block(STATUS))
    + frame(CONTINUATION, 0, 1, block([(b"x", b"y" * 1000)])) * 2000,
    "CVE-2019-9518 a flood of empty DATA": response() + frame(DATA, 0, 1, b"") * 20_000,
    "9110-15.2 a flood of interim responses": frame(HEADERS, 4, 1, block([(b":status", b"103")])) * 1000
    + response(ended=True),
}

UNFINISHED = {
    "9113-8.1 the connection ends within the body": response(_FIVE) + data(b"hel"),
    "9113-8.1 the connection ends without END_STREAM": response() + data(b"hel"),
    "9113-6.8 GOAWAY of a later stream, then the end": response() + data(b"hel") + goaway(1, 0),
    "9113-6.8 GOAWAY of an earlier stream": settings([]) + goaway(0, 0),
}
"""The upstream closes its connection behind these."""
