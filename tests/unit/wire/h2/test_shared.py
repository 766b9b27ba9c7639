from __future__ import annotations

from gateway.wire.h2.shared import Shared


def test_memories_are_of_one_owner() -> None:
    one, two = Shared(), Shared()
    assert one.encoder is not two.encoder
    assert one.huffman is not two.huffman
