"""HTTP/1.1 as the load tests speak it: heads, framing, and one protocol for each side.

It does as little as it can, because what clients and origin cost is missing to the gateway on a small machine. So each
side has one request at a time on a connection, and what is no HTTP is not noticed.
"""

from __future__ import annotations

import asyncio
from typing import cast

END = b"\r\n\r\n"
"""Of a head."""
LAST = b"0\r\n\r\n"
"""The chunk that ends a body."""


def request(target: str, host: str, *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """``fields`` as in ``Accept: */*``; a POST has a Content-Length, also when it is empty."""
    length = [f"Content-Length: {len(body)}"] if method == "POST" else []
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *length, *fields, "", ""]).encode() + body


def head(status: bytes, content_type: bytes, framing: bytes) -> bytes:
    """The head of a response; ``status`` with its phrase, ``framing`` as a whole field."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%b\r\n\r\n" % (status, content_type, framing)


def response(body: bytes, status: bytes = b"200 OK", content_type: bytes = b"text/plain") -> bytes:
    return head(status, content_type, b"Content-Length: %d" % len(body)) + body


def chunk(data: bytes) -> bytes:
    """Of a body in chunks; an empty one is `LAST`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def number(head: bytes, name: bytes, default: int = 0) -> int:
    """The value of the field ``name``, which is lower case. Raises ValueError when it is no whole number."""
    _, found, rest = head.lower().partition(b"\r\n" + name + b":")
    return int(rest.partition(b"\r\n")[0]) if found else default


def whole(data: bytes) -> bool:
    """Whether it is a complete response: by its Content-Length, or the last chunk."""
    head, found, body = data.partition(END)
    if not found:
        return False
    length = number(head, b"content-length", -1)
    return len(body) >= length if length >= 0 else (b"\r\n" + body).endswith(b"\r\n" + LAST)


class _Side(asyncio.Protocol):
    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self.opened()

    def opened(self) -> None:
        """The connection is there."""


class Asking(_Side):
    """The client's side of one connection: `answered` gets each whole response, ``body`` with its framing."""

    def data_received(self, data: bytes) -> None:
        self._data += data
        if whole(self._data):
            head, _, body = self._data.partition(END)
            self._data = b""
            self.answered(head, body)

    def answered(self, head: bytes, body: bytes) -> None:
        raise NotImplementedError


class Answering(_Side):
    """The server's side of one connection: `asked` gets each request's target. Requests have no body."""

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._data.endswith(END):
            target, self._data = self._data.split(b" ", 2)[1], b""
            self.asked(target)

    def asked(self, target: bytes) -> None:
        raise NotImplementedError
