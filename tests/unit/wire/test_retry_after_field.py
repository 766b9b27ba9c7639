from __future__ import annotations

import pytest

from gateway.wire.retry_after_field import retry_after_of

NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, as in RFC 9110 5.6.7."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b" 7 ", 7.0),
        (b"Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        (b"Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        (b"Sun Nov  6 08:50:37 1994", 60.0),
        (b"Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        (b"9" * 400, 1e9),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"soon", None),
        (b"Sun, 99 Nov 1994 08:50:37 GMT", None),
        (b"Sun, 06 Nov 1994 08:50:37 +9999999999", None),
        (b"\xff\xfe", None),
        (b"Sun, 06 Nov 1994 08:50:37 GMT" + b" " * 60 + b"x", None),
    ],
)
def test_seconds_and_dates(value: bytes, seconds: float | None) -> None:
    assert retry_after_of([b"Server: x", b"retry-AFTER:" + value], NOW) == seconds


def test_a_response_without_it() -> None:
    assert retry_after_of([b"Retry-After-That: 5", b"X: Retry-After: 5"], NOW) is None


def test_of_several_the_first_counts() -> None:
    assert retry_after_of([b"Retry-After: 5", b"Retry-After: 6"], NOW) == 5.0
