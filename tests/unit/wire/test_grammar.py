from __future__ import annotations

import pytest

from gateway.wire.grammar import BARE_LINE_END, HOST, tokens


@pytest.mark.parametrize("value", [b"a", b"a:1", b"a_b.c", b"[::1]:80", b"127.0.0.1", b"a%20b", b"a:"])
def test_hosts(value: bytes) -> None:
    assert HOST.fullmatch(value)


@pytest.mark.parametrize(
    "value", [b"", b"a b", b"u@a", b"a/b", b"[::1", b"a:b", b"a:123456", b"a%2", b"\xff", b"a,b:c"]
)
def test_no_hosts(value: bytes) -> None:
    assert not HOST.fullmatch(value)


def test_tokens() -> None:
    assert tokens(b" Close ,, X-A,\t") == [b"close", b"x-a"]


@pytest.mark.parametrize(("data", "bare"), [(b"a\r\nb\r", False), (b"a\nb", True), (b"a\rb", True), (b"\n", True)])
def test_bare_line_ends(data: bytes, bare: bool) -> None:
    assert bool(BARE_LINE_END.search(data)) is bare
