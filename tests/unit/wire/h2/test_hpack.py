"""Header blocks: the examples of RFC 7541, each refusal, and the bounds."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.wire.h2.codes import COMPRESSION_ERROR, H2Error
from gateway.wire.h2.hpack import STATIC, STATIC_LENGTH, Decoder
from gateway.wire.h2.huffman import HuffmanDecoder

HUFFMAN = HuffmanDecoder()
CUSTOM = b"\x40\x0acustom-key\x0dcustom-header"


def decoder(max_size: int = 65536, max_fields: int = 100) -> Decoder:
    return Decoder(HUFFMAN, max_size, max_fields)


def fields(made: Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(entry.name, entry.value) for entry in made.decode(block)]


def test_the_static_table_is_that_of_the_rfc() -> None:
    from hpack.table import HeaderTable

    assert tuple((entry.name, entry.value) for entry in STATIC[1:]) == HeaderTable.STATIC_TABLE
    assert STATIC_LENGTH == 61


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (CUSTOM, (b"custom-key", b"custom-header")),  # C.2.1
        (b"\x04\x0c/sample/path", (b":path", b"/sample/path")),  # C.2.2
        (b"\x10\x08password\x06secret", (b"password", b"secret")),  # C.2.3
        (b"\x82", (b":method", b"GET")),  # C.2.4
    ],
)
def test_single_fields(block: bytes, field: tuple[bytes, bytes]) -> None:
    assert fields(decoder(), block) == [field]


def test_requests_with_huffman_code() -> None:
    """C.4.1 to C.4.3."""
    made = decoder()
    first = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
    assert fields(made, bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    assert fields(made, bytes.fromhex("828684be5886a8eb10649cbf")) == [*first, (b"cache-control", b"no-cache")]
    assert fields(made, bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")) == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ]


def test_the_table_drops_its_oldest_fields() -> None:
    made = decoder()
    made.decode(b"\x3f\x35")  # 84 bytes: room for one of the two
    made.decode(CUSTOM + b"\x40\x01a\x01b")
    assert fields(made, b"\xbe") == [(b"a", b"b")]
    with pytest.raises(H2Error, match="no entry"):
        made.decode(b"\xbf")


def test_a_field_larger_than_the_table_empties_it() -> None:
    made = decoder()
    made.decode(CUSTOM)
    made.decode(b"\x40\x01a\x7f\x81\x1f" + b"x" * 4096)
    with pytest.raises(H2Error, match="no entry"):
        made.decode(b"\xbe")


def test_the_version_changes_with_the_table_alone() -> None:
    made = decoder()
    made.decode(b"\x82\x10\x01a\x01b\x00\x01a\x01b")
    assert made.version == 0
    made.decode(CUSTOM)
    before = made.version
    made.decode(b"\xbe")
    assert made.version == before > 0
    made.decode(b"\x20\x82")
    assert made.version > before


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x80", "no entry"),
        (b"\xbe", "no entry"),
        (b"\xff\x00", "no entry"),
        (b"\x7e\x00", "no entry"),
        (b"\x7f\x80\x80\x80\x80\x80", "cut off or too large"),
        (b"\xff\x80", "cut off or too large"),
        (b"\x40\x01a", "missing"),
        (b"\x40", "missing"),
        (b"\x40\x05ab", "cut off"),
        (b"\x40\x01a\x7f", "cut off or too large"),
        (b"\x40\x01a\x81\xff", "padded"),
        (b"\x82\x20", "behind a field"),
        (b"\x3f\xe2\x1f", "larger than it may be"),
        (b"\x20\x20\x20", "larger than it may be"),
        (b"\x3f", "cut off or too large"),
    ],
)
def test_refusals(block: bytes, why: str) -> None:
    with pytest.raises(H2Error, match=why) as caught:
        decoder().decode(block)
    assert caught.value.code == COMPRESSION_ERROR


@pytest.mark.parametrize("made", [decoder(max_fields=3), decoder(max_size=4 * 34)])
def test_beyond_the_bounds_the_table_stays_right(made: Decoder) -> None:
    block = b"\x00\x01a\x01b" * 5 + b"\x0f\x0f\x01b" + b"\x00\x01a\x01b" + CUSTOM + b"\x82"
    assert made.decode(block) == []
    assert made.too_large
    assert fields(made, b"\xbe") == [(b"custom-key", b"custom-header")]
    assert not made.too_large


@pytest.mark.parametrize("block", [b"\x00\x01a\x05b", b"\x00\x05a", b"\x0f", b"\x00"])
def test_what_is_skipped_is_still_framed(block: bytes) -> None:
    with pytest.raises(H2Error, match=r"cut off|missing"):
        decoder(max_fields=0).decode(b"\x82" + block)


@pytest.mark.timeout(30)
def test_cve_2016_6581_and_cve_2026_49975_a_bomb_of_references_takes_no_memory() -> None:
    made = decoder(max_size=32768, max_fields=128)
    made.decode(b"\x40\x01a\x7f\xa0\x1e" + b"x" * 3999)
    bomb = b"\xbe" * 65536
    tracemalloc.start()
    assert made.decode(bomb) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.too_large
    assert peak < 65536
