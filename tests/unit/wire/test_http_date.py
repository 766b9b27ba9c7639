from __future__ import annotations

from gateway.wire.http_date import HttpDate


def test_the_date_is_an_imf_fixdate() -> None:
    line = HttpDate().line()
    assert line.startswith(b"Date: ")
    assert line.endswith(b" GMT\r\n")
