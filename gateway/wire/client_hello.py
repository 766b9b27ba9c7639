"""What a TLS ClientHello asks for, read before OpenSSL sees it: the server name, and the protocols of ALPN.

So that each name has a context of its own. Python's ``sni_callback`` changes the context too late: the rule whether a
client certificate is required stays that of the first context, and a session of one name is resumed under another
(CVE-2025-23419).
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_HELLO: Final = 65536
"""Bytes of a ClientHello, its record headers included. OpenSSL takes up to 131,396; real ones have below 4,096."""

_CLIENT_HELLO: Final = 1
_FIRST: Final = b"\x16\x03"
"""The beginning of each record: a handshake, of any version from SSL 3 on."""
_RECORD: Final = 16384
_SERVER_NAME: Final = 0
_ALPN: Final = 16


class ClientHello(NamedTuple):
    server_name: bytes
    """Lower-case, without a trailing dot; empty: the client sent none."""
    protocols: tuple[bytes, ...]
    """Of ALPN (RFC 7301), in the client's order; empty: the client sent no such extension."""


NO_HELLO: Final = ClientHello(b"", ())


class NotTlsError(ValueError):
    """The bytes are no ClientHello."""


class HelloReader:
    """Takes the bytes of a connection until its ClientHello is complete. It looks at each byte once: a hello in single
    bytes, or in records of one, costs no more than any other."""

    __slots__ = ("_at", "_message", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        """All that came, for OpenSSL."""
        self._at = 0
        """Where the next record begins."""
        self._message = bytearray()
        """The handshake message, joined from its records."""

    def feed(self, piece: bytes | memoryview) -> ClientHello | None:
        """The ClientHello; None: more bytes are needed.

        Raises `NotTlsError` (RFC 8446 4.1.2, 5.1; RFC 6066 3; RFC 7301 3.1).
        """
        self.data += piece
        while not self._complete():
            if not self._take_record():
                if len(self.data) >= MAX_HELLO:
                    raise NotTlsError("the ClientHello is too long")
                return None
        try:
            return _parsed(bytes(self._message[4 : 4 + _length(self._message)]))
        except IndexError:
            raise NotTlsError("the ClientHello is cut short") from None

    def _complete(self) -> bool:
        message = self._message
        if message and message[0] != _CLIENT_HELLO:
            raise NotTlsError("not a ClientHello")
        return len(message) >= 4 and len(message) >= 4 + _length(message)

    def _take_record(self) -> bool:
        """Add the next record to the message; False: it is not complete."""
        header = self.data[self._at : self._at + 5]
        if not _FIRST.startswith(header[:2]):
            raise NotTlsError("not a TLS handshake")
        if len(header) < 5:
            return False
        start, size = self._at + 5, _number(header, 3)
        if not 0 < size <= _RECORD:
            raise NotTlsError("a record of a size that TLS does not allow")
        if len(self.data) < start + size:
            return False
        self._message += self.data[start : start + size]
        self._at = start + size
        return True


def _length(message: bytearray) -> int:
    """Of the body, as the head of the handshake message has it."""
    return int.from_bytes(message[1:4], "big")


def _parsed(body: bytes) -> ClientHello:
    at = 34  # version and random
    at += 1 + body[at]  # session id
    at += 2 + _number(body, at)  # cipher suites
    at += 1 + body[at]  # compression methods
    if at == len(body):
        return NO_HELLO
    end = at + 2 + _number(body, at)
    if end != len(body):
        raise NotTlsError("the extensions do not fill the ClientHello")
    at += 2
    name = b""
    protocols: tuple[bytes, ...] = ()
    seen: set[int] = set()
    while at < end:
        kind, size = _number(body, at), _number(body, at + 2)
        at += 4
        if at + size > end or kind in seen:
            raise NotTlsError("an extension that is too long, or stands twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _server_name(body[at : at + size])
        elif kind == _ALPN:
            protocols = _protocols(body[at : at + size])
        at += size
    return ClientHello(name, protocols)


def _number(data: bytes | bytearray, at: int) -> int:
    """Two bytes. Raises IndexError where they are not there."""
    return data[at] << 8 | data[at + 1]


def _server_name(data: bytes) -> bytes:
    """RFC 6066 3: a list with at most one name of each type; only type 0, a host name, exists."""
    if _number(data, 0) != len(data) - 2 or len(data) < 5 or data[2] != 0 or _number(data, 3) != len(data) - 5:
        raise NotTlsError("a malformed server name")
    return data[5:].lower().removesuffix(b".")


def _protocols(data: bytes) -> tuple[bytes, ...]:
    if _number(data, 0) != len(data) - 2:
        raise NotTlsError("a malformed list of protocols")
    found = []
    at = 2
    while at < len(data):
        size = data[at]
        if not size or at + 1 + size > len(data):
            raise NotTlsError("a malformed list of protocols")
        found.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return tuple(found)
