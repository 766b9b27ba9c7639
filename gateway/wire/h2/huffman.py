"""The Huffman code of HPACK (RFC 7541 5.2, appendix B)."""

from __future__ import annotations

from array import array
from typing import Final

from gateway.wire.h2.codes import COMPRESSION_ERROR, H2Error

_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
"""Bits of the code of each byte, and of the end of a string (256). The code is canonical: it follows from these."""
_END: Final = 256
_KNOWN: Final = 1 << 28
_MAX_SEEN: Final = 2048
_MAX_SEEN_STRING: Final = 128


def _codes() -> list[int]:
    codes = [0] * len(_LENGTHS)
    code = bits = 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - bits
        bits = _LENGTHS[symbol]
        codes[symbol] = code
        code += 1
    return codes


_DIGITS: Final = [f"{code:0{_LENGTHS[symbol]}b}" for symbol, code in enumerate(_codes())]


def huffman_encoded(text: bytes) -> bytes:
    """``text`` in the code, padded by ones."""
    digits = "".join([_DIGITS[byte] for byte in text])
    digits += "1" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big") if digits else b""


def huffman_size(text: bytes) -> int:
    """Bytes of ``text`` in the code."""
    bits = 0
    for byte in text:
        bits += _LENGTHS[byte]
    return (bits + 7) // 8


class HuffmanDecoder:
    """Decodes a byte at a time. A step, from a node of the tree by a byte to another node, is worked out when it is
    first needed, and kept: at most 256 nodes times 256 bytes, 256 KiB.
    """

    __slots__ = ("_final", "_left", "_right", "_seen", "_steps")

    def __init__(self) -> None:
        self._left = [0]
        """The node after a zero; ~symbol where the code of a symbol ends."""
        self._right = [0]
        for symbol, code in enumerate(_codes()):
            self._plant(symbol, code, _LENGTHS[symbol])
        self._steps = array("I", bytes(4 * 256 * len(self._left)))
        """By node and byte: `_KNOWN`, the next node (8 bits), how many symbols (2 bits), the symbols (8 bits each)."""
        self._seen: dict[bytes, bytes] = {}
        """Clients repeat their strings. The memory changes the cost and never the result."""
        self._final = {0}
        """Nodes in which a string may end: less than 8 ones after a symbol."""
        node = 0
        for _ in range(7):
            node = self._right[node]
            self._final.add(node)

    def _plant(self, symbol: int, code: int, bits: int) -> None:
        node = 0
        for shift in range(bits - 1, 0, -1):
            branch = self._right if code >> shift & 1 else self._left
            if not branch[node]:
                self._left.append(0)
                self._right.append(0)
                branch[node] = len(self._left) - 1
            node = branch[node]
        (self._right if code & 1 else self._left)[node] = ~symbol

    def decode(self, data: bytes) -> bytes:
        """Raises `H2Error` for what the code does not allow (RFC 7541 5.2)."""
        known = self._seen.get(data)
        if known is not None:
            return known
        node, steps, out = 0, self._steps, bytearray()
        for byte in data:
            step = steps[node << 8 | byte] or self._learn(node, byte)
            symbols = step >> 16 & 3
            if symbols:
                out.append(step & 0xFF)
                if symbols == 2:
                    out.append(step >> 8 & 0xFF)
            node = step >> 18 & 0xFF
        if node not in self._final:
            raise H2Error(COMPRESSION_ERROR, "a string is not padded by ones")
        text = bytes(out)
        if len(data) <= _MAX_SEEN_STRING:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen[data] = text
        return text

    def _learn(self, start: int, byte: int) -> int:
        node, count, symbols = start, 0, 0
        for shift in range(7, -1, -1):
            node = self._right[node] if byte >> shift & 1 else self._left[node]
            if node < 0:
                symbol = ~node
                if symbol == _END:
                    raise H2Error(COMPRESSION_ERROR, "the end of a string stands in it")
                symbols |= symbol << 8 * count
                count += 1
                node = 0
        step = _KNOWN | node << 18 | count << 16 | symbols
        self._steps[start << 8 | byte] = step
        return step
