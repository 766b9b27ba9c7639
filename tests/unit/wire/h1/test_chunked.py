"""The chunked decoder's refusals and bounds, and the trailers; tests/property has the rest."""

from __future__ import annotations

import pytest

from gateway.errors import BAD_FRAMING, GatewayError
from gateway.wire.h1.chunked import ChunkedDecoder, last_chunk


def decode(*pieces: bytes) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder(BAD_FRAMING)
    out: list[memoryview] = []
    for piece in pieces:
        decoder.feed(memoryview(piece), out)
    return b"".join(out), decoder


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1_0\r\n",
        b"f" * 16 + b"\r\n",
        b"1\nx\r\n",
        b"1\r\nxy",
        b"1\r\nx\n",
        b"1\r\nx\rX\r\n",
        b"1;\r\nx\r\n",
        b"1;a=\r\nx\r\n",
        b'1;a="\r\nx\r\n',
        b"1;a=b\x00\r\n",
        b"1;" + b"a" * 300,
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n X: 1\r\n\r\n",
        b"0\r\nX: \x00\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\nX: " + b"a" * 9000,
        b"0\r\n" + b"X: 1\r\n" * 2000,
        b"1;a=bcdefghijklmnopqrstuvwxyz\r\nx\r\n" * 700,
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body)
    assert caught.value.reason is BAD_FRAMING


def test_a_size_split_between_cr_and_lf() -> None:
    payload, decoder = decode(b"3\r", b"\nabc\r", b"\n0\r\n\r", b"\n")
    assert (payload, decoder.done) == (b"abc", True)


def test_more_than_a_line_end_after_a_chunk_is_refused_when_it_comes_in_pieces() -> None:
    with pytest.raises(GatewayError, match="longer than its size"):
        decode(b"1\r\nx\r", b"X\r\n")


def test_trailers_travel_on_but_not_those_that_frame_route_or_authenticate() -> None:
    """RFC 9110 6.5.1."""
    _, decoder = decode(b"0\r\nX-Sum: 1\r\ncontent-length: 5\r\nHost: b\r\nAuthorization: x\r\nX-Other: 2\r\n\r\n")
    assert decoder.done
    assert decoder.trailers == [b"X-Sum: 1", b"X-Other: 2"]
    assert last_chunk(decoder.trailers) == b"0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"
    assert last_chunk([]) == b"0\r\n\r\n"


def test_bytes_behind_the_end_are_left_alone() -> None:
    decoder = ChunkedDecoder(BAD_FRAMING)
    out: list[memoryview] = []
    assert decoder.feed(memoryview(b"1\r\nx\r\n0\r\n\r\nGET"), out) == 11
    assert decoder.done


@pytest.mark.parametrize(
    ("data", "size", "done"),
    [
        (b"3\r\nabc\r\n", 3, False),
        (b"3\r\nabc\r\n1\r\nx\r\n", -1, False),
        (b"20\r\n%b\r\n1\r\nx\r\n" % (b"a" * 32), 33, False),
        (b"0\r\n\r\n0\r\n\r\n", -1, False),
        (b"3\r\nabc\r\n0\r\n\r\n0\r\n\r\n", -1, False),
        (b"0\r\n\r\n", 0, True),
        (b"3\r\nabc\r\n0\r\n\r\n", 3, True),
        (b"", 0, False),
        (b"3\r\nabc\r", -1, False),
        (b"3;a\r\nabc\r\n", -1, False),
        (b"3\r\nabcd\r\n", -1, False),
        (b"3\r\nabc\r\n1\r\n", -1, False),
        (b"0\r\nX: 1\r\n\r\n", -1, False),
        (b"0\r\n\r\nGET", -1, False),
        (b"000000003\r\nabc\r\n", -1, False),
    ],
)
def test_whole_chunks(data: bytes, size: int, done: bool) -> None:
    decoder = ChunkedDecoder(BAD_FRAMING)
    assert (decoder.whole_chunks(data), decoder.done) == (size, done)


def test_there_are_no_whole_chunks_in_the_middle_of_one() -> None:
    for begun in (b"9\r\nabc", b"9", b"0\r\n"):
        assert decode(begun)[1].whole_chunks(b"3\r\nabc\r\n") == -1


@pytest.mark.parametrize("line", [b"1", b"01", b"0001", b"a", b"A", b"0F"])
def test_many_small_chunks_become_few_pieces(line: bytes) -> None:
    """What a peer sends in pieces of a byte travels on in larger ones: its cost is not handed on."""
    size = int(line, 16)
    chunks = [bytes([65 + number % 26]) * size for number in range(2000)]
    decoder = ChunkedDecoder(BAD_FRAMING)
    out: list[memoryview] = []
    wire = b"".join(b"%b\r\n%b\r\n" % (line, data) for data in chunks)
    assert decoder.feed(memoryview(wire), out) == len(wire)
    assert b"".join(out) == b"".join(chunks)
    assert len(out) < 50
    assert decoder.whole_chunks(wire) == -1


def test_a_run_of_chunks_ends_where_one_differs() -> None:
    wire = b"1\r\na\r\n" * 5 + b"2\r\nbc\r\n" * 2 + b"1\r\nd\r\n" * 3 + b"1\r\nee\r\n"
    with pytest.raises(GatewayError, match="longer than its size"):
        decode(wire)
    assert decode(wire[:-7] + b"0\r\n\r\n")[0] == b"aaaaabcbcddd"


def test_the_trailer_section_has_a_limit() -> None:
    decoder = ChunkedDecoder(BAD_FRAMING, 100)
    with pytest.raises(GatewayError, match="trailers are too long"):
        decoder.feed(memoryview(b"0\r\n" + b"X: 45678901\r\n" * 8), [])
