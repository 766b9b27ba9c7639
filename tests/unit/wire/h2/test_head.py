"""What becomes of a request's header block: each refusal, each oddity that is taken, and the memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

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


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param([*GET, (b"X-a", b"1")], "bad_request", id="upper case"),
        pytest.param([*GET, (b"", b"1")], "bad_request", id="CVE-2019-9516 empty name"),
        pytest.param([*GET, (b"a:b", b"1")], "bad_request", id="colon in a name"),
        pytest.param([*GET, (b"a b", b"1")], "bad_request", id="blank in a name"),
        pytest.param([*GET, (b"a\r\nb", b"1")], "bad_request", id="CRLF in a name"),
        pytest.param([*GET, (b"a", b"1\r\nb: 2")], "bad_request", id="CVE-2025-57804 CRLF in a value"),
        pytest.param([*GET, (b"a", b"1\n")], "bad_request", id="LF in a value"),
        pytest.param([*GET, (b"a", b"1\r")], "bad_request", id="CR in a value"),
        pytest.param([*GET, (b"a", b"1\x00")], "bad_request", id="NUL in a value"),
        pytest.param([*GET, (b"a", b" 1")], "bad_request", id="leading blank"),
        pytest.param([*GET, (b"a", b"1\t")], "bad_request", id="trailing tab"),
        pytest.param([*GET, (b"connection", b"close")], "bad_request", id="connection"),
        pytest.param([*GET, (b"keep-alive", b"1")], "bad_request", id="keep-alive"),
        pytest.param([*GET, (b"proxy-connection", b"close")], "bad_request", id="proxy-connection"),
        pytest.param([*GET, (b"transfer-encoding", b"chunked")], "bad_request", id="CVE-2021-33193 transfer-encoding"),
        pytest.param([*GET, (b"upgrade", b"h2c")], "bad_request", id="CVE-2021-21295 upgrade"),
        pytest.param([*GET, (b"te", b"trailers, gzip")], "bad_request", id="te"),
        pytest.param([*GET, (b":method", b"GET")], "bad_request", id="repeated :method"),
        pytest.param([*GET, (b":path", b"/")], "bad_request", id="repeated :path"),
        pytest.param([*GET, (b":scheme", b"http")], "bad_request", id="repeated :scheme"),
        pytest.param([*GET, (b":authority", b"a")], "bad_request", id="repeated :authority"),
        pytest.param([*GET, (b":status", b"200")], "bad_request", id="pseudo-field of a response"),
        pytest.param([*GET, (b":protocol", b"websocket")], "bad_request", id="unknown pseudo-field"),
        pytest.param([*GET[:3], (b"a", b"1"), GET[3]], "bad_request", id="late pseudo-field"),
        pytest.param(but(method=None), "bad_request", id="no :method"),
        pytest.param(but(scheme=None), "bad_request", id="no :scheme"),
        pytest.param(but(path=None), "bad_request", id="no :path"),
        pytest.param(but(path=b""), "bad_request", id="empty :path"),
        pytest.param(but(method=b""), "bad_request", id="empty :method"),
        pytest.param(but(method=b"GET /admin HTTP/1.1\r\nx:"), "bad_request", id="CVE-2021-33193 :method"),
        pytest.param(but(method=b"G T"), "bad_request", id="CVE-2021-39240 blank in :method"),
        pytest.param(but(path=b"/a b"), "bad_request", id="blank in :path"),
        pytest.param(but(path=b"/ HTTP/1.1\r\nx: y"), "bad_request", id="CRLF in :path"),
        pytest.param(but(path=b"/a#b"), "bad_request", id="CVE-2023-45539 # in :path"),
        pytest.param(but(path=b"/\x01"), "bad_request", id="control character in :path"),
        pytest.param(but(path=b"/\xff"), "bad_request", id="no US-ASCII in :path"),
        pytest.param(but(path=b"a"), "bad_request", id=":path without slash"),
        pytest.param(but(path=b"http://b/"), "bad_request", id="absolute :path"),
        pytest.param(but(path=b"*"), "bad_request", id="* without OPTIONS"),
        pytest.param(but(scheme=b"ftp"), "bad_request", id="odd :scheme"),
        pytest.param(but(scheme=b"http://b/?"), "bad_request", id="CVE-2021-39241 :scheme"),
        pytest.param(but(authority=None), "bad_request", id="no authority"),
        pytest.param(but(authority=b""), "bad_request", id="empty :authority"),
        pytest.param(but(authority=b"u@a"), "bad_request", id="userinfo"),
        pytest.param(but(authority=b"a/b"), "bad_request", id="path in :authority"),
        pytest.param(but(authority=b"a b"), "bad_request", id="blank in :authority"),
        pytest.param([*GET, (b"host", b"b")], "bad_request", id="CVE-2021-39242 Host differs"),
        pytest.param([*GET, (b"host", b"a"), (b"host", b"a")], "bad_request", id="repeated host"),
        pytest.param([*but(authority=None), (b"host", b"u@a")], "bad_request", id="userinfo in host"),
        pytest.param([*GET, (b"content-length", b"0"), (b"content-length", b"0")], "bad_request", id="two lengths"),
        pytest.param([*GET, (b"content-length", b"+1")], "bad_framing", id="signed length"),
        pytest.param([*GET, (b"content-length", b"0x1")], "bad_framing", id="hex length"),
        pytest.param([*GET, (b"content-length", b"")], "bad_framing", id="CVE-2023-40225 empty length"),
        pytest.param([*GET, (b"content-length", b"1, 1")], "bad_framing", id="list of lengths"),
        pytest.param([*GET, (b"content-length", b"5")], "bad_framing", id="CVE-2021-21409 length without a body"),
        pytest.param([(b":method", b"CONNECT"), (b":authority", b"a:1")], "not_implemented", id="CONNECT"),
        pytest.param(but(method=b"TRACE"), "not_implemented", id="TRACE"),
        pytest.param([*GET, (b":protocol", b"websocket")], "bad_request", id="a protocol without CONNECT"),
        pytest.param([*CONNECT, (b":protocol", b"websocket")], "bad_request", id="two protocols"),
        pytest.param([*CONNECT[:-1], (b":protocol", b"")], "bad_request", id="empty protocol"),
        pytest.param([*CONNECT[:-1], (b":protocol", b"a b")], "bad_request", id="protocol that is no token"),
        pytest.param([*CONNECT[:-1], (b":protocol", b"connect-udp")], "not_implemented", id="another protocol"),
        pytest.param([*CONNECT[:1], *CONNECT[2:]], "bad_request", id="a tunnel without scheme"),
        pytest.param([*CONNECT[:2], *CONNECT[3:], (b"host", b"a")], "bad_request", id="a tunnel without authority"),
        pytest.param([*CONNECT[:3], *CONNECT[4:]], "bad_request", id="a tunnel without path"),
        pytest.param([*CONNECT[:3], (b":path", b"*"), *CONNECT[4:]], "bad_request", id="a tunnel to *"),
        pytest.param([*CONNECT, (b"content-length", b"0")], "bad_request", id="a tunnel with a length"),
        pytest.param([*CONNECT, (b"upgrade", b"websocket")], "bad_request", id="a tunnel with Upgrade"),
    ],
)
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
