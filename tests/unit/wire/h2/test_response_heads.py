"""What becomes of a response's header block: each refusal, each oddity that is taken, and the memory."""

from __future__ import annotations

import pytest
from harness.frames import Fields, block

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, HTTP_2, ResponseHead
from gateway.errors import UPSTREAM_BAD_RESPONSE, GatewayError
from gateway.wire.h2.codes import H2Error
from gateway.wire.h2.head import HeadReader
from gateway.wire.h2.hpack import STATIC
from gateway.wire.h2.huffman import HuffmanDecoder
from gateway.wire.h2.response_heads import ResponseHeads

HUFFMAN = HuffmanDecoder()
OK: Fields = [(b":status", b"200")]
LIMITS = Limits()


def response(fields: Fields, *, to_head: bool = False, ended: bool = False) -> ResponseHead:
    return ResponseHeads(HUFFMAN).response(block(fields), LIMITS, to_head=to_head, ended=ended)


def test_a_response() -> None:
    head = response(
        [*OK, (b"x-a", b"1"), (b"date", b"D"), (b"x-request-id", b"i"), (b"x-a", b"2"), (b"set-cookie", b"c")]
    )
    assert (head.status, head.reason, head.minor, head.length) == (200, b"OK", HTTP_2, CHUNKED)
    assert head.fields == [b"x-a: 1", b"date: D", b"x-a: 2", b"set-cookie: c"]
    assert head.known == {b"date": b"D", b"x-request-id": b"i"}
    assert response([(b":status", b"799")]).reason == b""


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="nothing"),
        pytest.param([(b"a", b"1")], id="no status"),
        pytest.param([(b"a", b"1"), *OK], id="late status"),
        pytest.param([(b"proxy-authenticate", b"1"), *OK], id="late status behind a field that is dropped"),
        pytest.param([*OK, *OK], id="two"),
        pytest.param([(b":status", b"20")], id="two digits"),
        pytest.param([(b":status", b"2000")], id="four digits"),
        pytest.param([(b":status", b"099")], id="below 100"),
        pytest.param([(b":status", b"2 0")], id="no number"),
        pytest.param([(b":status", "²00".encode())], id="no ASCII"),
        pytest.param([(b":path", b"/")], id="another pseudo-field"),
        pytest.param([*OK, (b"X-a", b"1")], id="upper case"),
        pytest.param([*OK, (b"", b"1")], id="empty name"),
        pytest.param([*OK, (b"a b", b"1")], id="blank in a name"),
        pytest.param([*OK, (b"a:b", b"1")], id="colon in a name"),
        pytest.param([*OK, (b"a", b"1\r\nb: 2")], id="CRLF"),
        pytest.param([*OK, (b"a", b"1\x00")], id="NUL"),
        pytest.param([*OK, (b"a", b" 1")], id="leading blank"),
        *[
            pytest.param([*OK, (name, b"x")], id=name.decode())
            for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
        ],
        pytest.param([*OK, (b"content-length", b"1"), (b"content-length", b"1")], id="two lengths"),
        pytest.param([*OK, (b"content-length", b"-1")], id="negative length"),
        pytest.param([*OK, (b"content-length", b"")], id="empty length"),
    ],
)
def test_malformed(fields: Fields) -> None:
    with pytest.raises(GatewayError) as caught:
        response(fields)
    assert caught.value.reason is UPSTREAM_BAD_RESPONSE


@pytest.mark.parametrize(
    ("status", "length", "to_head", "ended", "expected"),
    [
        (200, None, False, False, CHUNKED),
        (200, None, False, True, CHUNKED),
        (200, b"5", False, False, 5),
        (200, b"0", False, True, 0),
        (200, b"5", False, True, "malformed"),
        (200, b"5", True, True, 0),
        (200, None, True, False, 0),
        (204, None, False, True, 0),
        (304, b"5", False, True, 0),
        (103, None, False, False, 0),
    ],
)
def test_lengths(status: int, length: bytes | None, to_head: bool, ended: bool, expected: int | str) -> None:
    fields: Fields = [(b":status", b"%d" % status)]
    if length is not None:
        fields.append((b"content-length", length))
    if expected == "malformed":
        with pytest.raises(GatewayError):
            response(fields, to_head=to_head, ended=ended)
    else:
        assert response(fields, to_head=to_head, ended=ended).length == expected


def test_trailers() -> None:
    heads = ResponseHeads(HUFFMAN)
    lines = heads.trailers(block([(b"grpc-status", b"0"), (b"content-length", b"5"), (b"x", b"1")]), LIMITS)
    assert lines == [b"grpc-status: 0", b"x: 1"]
    for bad in ([(b":status", b"200")], [(b"a b", b"1")], [(b"a", b"x" * (LIMITS.max_trailer_bytes + 1))]):
        with pytest.raises(GatewayError):
            heads.trailers(block(bad), LIMITS)


def test_the_bound_of_each_request_applies() -> None:
    heads = ResponseHeads(HUFFMAN)
    raw = block([*OK, *[(b"x-%d" % number, b"v" * 60) for number in range(10)]])
    with pytest.raises(GatewayError, match="exceeds 500 bytes"):
        heads.response(raw, Limits(max_response_header_bytes=500), to_head=False, ended=True)
    assert len(heads.response(raw, LIMITS, to_head=False, ended=True).fields) == 10


def test_what_cannot_be_decoded_ends_the_connection() -> None:
    with pytest.raises(H2Error):
        ResponseHeads(HUFFMAN).response(b"\xff\xff\xff\xff\xff", LIMITS, to_head=False, ended=True)


INSERT = b"\x40\x01a\x011"
"""``a: 1``, into the table."""


def test_equal_blocks_are_one_head_until_the_table_changes() -> None:
    heads = ResponseHeads(HUFFMAN)
    raw = block([*OK, (b"x", b"1")])

    def read(*, to_head: bool = False, ended: bool = False) -> ResponseHead:
        return heads.response(raw, LIMITS, to_head=to_head, ended=ended)

    first = read()
    assert read() is first
    assert read(ended=True) is not first
    assert read(to_head=True) is not first
    heads.skip(INSERT)
    assert read() is not first


@pytest.mark.parametrize("changes", ["skip", "head", "trailers", "malformed", "too large"])
def test_an_index_means_what_the_table_says_now(changes: str) -> None:
    """The memory may change the cost and never the result."""
    heads = ResponseHeads(HUFFMAN)
    heads.skip(INSERT)
    newest = b"\x88\xbe"

    def read() -> list[bytes]:
        return heads.response(newest, LIMITS, to_head=False, ended=True).fields

    assert read() == read() == [b"a: 1"]
    other = b"\x40\x01b\x012"
    if changes == "skip":
        heads.skip(other)
    elif changes == "head":
        heads.response(b"\x88" + other, LIMITS, to_head=True, ended=True)
    elif changes == "trailers":
        heads.trailers(other, LIMITS)
    elif changes == "malformed":
        with pytest.raises(GatewayError):
            heads.response(other, LIMITS, to_head=False, ended=True)
    else:
        with pytest.raises(GatewayError):
            heads.response(b"\x88" + other, Limits(max_response_header_bytes=40), to_head=False, ended=True)
    assert read() == [b"b: 2"]


def test_the_memory_has_a_bound() -> None:
    heads = ResponseHeads(HUFFMAN)
    for number in range(100):
        heads.response(block([*OK, (b"x", b"%d" % number)]), LIMITS, to_head=False, ended=True)
    assert len(heads._memory.whole) <= 16
    large = block([*OK, (b"x", b"v" * 5000)])
    assert heads.response(large, LIMITS, to_head=False, ended=True) is not heads.response(
        large, LIMITS, to_head=False, ended=True
    )


def test_what_requests_learn_of_the_static_table_is_not_for_responses() -> None:
    expect = next(index for index, entry in enumerate(STATIC) if entry.name == b"expect")
    requests = HeadReader(HUFFMAN, LIMITS)
    head = requests.request(
        block([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")])
        + bytes((0x80 | expect,)),
        ended=True,
    )
    assert head.fields == []
    found = ResponseHeads(HUFFMAN).response(b"\x88" + bytes((0x80 | expect,)), LIMITS, to_head=False, ended=True)
    assert found.fields == [b"expect: "]
