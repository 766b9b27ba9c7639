"""Heads of responses in HTTP/2: a header block in, a `ResponseHead` out, or a `GatewayError`.

What RFC 9113 8.1.1 calls malformed is rejected, because a caller in HTTP/1.1 could read it as another response, or two.
"""

from __future__ import annotations

import http
from typing import Final, NoReturn

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, HTTP_2, ResponseHead
from gateway.errors import GatewayError
from gateway.wire.fields import KEEP, RESPONSE_FIELDS, SINGLE, content_length, passes_as_trailer
from gateway.wire.grammar import FIELD_BYTES, TOKEN_BYTES
from gateway.wire.h2.head_memory import HeadMemory
from gateway.wire.h2.hpack import Decoder, Entry, static_table
from gateway.wire.h2.huffman import HuffmanDecoder

_KNOWN: Final = 8
"""The gateway reads the field."""
_MAX_FIELDS: Final = 65536
"""The bound of the bytes is the narrower one: each field counts 32 at least."""
_NAME_BYTES: Final = TOKEN_BYTES.translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te"}
)
"""RFC 9113 8.2.2: a response with one of these is malformed."""
_PHRASES: Final = {status.value: status.phrase.encode() for status in http.HTTPStatus}
_STATIC: Final = static_table()
"""As responses have it."""


def _refuse(details: str) -> NoReturn:
    raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, details)


class ResponseHeads:
    """The header blocks that come on one connection."""

    __slots__ = ("_decoder", "_memory")

    def __init__(self, huffman: HuffmanDecoder) -> None:
        self._decoder = Decoder(huffman, 0, _MAX_FIELDS, _STATIC)
        self._memory: HeadMemory[ResponseHead] = HeadMemory()

    def response(self, block: bytes, limits: Limits, *, to_head: bool, ended: bool) -> ResponseHead:
        """``to_head``: it responds to HEAD. ``ended``: nothing follows.

        Raises `GatewayError` ``upstream_bad_response`` for this response alone, and `H2Error` for a block that cannot
        be decoded, after which no other can.
        """
        memory = self._memory
        if not to_head:
            head = (memory.whole if ended else memory.unended).get(block)
            if head is not None:
                return head
        version = self._decoder.version
        entries = self._decode(block, limits.max_response_header_bytes)
        head = _parsed(entries, to_head=to_head, ended=ended)
        if not to_head and version == self._decoder.version:
            memory.keep(block, head, ended=ended)
        return head

    def trailers(self, block: bytes, limits: Limits) -> list[bytes]:
        """The field lines of a trailer section that may travel on. Raises as `response`."""
        entries = self._decode(block, limits.max_trailer_bytes)
        lines: list[bytes] = []
        for entry in entries:
            if entry.name[:1] == b":":
                _refuse("A pseudo-header field stands in the trailers of the response")
            if entry.kind < 0:
                _check(entry)
            if passes_as_trailer(entry.name):
                lines.append(entry.line)
        return lines

    def skip(self, block: bytes) -> None:
        """Follow the table alone: the stream of ``block`` is gone. Raises `H2Error`."""
        self._decode(block, 0, needed=False)

    def _decode(self, block: bytes, most: int, *, needed: bool = True) -> list[Entry]:
        decoder = self._decoder
        version = decoder.version
        decoder.max_size = most
        entries = decoder.decode(block)
        if version != decoder.version:
            self._memory.forget()
        if decoder.too_large and needed:
            _refuse(f"A header section of the response exceeds {most} bytes")
        return entries


def _parsed(entries: list[Entry], *, to_head: bool, ended: bool) -> ResponseHead:
    status = 0
    fields: list[bytes] = []
    known: dict[bytes, bytes] = {}
    for entry in entries:
        name = entry.name
        if name[:1] == b":":
            if status or fields or known:
                _refuse("A pseudo-header field of the response is repeated, or follows another field")
            status = _status(entry)
            continue
        kind = entry.kind
        if kind < 0:
            kind = _check(entry)
        if kind & KEEP:
            fields.append(entry.line)
        if kind & _KNOWN:
            value = entry.value
            if name in known:
                if kind & SINGLE:
                    _refuse(f"The header field {name.decode()} of the response is repeated")
                value = known[name] + b", " + value
            known[name] = value
    if not status:
        _refuse("The response has no status, or not in front of all other fields")
    length = _length(status, known, to_head=to_head, ended=ended)
    return ResponseHead(status, _PHRASES.get(status, b""), HTTP_2, fields, known, length, True)


def _status(entry: Entry) -> int:
    value = entry.value
    if entry.name != b":status" or len(value) != 3 or not value.isdigit() or value < b"100":
        _refuse("A pseudo-header field of the response is not a status of three digits")
    return int(value)


def _check(entry: Entry) -> int:
    """The kind of the field, checked by itself (RFC 9113 8.2.1 and 8.2.2). Kept with the entry."""
    name, value = entry.name, entry.value
    if not name or name.translate(None, _NAME_BYTES):
        _refuse("The name of a header field of the response is empty, or has a character that none may have")
    if value.translate(None, FIELD_BYTES) or value != value.strip(b" \t"):
        _refuse("The value of a header field of the response has a control character, or white space at an end")
    if name in _OF_THE_CONNECTION:
        _refuse(f"The header field {name.decode()} of the response does not exist in HTTP/2")
    listed = RESPONSE_FIELDS.get(name)
    kind = KEEP if listed is None else listed | _KNOWN
    entry.line = b"%b: %b" % (name, value)
    entry.kind = kind
    return kind


def _length(status: int, known: dict[bytes, bytes], *, to_head: bool, ended: bool) -> int:
    """As in `ResponseHead`: `CHUNKED` stands for a body whose length the head does not say, be it empty."""
    length = CHUNKED
    if b"content-length" in known:
        length = content_length(known[b"content-length"], errors.UPSTREAM_BAD_RESPONSE)
    if to_head or status < 200 or status in (204, 304):  # RFC 9110 6.4.1: no body, whatever the fields say
        return 0
    if ended and length > 0:
        _refuse("Content-Length of the response names a body that does not follow")
    return length
