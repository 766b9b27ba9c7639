"""What the connections of one event loop remember together."""

from __future__ import annotations

from gateway.wire.h2.encoder import Encoder
from gateway.wire.h2.huffman import HuffmanDecoder


class Shared:
    """What the connections of one event loop have in common: memories that change the cost and never the result."""

    __slots__ = ("encoder", "huffman")

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.huffman = HuffmanDecoder()
