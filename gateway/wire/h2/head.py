"""Heads of requests in HTTP/2: a header block in, a `RequestHead` out, or a `GatewayError`.

The rules are those of the parser of HTTP/1.1, by the same tables, because most endpoints get the request in HTTP/1.1:
what would be another request there, or two, is rejected here (RFC 9113 8.2 and 8.3, 10.3).
"""

from __future__ import annotations

from typing import Final, NoReturn

from gateway import errors
from gateway.core.forwarded import folded
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, HTTP_2, RequestHead
from gateway.errors import GatewayError, Reason
from gateway.wire.fields import (
    CLAIM,
    KEEP,
    NOT_SERVED,
    REQUEST_FIELDS,
    SINGLE,
    comparable_authority,
    content_length,
    kind_of_stranger,
    passes_as_trailer,
)
from gateway.wire.grammar import FIELD_BYTES, HOST, TARGET_BYTES, TOKEN_BYTES
from gateway.wire.h2.head_memory import HeadMemory
from gateway.wire.h2.hpack import Decoder, Entry
from gateway.wire.h2.huffman import HuffmanDecoder

_KNOWN: Final = 8
"""The gateway reads the field."""
_COOKIE: Final = 16

_PSEUDO_FIELDS: Final = 4
"""Of nearly all requests: one that opens a tunnel has one more, and room for one field less."""
_NAME_BYTES: Final = TOKEN_BYTES.translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""RFC 9113 8.2.2: a request with one of these is malformed."""
_COLON: Final = 0x3A
_SLASH: Final = 0x2F
_WEBSOCKET: Final = b"websocket"
_WITH_BODY: Final = frozenset({b"PATCH", b"POST", b"PUT"})
"""The methods whose requests have a body, be it empty."""
_NOT_IN_A_HANDSHAKE: Final = frozenset({b"content-type", b"sec-websocket-key"})


def _refuse(reason: Reason, details: str) -> NoReturn:
    raise GatewayError(reason, details)


class _Pseudo:
    """The pseudo-fields of a request (RFC 9113 8.3.1, RFC 8441 4)."""

    __slots__ = ("authority", "method", "path", "protocol", "scheme")

    def __init__(self) -> None:
        self.method: bytes | None = None
        self.scheme: bytes | None = None
        self.authority: bytes | None = None
        self.path: bytes | None = None
        self.protocol: bytes | None = None

    def take(self, entry: Entry) -> None:
        name, value = entry.name, entry.value
        if name == b":method" and self.method is None:
            self.method = value
        elif name == b":path" and self.path is None:
            self.path = value
        elif name == b":scheme" and self.scheme is None:
            self.scheme = value
        elif name == b":authority" and self.authority is None:
            self.authority = value
        elif name == b":protocol" and self.protocol is None:
            self.protocol = value
        else:
            _refuse(errors.BAD_REQUEST, "A pseudo-header field is not one of HTTP/2, or is repeated")


class HeadReader:
    """The header blocks of one connection."""

    __slots__ = ("_decoder", "_limits", "_memory", "_version")

    def __init__(self, huffman: HuffmanDecoder, limits: Limits) -> None:
        self._decoder = Decoder(huffman, limits.max_header_bytes, limits.max_headers + _PSEUDO_FIELDS)
        self._limits = limits
        self._version = 0
        self._memory: HeadMemory[RequestHead] = HeadMemory()

    def request(self, block: bytes, *, ended: bool) -> RequestHead:
        """``ended``: no body follows.

        Raises `GatewayError` as the parser of HTTP/1.1 does, for this request alone, and `H2Error` for a block that
        cannot be decoded, after which no other can.
        """
        memory = self._memory
        head = (memory.whole if ended else memory.unended).get(block)
        if head is not None:
            return head
        decoder = self._decoder
        entries = decoder.decode(block)
        if decoder.version != self._version:
            self._memory.forget()
            self._version = decoder.version
            return self._parsed(entries, ended=ended)
        head = self._parsed(entries, ended=ended)
        memory.keep(block, head, ended=ended)
        return head

    def trailers(self, block: bytes) -> list[bytes]:
        """The field lines of a trailer section that may travel on. Raises as `request`."""
        decoder = self._decoder
        entries = decoder.decode(block)
        if decoder.version != self._version:
            self._memory.forget()
            self._version = decoder.version
        if decoder.too_large or sum([entry.size for entry in entries]) > self._limits.max_trailer_bytes:
            _refuse(errors.BAD_FRAMING, "The trailers are too long")
        lines: list[bytes] = []
        for entry in entries:
            if entry.name[:1] == b":":
                _refuse(errors.BAD_REQUEST, "A pseudo-header field stands in the trailers")
            if entry.kind < 0:
                _check(entry)
            if passes_as_trailer(entry.name):
                lines.append(entry.line)
        return lines

    def skip(self, block: bytes) -> None:
        """Follow the table alone: the stream of ``block`` is refused, or gone. Raises `H2Error`."""
        self._decoder.decode(block)
        if self._decoder.version != self._version:
            self._memory.forget()
            self._version = self._decoder.version

    def _parsed(self, entries: list[Entry], *, ended: bool) -> RequestHead:
        limits = self._limits
        if self._decoder.too_large:
            details = f"The head exceeds {limits.max_header_bytes} bytes, or has more than {limits.max_headers} fields"
            _refuse(errors.HEADERS_TOO_LARGE, details)
        pseudo = _Pseudo()
        fields: list[bytes] = []
        claims: list[bytes] = []
        known = _sorted(entries, pseudo, fields, claims)
        method = pseudo.method
        if not method or method.translate(None, TOKEN_BYTES):
            _refuse(errors.BAD_REQUEST, "The method is missing, or not a token")
        if pseudo.protocol is not None:
            return _handshake(pseudo, fields, known, claims, limits)
        if method in NOT_SERVED:
            _refuse(errors.NOT_IMPLEMENTED, f"The gateway does not serve {method.decode()}")
        target = _target(method, pseudo, limits)
        _settle_host(pseudo, known)
        length = _length(known, limits, ended=ended)
        if ended and method in _WITH_BODY and b"content-length" not in known:
            # RFC 9110 8.6: END_STREAM says it in HTTP/2; without it servers of HTTP/1.1 reject the request with 411.
            fields.append(b"content-length: 0")
        return RequestHead(method, target, HTTP_2, fields, known, length, True, claims or None)


def _handshake(
    pseudo: _Pseudo, fields: list[bytes], known: dict[bytes, bytes], claims: list[bytes], limits: Limits
) -> RequestHead:
    """A CONNECT that names a protocol (RFC 8441 4): the GET that asks for the same in HTTP/1.1.

    So every rule for requests sees one form of a handshake. A key is dropped, because in HTTP/2 it means nothing
    (RFC 8441 5), and the endpoint gets one that the gateway can check. It has no body, because what follows is the
    tunnel's; with a Content-Type it could be taken for a call of gRPC, whose refusals are a 200.
    """
    protocol = pseudo.protocol
    if pseudo.method != b"CONNECT":
        _refuse(errors.BAD_REQUEST, "The pseudo-header field :protocol stands in a request other than CONNECT")
    if not protocol or protocol.translate(None, TOKEN_BYTES):
        _refuse(errors.BAD_REQUEST, "The pseudo-header field :protocol is not a token")
    if pseudo.authority is None:
        _refuse(errors.BAD_REQUEST, "The pseudo-header field :authority is missing")
    target = _target(b"GET", pseudo, limits)
    _settle_host(pseudo, known)
    if b"content-length" in known:
        _refuse(errors.BAD_REQUEST, "The request opens a tunnel, and has a Content-Length")
    if protocol.lower() != _WEBSOCKET:
        _refuse(errors.NOT_IMPLEMENTED, f"The gateway opens no tunnel for {protocol.decode()}, only for websocket")
    fields = [line for line in fields if folded(line[: line.find(b":")]) not in _NOT_IN_A_HANDSHAKE]
    known[b"upgrade"], known[b"connection"] = _WEBSOCKET, b"upgrade"
    return RequestHead(b"GET", target, HTTP_2, fields, known, 0, True, claims or None)


def _sorted(entries: list[Entry], pseudo: _Pseudo, fields: list[bytes], claims: list[bytes]) -> dict[bytes, bytes]:
    """Take ``entries`` apart: as `gateway.wire.h1.head` does with lines, and returns what that returns."""
    known: dict[bytes, bytes] = {}
    cookies: list[bytes] = []
    in_front = True
    for entry in entries:
        name = entry.name
        if name[:1] == b":":
            if not in_front:
                _refuse(errors.BAD_REQUEST, "A pseudo-header field follows another field")
            pseudo.take(entry)
            continue
        in_front = False
        kind = entry.kind
        if kind < 0:
            kind = _check(entry)
        if kind & KEEP:
            fields.append(entry.line)
        elif kind & CLAIM:
            claims.append(entry.line)
        if kind & _KNOWN:
            value = entry.value
            if name in known:
                if kind & SINGLE:
                    _refuse(errors.BAD_REQUEST, f"The header field {name.decode()} is repeated")
                value = known[name] + b", " + value
            known[name] = value
        elif kind & _COOKIE:
            cookies.append(entry.value)
    if cookies:  # RFC 9113 8.2.3: one field in HTTP/1.1, where several are none that all recipients read alike
        fields.append(b"cookie: " + b"; ".join(cookies))
    return known


def _check(entry: Entry) -> int:
    """The kind of the field, checked by itself (RFC 9113 8.2.1 and 8.2.2). Kept with the entry."""
    name, value = entry.name, entry.value
    if not name or name.translate(None, _NAME_BYTES):
        _refuse(errors.BAD_REQUEST, "The name of a header field is empty, or has a character that none may have")
    if value.translate(None, FIELD_BYTES) or value != value.strip(b" \t"):
        _refuse(errors.BAD_REQUEST, "The value of a header field has a control character, or white space at an end")
    if name in _OF_THE_CONNECTION:
        _refuse(errors.BAD_REQUEST, f"The header field {name.decode()} does not exist in HTTP/2")
    if name == b"te" and value.lower() != b"trailers":
        _refuse(errors.BAD_REQUEST, "The header field te has another value than trailers")
    if name == b"host" and not HOST.fullmatch(value):
        _refuse(errors.BAD_REQUEST, "Host is not a valid name or address with an optional port")
    listed = REQUEST_FIELDS.get(name)
    if listed is not None:
        kind = listed | _KNOWN
    elif name == b"cookie":
        kind = _COOKIE
    else:
        kind = kind_of_stranger(name)
    entry.line = b"%b: %b" % (name, value)
    entry.kind = kind
    return kind


def _target(method: bytes, pseudo: _Pseudo, limits: Limits) -> bytes:
    """RFC 9113 8.3.1: a path, or ``*`` with OPTIONS."""
    target = pseudo.path
    if target is None or pseudo.scheme is None:
        _refuse(errors.BAD_REQUEST, "The pseudo-header field :path or :scheme is missing")
    if len(target) > limits.max_uri:
        _refuse(errors.URI_TOO_LONG, f"The request target exceeds {limits.max_uri} bytes")
    if not target or target.translate(None, TARGET_BYTES):
        _refuse(errors.BAD_REQUEST, "The request target is empty, or holds a character that must be percent-encoded")
    if target[0] != _SLASH and not (target == b"*" and method == b"OPTIONS"):
        _refuse(errors.BAD_REQUEST, "The request target is not a path")
    if pseudo.scheme not in (b"http", b"https"):
        _refuse(errors.BAD_REQUEST, "The scheme is neither http nor https")
    return target


def _settle_host(pseudo: _Pseudo, known: dict[bytes, bytes]) -> None:
    """Of :authority and Host one is there, or both say the same."""
    authority, host, scheme = pseudo.authority, known.get(b"host"), pseudo.scheme
    if authority is None:
        if host is None:
            _refuse(errors.BAD_REQUEST, "The authority is missing")
        return
    if not HOST.fullmatch(authority):
        _refuse(errors.BAD_REQUEST, "The authority is not a valid name or address with an optional port")
    if host is not None and comparable_authority(authority, scheme or b"") != comparable_authority(host, scheme or b""):
        _refuse(errors.BAD_REQUEST, "The authority and Host differ")
    known[b"host"] = authority


def _length(known: dict[bytes, bytes], limits: Limits, *, ended: bool) -> int:
    """As in `RequestHead`: `CHUNKED` stands for a body whose length its head does not say."""
    if b"content-length" not in known:
        return 0 if ended else CHUNKED
    length = content_length(known[b"content-length"], errors.BAD_FRAMING)
    if ended and length:
        _refuse(errors.BAD_FRAMING, "Content-Length names a body that does not follow")
    if 0 < limits.max_body_bytes < length:
        _refuse(errors.BODY_TOO_LARGE, f"The request body exceeds {limits.max_body_bytes} bytes")
    return length
