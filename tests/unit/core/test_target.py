from __future__ import annotations

import pytest

from gateway.core.target import join, path_of


@pytest.mark.parametrize(
    ("base", "target", "strip", "joined"),
    [
        (b"", b"/-/openai/v1/chat?model=gpt-4", 9, b"/v1/chat?model=gpt-4"),
        (b"/v1", b"/-/openai/chat", 9, b"/v1/chat"),
        (b"", b"/-/openai", 9, b"/"),
        (b"", b"/-/openai?a", 9, b"/?a"),
        (b"/v1", b"/-/openai", 9, b"/v1"),
        (b"/v1", b"/-/openai/", 9, b"/v1/"),
        (b"", b"/-/local/api", 0, b"/-/local/api"),
        (b"http://h:1", b"/x", 0, b"http://h:1/x"),
        (b"", b"/a%2Fb/../c//d?x=%zz", 0, b"/a%2Fb/../c//d?x=%zz"),
    ],
)
def test_join(base: bytes, target: bytes, strip: int, joined: bytes) -> None:
    assert join(base, target, strip) == joined


def test_path_of() -> None:
    assert path_of(b"/a?b?c") == b"/a"
    assert path_of(b"/a") == b"/a"
