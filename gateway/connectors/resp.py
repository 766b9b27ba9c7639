"""RESP3, the protocol of Redis and Valkey: commands as arrays of strings, and replies that are read within a bound.

https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Final

from gateway.connectors.connector import TooLargeError

_LINE: Final = 64 * 1024
_DEEPEST: Final = 16
_OBJECT: Final = 32
"""Bytes of memory that each value of a reply takes besides its own."""
_CRLF: Final = b"\r\n"
_CONSTANTS: Final = {b"_": None, b"#t": True, b"#f": False}


class ReplyError(Exception):
    """The server rejects the command. ``code``: the first word of its error."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.code, _, self.message = line.partition(" ")


class ProtocolError(ConnectionError):
    """What came is no reply."""


class _Reading:
    """One reply, of which ``left`` bytes may still come."""

    def __init__(self, reader: asyncio.StreamReader, most: int) -> None:
        self._reader = reader
        self._left = most

    async def value(self, depth: int = 0) -> object:
        if depth > _DEEPEST:
            raise ProtocolError
        line = await self._line()
        if line in _CONSTANTS:
            return _CONSTANTS[line]
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode(errors="replace")
            case b"-":
                return ReplyError(rest.decode(errors="replace"))
            case b":":
                return _number(rest)
            case b"(":
                return _big(rest)
            case b",":
                return _double(rest)
            case b"$" | b"=" | b"!":
                return await self._bulk(kind, _number(rest))
            case b">" | b"|":  # what the server says besides the reply
                await self._aside(kind, _number(rest), depth)
                return await self.value(depth + 1)
            case b"*" | b"~":
                size = _number(rest)
                return None if size < 0 else [await self.value(depth + 1) for _ in range(size)]
            case b"%":
                pairs = [(await self.value(depth + 1), await self.value(depth + 1)) for _ in range(_number(rest))]
                return {_key(key): value for key, value in pairs}
        raise ProtocolError

    async def _aside(self, kind: bytes, size: int, depth: int) -> None:
        for _ in range(size * 2 if kind == b"|" else size):
            await self.value(depth + 1)

    async def _line(self) -> bytes:
        line = await self._reader.readuntil(_CRLF)
        self._take(len(line) + _OBJECT)
        return line[:-2]

    async def _bulk(self, kind: bytes, size: int) -> object:
        if size < 0:
            return None
        self._take(size)
        data = (await self._reader.readexactly(size + 2))[:-2]
        if kind == b"!":
            return ReplyError(data.decode(errors="replace"))
        return data[4:] if kind == b"=" else data  # a verbatim string begins with its format

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLargeError


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise ProtocolError from None


def _big(text: bytes) -> str:
    """A whole number of any size, as text."""
    digits = text.removeprefix(b"-").removeprefix(b"+")
    if not digits.isdigit():
        raise ProtocolError
    return text.decode()


def _double(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        raise ProtocolError from None


def _key(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


class RespConnection:
    """One connection. What is cut off in the middle of a reply may not be used again: ``usable`` is False then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._busy = False

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None) -> RespConnection:
        """Raises OSError."""
        return cls(*await asyncio.open_connection(host, port, ssl=tls, limit=_LINE))

    @property
    def usable(self) -> bool:
        """Whether the next reply would be that of the next command."""
        return not self._busy and not self._reader.at_eof() and not self._writer.is_closing()

    async def call(self, command: Iterable[str | bytes], most: int) -> object:
        """The reply: None, bool, int, float, bytes, words as text, lists and mappings; in a list a `ReplyError` too.

        ``most``: bytes of it in memory. Raises `ReplyError`, `TooLargeError`, OSError and EOFError.
        """
        parts = [part.encode() if isinstance(part, str) else part for part in command]
        self._busy = True
        self._writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in parts))
        try:
            await self._writer.drain()
            found = await _Reading(self._reader, most).value()
        except asyncio.LimitOverrunError:
            raise ProtocolError from None
        self._busy = False
        if isinstance(found, ReplyError):
            raise found
        return found

    def close(self) -> None:
        """At once."""
        self._writer.transport.abort()
