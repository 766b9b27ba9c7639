"""What becomes of a request's header block: each refusal, each oddity that is taken, and the memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.attacks.streams import REJECTED

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, HTTP_2, RequestHead
from gateway.errors import GatewayError
from gateway.wire.h2.codes import H2Error
from gateway.wire.h2.encoder import field
from gateway.wire.h2.head import HeadReader
from gateway.wire.h2.huffman import HuffmanDecoder

HUFFMAN = HuffmanDecoder()
Fields = list[tuple[bytes, bytes]]
GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/x?y")]
CONNECT: Fields = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]


def block(fields: Fields) -> bytes:
    return b"".join(field(*pair) for pair in fields)


def but(**changes: bytes | None) -> Fields:
    """`GET` with other values of its pseudo-fields; None: without it."""
    wanted = {f":{name}".encode(): value for name, value in changes.items()}
    return [(name, value) for name, old in GET if (value := wanted.get(name, old)) is not None]


def request(fields: Fields, limits: Limits | None = None, *, ended: bool = True) -> RequestHead:
    return HeadReader(HUFFMAN, limits or Limits()).request(block(fields), ended=ended)


def test_a_request() -> None:
    head = request([*GET, (b"x-a", b"1"), (b"te", b"trailers"), (b"via", b"1.1 b"), (b"x-a", b"2")])
    assert (head.method, head.target, head.minor, head.length) == (b"GET", b"/x?y", HTTP_2, 0)
    assert head.fields == [b"x-a: 1", b"via: 1.1 b", b"x-a: 2"]
    assert head.known == {b"host": b"a", b"te": b"trailers", b"via": b"1.1 b"}
    assert head.claims is None


@pytest.mark.parametrize(("fields", "code"), REJECTED.values(), ids=REJECTED)
def test_refused(fields: Fields, code: str) -> None:
    for _ in range(2):
        reader = HeadReader(HUFFMAN, Limits())
        with pytest.raises(GatewayError) as caught:
            reader.request(block(fields), ended=True)
        assert caught.value.reason.code == code


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (replace(Limits(), max_uri=3), "uri_too_long"),
        (replace(Limits(), max_headers=1), "headers_too_large"),
        (replace(Limits(), max_header_bytes=200), "headers_too_large"),
        (replace(Limits(), max_body_bytes=4), "body_too_large"),
    ],
)
def test_limits(limits: Limits, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        request([*GET, (b"a", b"1"), (b"content-length", b"5")], limits, ended=False)
    assert caught.value.reason.code == code


def test_crumbs_of_a_cookie_are_joined() -> None:
    head = request([*GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2; c=3")])
    assert head.fields == [b"x: y", b"cookie: a=1; b=2; c=3"]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_a_method_with_a_body_that_is_empty_says_so(method: bytes) -> None:
    fields = but(method=method)
    assert request(fields).fields == [b"content-length: 0"]
    assert request([*fields, (b"content-length", b"0")]).fields == [b"content-length: 0"], "not twice"
    assert request(fields, ended=False).fields == [], "the body may follow"
    assert request(but(method=b"DELETE")).fields == []


def test_claims_and_spellings_as_in_http_1_1() -> None:
    head = request([*GET, (b"x-real-ip", b"1"), (b"x_real_ip", b"2"), (b"proxy", b"3"), (b"x-forwarded-for", b"4")])
    assert head.fields == []
    assert head.claims == [b"x-real-ip: 1"]
    assert head.known[b"x-forwarded-for"] == b"4"


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ([*GET, (b"host", b"A:443")], b"a"),
        ([*but(authority=None), (b"host", b"b:1")], b"b:1"),
        (but(authority=b"[::1]:8"), b"[::1]:8"),
    ],
)
def test_authorities(fields: Fields, host: bytes) -> None:
    assert request(fields).known[b"host"] == host


def test_a_tunnel_is_the_handshake_of_http_1_1() -> None:
    key = [(b"sec-websocket-key", b"k"), (b"sec_websocket_key", b"k"), (b"sec-websocket-version", b"13")]
    key.append((b"content-type", b"application/grpc"))
    for ended in (False, True):
        head = request([*CONNECT[:-1], (b":protocol", b"WebSocket"), *key], ended=ended)
        assert (head.method, head.target, head.minor, head.length) == (b"GET", b"/x?y", HTTP_2, 0)
        assert head.fields == [b"sec-websocket-version: 13"]
        assert head.known == {b"host": b"a", b"upgrade": b"websocket", b"connection": b"upgrade"}


def test_lengths() -> None:
    assert request(GET).length == 0
    assert request(GET, ended=False).length == CHUNKED
    assert request([*GET, (b"content-length", b"7")], ended=False).length == 7
    assert request([*GET, (b"content-length", b"0")]).length == 0
    assert request(but(method=b"OPTIONS", path=b"*")).target == b"*"


def test_an_equal_block_is_the_same_head_until_the_table_changes() -> None:
    reader = HeadReader(HUFFMAN, Limits())
    head = reader.request(block(GET), ended=True)
    assert reader.request(block(GET), ended=True) is head
    other = reader.request(block(GET), ended=False)
    assert other is not head
    assert reader.request(block(GET), ended=False) is other
    insertion = b"\x40\x01a\x01b"
    assert reader.request(block(GET) + insertion, ended=True).fields == [b"a: b"]
    assert reader.request(block(GET), ended=True) is not head
    indexed = reader.request(block(GET) + b"\xbe", ended=True)
    assert indexed.fields == [b"a: b"]
    assert reader.request(block(GET) + b"\xbe", ended=True) is indexed
    reader.skip(b"\x40\x01a\x01c")
    assert reader.request(block(GET) + b"\xbe", ended=True).fields == [b"a: c"]
    reader.skip(b"\x82")
    assert reader.trailers(b"\x40\x01a\x01d") == [b"a: d"]
    assert reader.request(block(GET) + b"\xbe", ended=True).fields == [b"a: d"]


def test_the_memory_of_heads_is_bounded() -> None:
    reader = HeadReader(HUFFMAN, Limits())
    for number in range(200):
        reader.request(block([*GET, (b"a", b"%d" % number)]), ended=True)
        assert len(reader._memory.whole) <= 16
    for number in range(10):
        reader.request(block([*GET, (b"a", b"%d" % number + b"x" * 900)]), ended=True)
        assert reader._memory._bytes <= 4096
    large = block([*GET, (b"a", b"x" * 5000)])
    assert reader.request(large, ended=True) is not reader.request(large, ended=True)


def test_what_is_refused_is_not_remembered() -> None:
    reader = HeadReader(HUFFMAN, Limits())
    for _ in range(2):
        with pytest.raises(GatewayError):
            reader.request(block([*GET, (b"a", b" 1")]), ended=True)


def test_trailers() -> None:
    reader = HeadReader(HUFFMAN, Limits())
    lines = reader.trailers(block([(b"grpc-status", b"0"), (b"content-length", b"5"), (b"x-forwarded-for", b"1")]))
    assert lines == [b"grpc-status: 0"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([(b":path", b"/")], "bad_request"),
        ([(b"A", b"1")], "bad_request"),
        ([(b"a", b"1\r\n")], "bad_request"),
        ([(b"connection", b"x")], "bad_request"),
        ([(b"a", b"x" * 8192)], "bad_framing"),
        ([(b"a", b"x")] * 200, "bad_framing"),
    ],
)
def test_refused_trailers(fields: Fields, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        HeadReader(HUFFMAN, Limits()).trailers(block(fields))
    assert caught.value.reason.code == code


def test_what_cannot_be_decoded() -> None:
    with pytest.raises(H2Error):
        HeadReader(HUFFMAN, Limits()).request(b"\xff\xff\xff\xff\xff\xff", ended=True)
