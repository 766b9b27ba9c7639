"""Chunked bodies: however they are split the decoder says the same, and what it accepts, llhttp accepts alike."""

from __future__ import annotations

import contextlib
import itertools

import httptools
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BAD_FRAMING, GatewayError
from gateway.wire.h1.chunked import LAST_CHUNK, ChunkedDecoder

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

pieces = st.one_of(st.binary(min_size=1, max_size=300), st.sampled_from([b"a", b"b", b"\r\n", b"0\r\n", b"x" * 16]))
runs = st.tuples(pieces, st.integers(1, 40)).map(lambda run: [run[0]] * run[1])
payloads = st.lists(st.one_of(pieces.map(lambda piece: [piece]), runs), max_size=6).map(
    lambda parts: [piece for some in parts for piece in some]
)
extensions = st.sampled_from([b"", b";a", b";a=b", b' ; a="b c"', b";a;b=1"])
splits = st.lists(st.integers(0, 2000), max_size=8)
noise = st.tuples(st.integers(0, 400), st.binary(max_size=3))


def encode(parts: list[bytes], extension: bytes) -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in parts) + b"0\r\n\r\n"


def decode(pieces: list[bytes]) -> tuple[bytes, bool, int]:
    """(payload, done, bytes consumed), or GatewayError."""
    decoder = ChunkedDecoder(BAD_FRAMING)
    payload, consumed = b"", 0
    for piece in pieces:
        if decoder.done or not piece:
            continue
        out: list[memoryview] = []
        consumed += decoder.feed(memoryview(piece), out)
        payload += b"".join(out)
    return payload, decoder.done, consumed


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(a, len(data)) for a in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]


class Told:
    """What llhttp makes of a request."""

    def __init__(self, body: bytes) -> None:
        self.body = b""
        self.done = False
        self.error = False
        try:
            httptools.HttpRequestParser(self).feed_data(HEAD + body)
        except httptools.HttpParserError:
            self.error = True

    def on_body(self, data: bytes) -> None:
        if not self.done:
            self.body += data

    def on_message_complete(self) -> None:
        self.done = True


@given(payloads, extensions, splits, st.binary(max_size=10))
def test_a_round_trip_however_it_is_split(parts: list[bytes], extension: bytes, at: list[int], rest: bytes) -> None:
    wire = encode(parts, extension)
    assert decode(cut(wire + rest, at)) == (b"".join(parts), True, len(wire))


@given(payloads, extensions)
def test_a_round_trip_byte_by_byte(parts: list[bytes], extension: bytes) -> None:
    wire = encode(parts, extension)
    assert decode([wire[i : i + 1] for i in range(len(wire))]) == (b"".join(parts), True, len(wire))


@given(payloads, extensions, splits)
def test_a_body_that_is_cut_is_not_done(parts: list[bytes], extension: bytes, at: list[int]) -> None:
    wire = encode(parts, extension)[:-1]
    assert not decode(cut(wire, at))[1]


@given(payloads, extensions, noise, splits)
def test_what_is_accepted_llhttp_accepts_alike(
    parts: list[bytes], extension: bytes, change: tuple[int, bytes], at: list[int]
) -> None:
    """Mutated bodies: we may be stricter than llhttp, and never read another body than it does."""
    wire = encode(parts, extension)
    where, what = change
    llhttp_reads_alike(wire[:where] + what + wire[where + len(what) :], at)


def llhttp_reads_alike(wire: bytes, at: list[int]) -> None:
    """However ``wire`` is split, also at ``at``."""
    try:
        payload, done, _ = decode([wire])
    except GatewayError:
        for pieces in (cut(wire, at), [wire[i : i + 1] for i in range(len(wire))]):
            with contextlib.suppress(GatewayError):
                assert not decode(pieces)[1]
        return
    assert decode(cut(wire, at))[:2] == (payload, done)
    if b" " in wire or b"\t" in wire:
        return  # RFC 9112 7.1.1 has white space in extensions parsed and ignored, as here; llhttp refuses it
    told = Told(wire)
    if done:
        assert told.done
        assert told.body == payload


@given(payloads, extensions, noise, st.booleans(), st.booleans())
def test_whole_chunks_agree_with_the_decoder(
    parts: list[bytes], extension: bytes, change: tuple[int, bytes], ended: bool, mutate: bool
) -> None:
    """What may travel on unread is what the decoder would have read to its last byte, and the same payload."""
    wire = encode(parts, extension)
    wire = wire if ended else wire[: -len(LAST_CHUNK)]
    if mutate:
        where, what = change
        wire = wire[:where] + what + wire[where + len(what) :]
    decoder = ChunkedDecoder(BAD_FRAMING)
    size = decoder.whole_chunks(wire)
    if size >= 0:
        payload, done, consumed = decode([wire])
        assert (size, decoder.done, consumed) == (len(payload), done, len(wire))
    else:
        small = any(len(part) < 32 for part in parts[:-1])
        assert mutate or extension or small or (len(parts[-1]) < 32 and not ended)
