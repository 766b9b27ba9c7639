"""Fields to header blocks (RFC 7541), without a dynamic table.

So the same field is the same bytes on every connection: a line is encoded once and remembered. nginx does the same. It
costs a response of nine fields 120 bytes more, and no state that a peer could blow up or read from.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message import OutgoingRequest, ResponseHead
from gateway.wire.h2.hpack import STATIC
from gateway.wire.h2.huffman import huffman_encoded, huffman_size
from gateway.wire.http_date import DATE

NO_TABLE: Final = b"\x20"
"""Begins the first block of a connection: the table is empty from now on (RFC 7541 4.2). A peer that allows less than
the default size waits for it."""

_EXACT: Final = {(entry.name, entry.value): index for index, entry in enumerate(STATIC) if entry.value}
_NAMES: Final = {STATIC[index].name: index for index in range(len(STATIC) - 1, 0, -1)}
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"http2-settings"}
)
"""RFC 9113 8.2.2: these do not exist in HTTP/2."""
_SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
"""RFC 7541 7.1.3: no hop may put these into a table. Nor are they remembered here."""
_NOT_IN_A_TUNNEL: Final = frozenset({b"content-length", b"sec-websocket-accept"})
_UNIQUE: Final = frozenset({b"x-request-id", b"server-timing"})
"""Each value is another one: it is sent as it is, and not remembered."""
_MAX_REMEMBERED: Final = 2048
_MAX_REMEMBERED_LINE: Final = 256
_REQUEST_ID: Final = b"X-Request-Id: "
_NO_INDEX: Final = 0x00
_NEVER_INDEXED: Final = 0x10


def _integer(value: int, mask: int, flags: int) -> bytes:
    """RFC 7541 5.1; ``mask``: of the prefix."""
    if value < mask:
        return bytes((flags | value,))
    out = bytearray((flags | mask,))
    value -= mask
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _plain(text: bytes) -> bytes:
    return _integer(len(text), 0x7F, 0) + text


def _string(text: bytes) -> bytes:
    size = huffman_size(text)
    return _integer(size, 0x7F, 0x80) + huffman_encoded(text) if size < len(text) else _plain(text)


_REQUEST_ID_NAME: Final = b"\x00" + _string(b"x-request-id")
_TRAILERS: Final = b"\x00" + _string(b"te") + _string(b"trailers")
"""RFC 9113 8.2.2: the one value that TE may have."""


def field(name: bytes, value: bytes) -> bytes:
    """A field in the notation of a block; ``name`` is lower-case."""
    index = _EXACT.get((name, value))
    if index is not None:
        return bytes((0x80 | index,))
    flags = _NEVER_INDEXED if name in _SECRET else _NO_INDEX
    index = _NAMES.get(name, 0)
    start = _integer(index, 0x0F, flags) if index else bytes((flags,)) + _string(name)
    return start + (_plain(value) if name in _UNIQUE else _string(value))


class Encoder:
    """For all connections of one event loop."""

    __slots__ = ("_lines", "_statuses")

    def __init__(self) -> None:
        self._lines: dict[bytes, bytes] = {}
        self._statuses: dict[int, bytes] = {}

    def status(self, status: int) -> bytes:
        known = self._statuses.get(status)
        if known is None:
            known = self._statuses[status] = field(b":status", b"%d" % status)
        return known

    def line(self, line: bytes) -> bytes:
        """Of a field line of HTTP/1.1, without CRLF; empty for a field that HTTP/2 does not have."""
        known = self._lines.get(line)
        if known is None:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name in _HOP_BY_HOP:
                return b""
            known = field(name, value.strip(b" \t"))
            if len(line) <= _MAX_REMEMBERED_LINE and name not in _SECRET and name not in _UNIQUE:
                if len(self._lines) >= _MAX_REMEMBERED:
                    self._lines.clear()
                self._lines[line] = known
        return known

    def lines(self, lines: bytes) -> bytes:
        """Of field lines, each ended by CRLF."""
        if lines.startswith(_REQUEST_ID) and lines.find(b"\r\n") == len(lines) - 2:
            return _REQUEST_ID_NAME + _plain(
                lines[len(_REQUEST_ID) : -2]
            )  # what each response has, and most have alone
        return b"".join([self.line(line) for line in lines.split(b"\r\n") if line])

    def request(self, request: OutgoingRequest, scheme: bytes) -> bytes:
        """The head of ``request``, which goes to one endpoint alone, so that ``scheme`` is always the same."""
        block = request.block
        if block is None:
            block = request.block = b"".join(
                [
                    field(b":method", request.method),
                    field(b":scheme", scheme),
                    field(b":authority", request.authority),
                    field(b":path", request.target),
                    self.lines(request.fields),
                    _TRAILERS if request.takes_trailers else b"",
                ]
            )
        return block

    def response(self, response: ResponseHead) -> bytes:
        """What every client gets of the head of ``response``."""
        block = response.block
        if block is not None:
            return block
        fields = response.fields
        if response.status == 204:  # RFC 9110 8.6: no Content-Length in a 204
            fields = [line for line in fields if line[:15].lower() != b"content-length:"]
        block = self.status(response.status) + b"".join([self.line(line) for line in fields])
        if b"date" not in response.known:  # RFC 9110 6.6.1: a recipient with a clock adds it
            return block + self.lines(DATE.line())
        response.block = block
        return block

    def switched(self, response: ResponseHead) -> bytes:
        """The head of a 200 that begins a tunnel, for the 101 of an endpoint (RFC 8441 5)."""
        # RFC 9110 9.3.6: no Content-Length. The key that was accepted is none of the caller's.
        fields = [line for line in response.fields if line[: line.find(b":")].lower() not in _NOT_IN_A_TUNNEL]
        return self.response(ResponseHead(200, b"", response.minor, fields, response.known, 0, True))

    def interim(self, response: ResponseHead) -> bytes:
        """The head of a 1xx (RFC 9110 15.2)."""
        return self.status(response.status) + b"".join([self.line(line) for line in response.fields])

    def own(self, status: int, lines: bytes, length: int) -> bytes:
        """The head of a local response (the gateway's own) with a body of ``length`` bytes."""
        return b"%b%b%b%b" % (
            self.status(status),
            self.lines(DATE.line()),
            self.lines(lines),
            field(b"content-length", b"%d" % length),
        )
