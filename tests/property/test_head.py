"""Heads: what the parser accepts, llhttp and h11 read alike; what it remembers never changes a verdict."""

from __future__ import annotations

import h11
import httptools
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead
from gateway.errors import UPSTREAM_BAD_RESPONSE, GatewayError
from gateway.wire.h1.head import HeadParser

LIMITS = Limits()
USED = HeadParser()
"""Sees every head of this file, as the parser of a long-lived process does."""

names = st.sampled_from(
    [b"Host", b"X-A", b"content-length", b"Transfer-Encoding", b"Connection", b"Accept", b"X_B", b"TE", b"Cookie"]
)
values = st.sampled_from(
    [b"a", b"a:1", b"0", b"5", b"+5", b"5, 5", b"chunked", b"gzip, chunked", b"close", b"X-A", b"", b"\t x \t", b"\xff"]
)
lines = st.tuples(names, st.sampled_from([b":", b": ", b" : ", b":\t"]), values).map(b"".join)
targets = st.sampled_from([b"/", b"/a%2Fb/../c//d?x=%zz", b"http://a/x", b"http://a", b"*", b"a:1", b"/a#b", b"/\xff"])
methods = st.sampled_from([b"GET", b"POST", b"OPTIONS", b"HEAD", b"DELETE", b"get"])
versions = st.sampled_from([b"HTTP/1.1"] * 4 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1"])
heads = st.builds(
    lambda m, t, v, ls: b"%b %b %b\r\nHost: a\r\n%b" % (m, t, v, b"".join(line + b"\r\n" for line in ls)),
    methods,
    targets,
    versions,
    st.lists(lines, max_size=4),
)
mutations = st.lists(st.tuples(st.integers(0, 120), st.binary(min_size=1, max_size=2)), max_size=1)


def parse(parser: HeadParser, raw: bytes) -> RequestHead | str:
    try:
        return parser.request(raw.removesuffix(b"\r\n"), LIMITS)
    except GatewayError as error:
        return error.reason.code


def mutate(raw: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for where, what in changes:
        raw = raw[:where] + what + raw[where + len(what) :]
    return raw


class Llhttp:
    def __init__(self, raw: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.error = ""
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(raw.removesuffix(b"\r\n") + b"\r\n\r\n")
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            self.error = str(error)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


@given(heads, mutations)
def test_what_is_accepted_others_read_alike(raw: bytes, changes: list[tuple[int, bytes]]) -> None:
    others_read_alike(mutate(raw, changes))


def others_read_alike(raw: bytes) -> None:
    head = parse(HeadParser(), raw)
    seen_before = parse(USED, raw)
    if isinstance(head, str):
        assert seen_before == head
        return
    assert isinstance(seen_before, RequestHead)
    assert (seen_before.fields, seen_before.known, seen_before.length) == (head.fields, head.known, head.length)
    told = Llhttp(raw)
    if "method" not in told.error:  # llhttp knows a fixed list of methods, RFC 9110 9.1 does not
        assert not told.error, "llhttp refuses what we accept"
        assert told.method == head.method
        # Host may stand in an absolute-form target alone.
        assert head.known.keys() - {b"host"} <= {name.lower() for name, _ in told.headers}
        kept = {line.partition(b":")[0] for line in head.fields}
        assert kept <= {name for name, _ in told.headers}
    if head.minor and not any(byte > 0x7F for byte in raw):
        agree_with_h11(raw, head)


def agree_with_h11(raw: bytes, head: RequestHead) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw.removesuffix(b"\r\n") + b"\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == head.method
    framing = {name: value for name, value in event.headers if name in (b"content-length", b"transfer-encoding")}
    if head.length == CHUNKED:
        assert framing == {b"transfer-encoding": b"chunked"}
    else:
        assert int(framing.get(b"content-length", b"0")) == head.length


@given(st.binary(max_size=200))
def test_only_our_error_escapes(raw: bytes) -> None:
    parse(USED, raw)
    try:
        USED.response(raw, to_head=False)
    except GatewayError as error:
        assert error.reason is UPSTREAM_BAD_RESPONSE  # noqa: PT017 - any other exception fails the test too


statuses = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 404 No", b"HTTP/1.1 204 ", b"HTTP/1.1 999 X", b"HTTP/1.1 200"]
)


@given(statuses, st.lists(lines, max_size=4), mutations)
def test_an_accepted_answer_llhttp_accepts(
    status: bytes, fields: list[bytes], changes: list[tuple[int, bytes]]
) -> None:
    llhttp_accepts(mutate(status + b"\r\n" + b"".join(line + b"\r\n" for line in fields), changes))


def llhttp_accepts(raw: bytes) -> None:
    try:
        head = HeadParser().response(raw.removesuffix(b"\r\n"), to_head=False)
    except GatewayError:
        return

    class Quiet: ...

    parser = httptools.HttpResponseParser(Quiet())
    try:
        parser.feed_data(raw.removesuffix(b"\r\n") + b"\r\n\r\n")
    except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
        assert "Upgrade" in repr(error)  # noqa: PT017 - it stops there; any other error is a refusal
    assert parser.get_status_code() == head.status
