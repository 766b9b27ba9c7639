from __future__ import annotations

import pytest

from gateway.core.limits import Limits
from gateway.core.message import RequestHead
from gateway.core.peer import Peer
from gateway.proxy.rewrite import RequestRewrite
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.serialize import request_head

STRANGER = Peer("9.9.9.9", 5000, b"http", lambda address: False)
FRIEND = Peer("9.9.9.9", 5000, b"http", lambda address: True)
SPOOFED = b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1"


def parse(*lines: bytes, start: bytes = b"GET /x HTTP/1.1") -> RequestHead:
    return HeadParser().request(b"\r\n".join((start, b"Host: a", *lines)), Limits())


def rewritten(head: RequestHead, peer: Peer = STRANGER, rewrite: RequestRewrite | None = None) -> list[bytes]:
    outgoing = (rewrite or RequestRewrite(b"up:1", [])).request(head, peer)
    return request_head(outgoing).removesuffix(b"\r\n").split(b"\r\n")


def test_a_plain_request() -> None:
    assert rewritten(parse(b"X-A:  1")) == [
        b"GET /x HTTP/1.1",
        b"Host: up:1",
        b"X-A:  1",
        b"X-Forwarded-For: 9.9.9.9",
        b"X-Forwarded-Host: a",
        b"X-Forwarded-Proto: http",
        b"Via: 1.1 breakwater",
    ]


def test_a_stranger_is_not_believed() -> None:
    lines = rewritten(parse(SPOOFED, b"X_Forwarded_For: 2.2.2.2"))
    assert not [line for line in lines if b"1.1.1.1" in line or b"evil" in line or b"2.2.2.2" in line]


def test_a_trusted_proxy_is_believed() -> None:
    lines = rewritten(parse(SPOOFED), FRIEND)
    assert b"X-Forwarded-For: 1.1.1.1, 9.9.9.9" in lines
    assert {b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https", b"Forwarded: for=1.1.1.1"} <= set(lines)


def test_configured_fields_replace_the_clients_in_every_spelling() -> None:
    rewrite = RequestRewrite(None, [(b"X-Api-Key", b"secret")])
    lines = rewritten(parse(b"x-api-key: mine", b"X_Api_Key: mine"), rewrite=rewrite)
    assert [line for line in lines if b"pi" in line.lower() and b"ey" in line] == [b"X-Api-Key: secret"]
    assert b"Host: a" in lines, "None keeps the client's Host"


@pytest.mark.parametrize(
    ("start", "line", "wanted"),
    [
        (b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"POST /x HTTP/1.1", b"Expect: 100-continue", b"Expect: 100-continue"),
        (b"OPTIONS /x HTTP/1.1", b"Max-Forwards: 3", b"Max-Forwards: 3"),
        (b"GET /x HTTP/1.1", b"TE: trailers", b"TE: trailers"),
        (b"GET /x HTTP/1.0", b"X: 1", b"Via: 1.0 breakwater"),
    ],
)
def test_rare_lines(start: bytes, line: bytes, wanted: bytes) -> None:
    assert wanted in rewritten(parse(line, start=start))


def test_http_10_has_no_expect() -> None:
    assert b"Expect: 100-continue" not in rewritten(parse(b"Expect: 100-continue", start=b"POST /x HTTP/1.0"))


def test_an_equal_head_is_rendered_once_for_each_route() -> None:
    head = parse(b"X: 1")
    first, second = RequestRewrite(b"one", []), RequestRewrite(b"two", [])
    assert rewritten(head, rewrite=first) == rewritten(head, rewrite=first)
    assert b"Host: two" in rewritten(head, rewrite=second)
    assert b"Host: one" in rewritten(head, rewrite=first)
