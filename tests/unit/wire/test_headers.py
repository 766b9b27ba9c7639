from __future__ import annotations

import pytest

from gateway.core.limits import Limits
from gateway.core.message import RequestHead
from gateway.wire.head import HeadParser
from gateway.wire.headers import Forwarding, HeadTemplate, HttpDate, interim_head, own_head, response_head

STRANGER = Forwarding(b"9.9.9.9", b"http", trusted=False)
FRIEND = Forwarding(b"9.9.9.9", b"http", trusted=True)
SPOOFED = b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1"


def parse(*lines: bytes, start: bytes = b"GET /x HTTP/1.1") -> RequestHead:
    return HeadParser().request(b"\r\n".join((start, b"Host: a", *lines)), Limits())


def fill(head: RequestHead, forwarding: Forwarding = STRANGER, template: HeadTemplate | None = None) -> list[bytes]:
    filled = (template or HeadTemplate(b"up:1", [])).fill(head, b"", 0, forwarding, b"id")
    assert filled.endswith(b"\r\n\r\n")
    return filled[:-4].split(b"\r\n")


def test_a_plain_request() -> None:
    assert fill(parse(b"X-A:  1")) == [
        b"GET /x HTTP/1.1",
        b"Host: up:1",
        b"X-A:  1",
        b"X-Forwarded-For: 9.9.9.9",
        b"X-Forwarded-Host: a",
        b"X-Forwarded-Proto: http",
        b"Via: 1.1 breakwater",
        b"X-Request-Id: id",
    ]


def test_a_stranger_is_not_believed() -> None:
    lines = fill(parse(SPOOFED, b"X_Forwarded_For: 2.2.2.2"))
    assert not [line for line in lines if b"1.1.1.1" in line or b"evil" in line or b"2.2.2.2" in line]


def test_a_trusted_proxy_is_believed() -> None:
    lines = fill(parse(SPOOFED), FRIEND)
    assert b"X-Forwarded-For: 1.1.1.1, 9.9.9.9" in lines
    assert {b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https", b"Forwarded: for=1.1.1.1"} <= set(lines)


def test_configured_fields_replace_the_clients_in_every_spelling() -> None:
    template = HeadTemplate(None, [(b"X-Api-Key", b"secret")])
    lines = fill(parse(b"x-api-key: mine", b"X_Api_Key: mine"), template=template)
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
    assert wanted in fill(parse(line, start=start))


def test_http_10_has_no_expect() -> None:
    assert b"Expect: 100-continue" not in fill(parse(b"Expect: 100-continue", start=b"POST /x HTTP/1.0"))


def test_an_equal_head_is_rendered_once_for_each_template() -> None:
    head = parse(b"X: 1")
    first, second = HeadTemplate(b"one", []), HeadTemplate(b"two", [])
    assert fill(head, template=first) == fill(head, template=first)
    assert b"Host: two" in fill(head, template=second)
    assert b"Host: one" in fill(head, template=first)


def test_an_answer() -> None:
    head = HeadParser().response(b"HTTP/1.1 204 Gone Fishing\r\nContent-Length: 0\r\nDate: D\r\nX: 1", to_head=False)
    wanted = b"HTTP/1.1 204 Gone Fishing\r\nDate: D\r\nX: 1\r\nF: 1\r\nX-Request-Id: id\r\n\r\n"
    assert response_head(head, b"F: 1\r\n", b"id") == wanted == response_head(head, b"F: 1\r\n", b"id")


def test_an_answer_without_a_date_gets_one() -> None:
    head = HeadParser().response(b"HTTP/1.1 200 OK\r\nContent-Length: 0", to_head=False)
    assert b"\r\nDate: " in response_head(head, b"", b"id")


def test_own_and_interim_heads() -> None:
    assert own_head(429, b"Retry-After: 1\r\n").startswith(b"HTTP/1.1 429 Too Many Requests\r\nDate: ")
    early = HeadParser().response(b"HTTP/1.1 103 Early Hints\r\nLink: </x>", to_head=False)
    assert interim_head(early) == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def test_the_date_is_an_imf_fixdate() -> None:
    line = HttpDate().line()
    assert line.startswith(b"Date: ")
    assert line.endswith(b" GMT\r\n")
