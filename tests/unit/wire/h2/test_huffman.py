from __future__ import annotations

import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from gateway.wire.h2.codes import H2Error
from gateway.wire.h2.huffman import HuffmanDecoder, huffman_encoded, huffman_size


def packed(*codes: tuple[int, int]) -> bytes:
    digits = "".join(f"{code:0{bits}b}" for code, bits in codes if bits)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


@pytest.mark.parametrize("byte", range(256))
def test_each_code_is_that_of_the_rfc(byte: int) -> None:
    bits = REQUEST_CODES_LENGTH[byte]
    pad = -bits % 8
    assert huffman_encoded(bytes([byte])) == packed((REQUEST_CODES[byte], bits), (2**pad - 1, pad))


@pytest.mark.parametrize("text", [b"", b"www.example.com", b"no-cache", bytes(range(256)), b"\xff" * 300])
def test_there_and_back(text: bytes) -> None:
    decoder = HuffmanDecoder()
    encoded = huffman_encoded(text)
    assert len(encoded) == huffman_size(text)
    assert decoder.decode(encoded) == decoder.decode(encoded) == text


def test_the_example_of_the_rfc() -> None:
    """RFC 7541 C.4.1."""
    assert huffman_encoded(b"www.example.com").hex() == "f1e3c2e5f23a6ba0ab90f4ff"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "not padded"),  # eight ones of padding
        (b"\x1f\xff\xff", "not padded"),
        (b"\x18", "not padded"),  # "0" is 00000, then zeros
        (packed((REQUEST_CODES[256], 30), (3, 2)), "stands in it"),
    ],
)
def test_what_the_code_does_not_allow(data: bytes, why: str) -> None:
    with pytest.raises(H2Error, match=why):
        HuffmanDecoder().decode(data)


def test_the_memory_of_strings_is_bounded() -> None:
    decoder = HuffmanDecoder()
    for number in range(5000):
        decoder.decode(huffman_encoded(b"%d" % number))
    assert decoder.decode(huffman_encoded(b"17")) == b"17"
    assert len(decoder._seen) <= 2048
