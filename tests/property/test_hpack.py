"""Header blocks: what the one encodes the other decodes, and both read the same in any bytes."""

from __future__ import annotations

import hpack
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.h2.codes import H2Error
from gateway.wire.h2.encoder import NO_TABLE, field
from gateway.wire.h2.hpack import Decoder
from gateway.wire.h2.huffman import HuffmanDecoder

HUFFMAN = HuffmanDecoder()
"""Has seen every string of this file, as that of a long-lived process has."""

names = st.sampled_from([b":path", b":method", b"cookie", b"accept", b"x-a", b"x-b", b"date"]) | st.binary(
    min_size=1, max_size=8
)
values = st.sampled_from([b"", b"GET", b"/", b"gzip, deflate", b"a" * 200]) | st.binary(max_size=40)
heads = st.lists(st.tuples(names, values), max_size=12)
sizes = st.sampled_from([None, None, None, 0, 60, 200, 4096])


def decoder() -> Decoder:
    return Decoder(HUFFMAN, 1 << 20, 1000)


@given(st.lists(st.tuples(heads, sizes, st.booleans()), max_size=12))
def test_blocks_of_hpack_with_a_table_that_changes(messages: list[tuple[list[tuple[bytes, bytes]], int, bool]]) -> None:
    encoder, ours = hpack.Encoder(), decoder()
    for head, size, huffman in messages:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(head, huffman=huffman)
        assert [(entry.name, entry.value) for entry in ours.decode(block)] == head
        assert len(ours._table) == len(encoder.header_table.dynamic_entries)


@given(st.lists(heads, max_size=4))
def test_what_we_encode(messages: list[list[tuple[bytes, bytes]]]) -> None:
    theirs, ours = hpack.Decoder(), decoder()
    for head in messages:
        block = NO_TABLE + b"".join(field(*pair) for pair in head)
        assert [tuple(pair) for pair in theirs.decode(block, raw=True)] == head
        assert [(entry.name, entry.value) for entry in ours.decode(block)] == head


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_any_bytes_are_read_alike(blocks: list[bytes]) -> None:
    read_alike(blocks)


def read_alike(blocks: list[bytes]) -> None:
    """hpack allows integers of any length, and empty names; nothing else may differ."""
    theirs, ours = hpack.Decoder(max_header_list_size=1 << 20), decoder()
    for block in blocks:
        try:
            read: object = [(entry.name, entry.value) for entry in ours.decode(block)]
        except H2Error as error:
            read = error
        try:
            wanted: object = [tuple(pair) for pair in theirs.decode(block, raw=True)]
        except hpack.HPACKError:
            wanted = None
        if isinstance(read, H2Error):
            assert wanted is None or "too large" in read.details or "larger than" in read.details
            return
        assert read == wanted
