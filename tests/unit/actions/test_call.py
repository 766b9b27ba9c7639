"""The request of a call as the layers see it. `tests/faults/test_calls.py` makes calls over real sockets."""

from __future__ import annotations

import pytest

from gateway.actions.call import Prepared, head_of


def prepared(method: bytes = b"GET", body: bytes = b"", *lines: bytes) -> Prepared:
    return Prepared(method, b"/x", [*lines], body, 1.0, None)


@pytest.mark.parametrize(
    ("method", "body", "line"),
    [
        (b"GET", b"", None),
        (b"DELETE", b"", None),
        (b"POST", b"", b"Content-Length: 0"),
        (b"PUT", b"abc", b"Content-Length: 3"),
        (b"DELETE", b"a", b"Content-Length: 1"),
    ],
)
def test_a_body_has_its_length(method: bytes, body: bytes, line: bytes | None) -> None:
    head = head_of(prepared(method, body, b"A: b"))
    assert head.fields == [b"A: b"] + ([line] if line else [])
    assert (head.method, head.target, head.length) == (method, b"/x", len(body))


def test_the_lines_that_calls_share_stay_as_they_are() -> None:
    made = prepared(b"POST", b"abc", b"A: b")
    assert head_of(made).fields == [b"A: b", b"Content-Length: 3"]
    assert made.lines == [b"A: b"]


def test_what_is_sent_is_in_no_representation() -> None:
    shown = repr(Prepared(b"GET", b"/x?key=s3cret", [b"Authorization: s3cret"], b"s3cret", 1.0, None))
    assert "s3cret" not in shown
