"""Heads in HTTP/2: what is accepted is the same request in HTTP/1.1, whatever the fields hold."""

from __future__ import annotations

from harness.frames import block
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.proxy.rewrite import RequestRewrite
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.serialize import request_head
from gateway.wire.h2.head import HeadReader
from gateway.wire.h2.huffman import HuffmanDecoder

HUFFMAN, PARSER, LIMITS = HuffmanDecoder(), HeadParser(), Limits()
PEER = Peer("192.0.2.1", 1, b"http", lambda address: False)

odd = st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"#", b"HTTP/1.1", b"Host: b", b"\xff", b"a"])
poison = st.lists(odd, max_size=4).map(b"".join)


def mostly(*good: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, 7).flatmap(lambda die: st.sampled_from(good) if die else poison)


methods = mostly(b"GET", b"POST", b"HEAD", b"OPTIONS")
paths = mostly(b"/", b"/a?b=%20", b"//b/;c", b"*", b"/%0d%0aHost:%20b")
authorities = mostly(b"a", b"a:80", b"[::1]", b"a", b"a")
schemes = mostly(b"http", b"https")
pseudo = st.lists(
    st.one_of(
        st.tuples(st.just(b":method"), methods),
        st.tuples(st.just(b":path"), paths),
        st.tuples(st.just(b":authority"), authorities),
        st.tuples(st.just(b":scheme"), schemes),
    ),
    max_size=1,
)
names = mostly(
    b"accept", b"cookie", b"host", b"content-length", b"te", b"connection", b"x-a", b"x_b", b"expect", b"via"
)
values = mostly(b"a", b"5", b"0", b"trailers", b"a, b", b"")
fields = st.lists(st.tuples(names, values), max_size=4)
starts = st.builds(
    lambda m, s, a, p, more: [(b":method", m), (b":scheme", s), (b":authority", a), (b":path", p), *more],
    methods,
    schemes,
    authorities,
    paths,
    pseudo,
)


def read(head: list[tuple[bytes, bytes]], *, ended: bool) -> RequestHead | None:
    try:
        return HeadReader(HUFFMAN, LIMITS).request(block(head), ended=ended)
    except GatewayError:
        return None


@given(starts, fields, st.booleans())
def test_what_is_accepted_http_1_1_reads_alike(
    start: list[tuple[bytes, bytes]], more: list[tuple[bytes, bytes]], ended: bool
) -> None:
    head = read(start + more, ended=ended)
    if head is None:
        return
    sent = RequestRewrite(None, []).request(head, PEER)
    again = PARSER.request(request_head(sent).removesuffix(b"\r\n"), LIMITS)
    assert (again.method, again.target, again.length) == (head.method, head.target, head.length)
    assert again.known[b"host"] == head.known[b"host"]
    assert (b"transfer-encoding" in again.known) is (head.length == CHUNKED)
    assert [line for line in again.fields if line in head.fields] == head.fields


@given(starts, fields, st.booleans())
def test_the_memory_never_changes_a_verdict(
    start: list[tuple[bytes, bytes]], more: list[tuple[bytes, bytes]], ended: bool
) -> None:
    reader = HeadReader(HUFFMAN, LIMITS)
    found: list[object] = []
    for _ in range(3):
        try:
            head = reader.request(block(start + more), ended=ended)
            found.append((head.method, head.target, head.fields, head.known, head.length))
        except GatewayError as error:
            found.append(error.reason)
    assert found[0] == found[1] == found[2]
