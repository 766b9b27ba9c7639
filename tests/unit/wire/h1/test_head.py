"""Each refusal of the head parser, and each oddity that it takes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, UNTIL_CLOSE
from gateway.errors import GatewayError
from gateway.wire.h1.head import HeadParser

LIMITS = Limits()
HOST = b"Host: a\r\n"


def request(raw: bytes, limits: Limits = LIMITS):  # type: ignore[no-untyped-def]
    return HeadParser().request(raw.removesuffix(b"\r\n"), limits)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GET /", "bad_request"),
        (b"GET  / HTTP/1.1\r\n" + HOST, "bad_request"),
        (b" GET / HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET / HTTP/1.2\r\n" + HOST, "bad_request"),
        (b"G(T / HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET /\xff HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET /#a HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET a:1 HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET ftp://a/ HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET http://u@a/ HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET http://b/ HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET * HTTP/1.1\r\n" + HOST, "bad_request"),
        (b"GET / HTTP/1.1\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost:\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X : 1\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b": 1\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\r\n folded\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\nY: 2\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\rY\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: \x7f\r\n", "bad_request"),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST, "not_implemented"),
        (b"TRACE / HTTP/1.1\r\n" + HOST, "not_implemented"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n", "bad_framing"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n", "bad_framing"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n", "bad_framing"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1" + b"0" * 18 + b"\r\n", "bad_framing"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n", "bad_framing"),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "bad_framing",
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "bad_framing"),
        (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n", "bad_framing"),
    ],
)
def test_refused_requests(raw: bytes, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        request(raw)
    assert caught.value.reason.code == code


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (replace(LIMITS, max_uri=3), "uri_too_long"),
        (replace(LIMITS, max_headers=1), "headers_too_large"),
        (replace(LIMITS, max_body_bytes=4), "body_too_large"),
    ],
)
def test_bounds(limits: Limits, code: str) -> None:
    raw = b"POST /abc HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n"
    assert request(raw).length == 5
    with pytest.raises(GatewayError) as caught:
        request(raw, limits)
    assert caught.value.reason.code == code


def test_what_travels_on_is_byte_exact() -> None:
    head = request(
        b"FOO /a%2Fb//c?x=%zz HTTP/1.1\r\nhOsT: a:80\r\nX-b:  2 \r\nX-B:\t3\r\nCookie: \xff\r\nContent-LENGTH: 7\r\n"
    )
    assert (head.method, head.target, head.minor, head.length) == (b"FOO", b"/a%2Fb//c?x=%zz", 1, 7)
    assert head.fields == [b"X-b:  2 ", b"X-B:\t3", b"Cookie: \xff", b"Content-LENGTH: 7"]
    assert head.known == {b"host": b"a:80", b"content-length": b"7"}


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (b"http://a/x?y", b"/x?y"),
        (b"http://A:80", b"/"),
        (b"HTTPS://a:80?q", b"/?q"),
    ],
)
def test_absolute_form_becomes_origin_form(target: bytes, origin: bytes) -> None:
    host = b"Host: a:80\r\n" if target.startswith(b"HTTPS") else HOST
    assert request(b"GET %b HTTP/1.1\r\n%b" % (target, host)).target == origin


def test_options_forms() -> None:
    assert request(b"OPTIONS * HTTP/1.1\r\n" + HOST).target == b"*"
    assert request(b"OPTIONS http://a HTTP/1.1\r\n" + HOST).target == b"*"


def test_http_10_takes_its_host_from_the_target() -> None:
    head = request(b"GET http://a:8/x HTTP/1.0\r\n")
    assert (head.known[b"host"], head.target, head.keep_alive) == (b"a:8", b"/x", False)


@pytest.mark.parametrize(
    ("version", "connection", "persists"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: foo, CLOSE\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: foo, keep-alive\r\n", True),
        (b"1.0", b"Connection: keep-alive\r\nConnection: close\r\n", False),
    ],
)
def test_persistence(version: bytes, connection: bytes, persists: bool) -> None:
    assert request(b"GET / HTTP/%b\r\n%b%b" % (version, HOST, connection)).keep_alive is persists


def test_fields_that_connection_lists_go_but_never_the_framing() -> None:
    """RFC 9110 7.6.1; a Content-Length that went would let the body outlive its length."""
    head = request(
        b"POST / HTTP/1.1\r\n"
        + HOST
        + b"Connection: x-a, content-length, via\r\nX-A: 1\r\nContent-Length: 3\r\nX-B: 2\r\n"
    )
    assert head.fields == [b"Content-Length: 3", b"X-B: 2"]
    assert head.length == 3


@pytest.mark.parametrize(
    ("line", "travels"),
    [
        (b"Proxy: http://evil", False),
        (b"PROXY: http://evil", False),
        (b"Content_Length: 3", False),
        (b"Transfer_Encoding: chunked", False),
        (b"X_Forwarded_For: 1.2.3.4", False),
        (b"X-Forwarded-For: 1.2.3.4", False),
        (b"X-Api_Key: 1", True),
        (b"Proxy-Hint: 1", True),
    ],
)
def test_fields_that_a_cgi_back_end_takes_for_another(line: bytes, travels: bool) -> None:
    head = request(b"GET / HTTP/1.1\r\n" + HOST + line + b"\r\n")
    assert (line in head.fields) is travels
    assert head.length == 0


def test_the_memory_does_not_leak_a_line_into_another_head() -> None:
    parser = HeadParser()
    line = b"X-A: 1"
    with pytest.raises(GatewayError):
        parser.request(b"GET / HTTP/1.1\r\n" + HOST + line + b"\n", LIMITS)
    first = parser.request(b"GET / HTTP/1.1\r\n" + HOST + line, LIMITS)
    again = parser.request(b"GET / HTTP/1.1\r\n" + HOST + line, LIMITS)
    assert first.fields == again.fields == [line]
    for i in range(3000):
        parser.request(b"GET / HTTP/1.1\r\n" + HOST + b"X-%d: 1" % i, LIMITS)
    assert parser.request(b"GET / HTTP/1.1\r\n" + HOST + line, LIMITS).fields == [line]


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH",
        b"ICY 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1 600 X",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 OK\r\nX : 1",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1",
        b"HTTP/1.1 200 OK\r\nContent-Length: x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
    ],
)
def test_refused_answers(raw: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        HeadParser().response(raw, to_head=False)
    assert caught.value.reason.code == "upstream_bad_response"


@pytest.mark.parametrize(
    ("raw", "to_head", "length"),
    [
        (b"HTTP/1.1 200", False, UNTIL_CLOSE),
        (b"HTTP/1.0 200 OK", False, UNTIL_CLOSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", False, 5),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", True, 0),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED", False, CHUNKED),
        (b"HTTP/1.1 204 No\r\nContent-Length: 5", False, 0),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 5", False, 0),
        (b"HTTP/1.1 103 Early", False, 0),
    ],
)
def test_the_length_of_an_answer(raw: bytes, to_head: bool, length: int) -> None:
    """RFC 9112 6.3."""
    assert HeadParser().response(raw, to_head=to_head).length == length


def test_what_is_long_is_read_but_not_remembered() -> None:
    """Memory for lines that never come again would grow to the longest of them."""
    parser = HeadParser()
    long = b"X-Long: " + b"a" * 300
    for _ in range(2):
        assert parser.request(b"GET / HTTP/1.1\r\n" + HOST + long, LIMITS).fields == [long]
        answer = parser.response(b"HTTP/1.1 200 " + b"K" * 300 + b"\r\n" + long, to_head=False)
        assert (answer.status, answer.reason, answer.fields) == (200, b"K" * 300, [long])
    assert [*parser._request_lines._seen] == [HOST.strip()]
    assert not parser._response_lines._seen
    assert not parser._statuses


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"Keep-Alive: timeout=5", 5.0),
        (b"Keep-Alive: max=100 , Timeout = 75", 75.0),
        (b'keep-alive: timeout="15", max=7', 15.0),
        (b"Keep-Alive: timeout=0", 0.0),
        (b"Keep-Alive: timeout=-1", math.inf),
        (b"Keep-Alive: timeout=5s", math.inf),
        (b"Keep-Alive: timeout=9999999999", math.inf),
        (b"Keep-Alive: max=100", math.inf),
        (b"Keep-Alive:", math.inf),
        (b"X-Keep-Alive: timeout=5", math.inf),
    ],
)
def test_how_long_an_upstream_keeps_a_connection(line: bytes, seconds: float) -> None:
    for to_head in (False, True):
        head = HeadParser().response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + line, to_head=to_head)
        assert head.idle_limit == seconds
