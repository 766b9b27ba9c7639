from __future__ import annotations

from gateway.core.message import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead


def test_a_length_is_never_mistaken_for_a_way_of_framing() -> None:
    assert len({CHUNKED, UNTIL_CLOSE}) == 2
    assert max(CHUNKED, UNTIL_CLOSE) < 0


def test_a_request_keeps_its_field_lines_as_they_came() -> None:
    fields = [b"X-a: 1", b"x-A:  2", b"X-a: 1"]
    head = RequestHead(b"GET", b"/%7Ea?b", 1, fields, {b"host": b"h"}, 0, keep_alive=True)
    assert head.fields is fields
    assert (head.method, head.target, head.minor, head.length, head.keep_alive) == (b"GET", b"/%7Ea?b", 1, 0, True)
    assert head.known == {b"host": b"h"}


def test_a_response_keeps_its_field_lines_as_they_came() -> None:
    fields = [b"Set-Cookie: a", b"set-cookie: b"]
    head = ResponseHead(200, b"Fine", 0, fields, {}, UNTIL_CLOSE, keep_alive=False)
    assert head.fields is fields
    assert (head.status, head.reason, head.minor, head.length) == (200, b"Fine", 0, UNTIL_CLOSE)
    assert (head.keep_alive, head.known) == (False, {})
