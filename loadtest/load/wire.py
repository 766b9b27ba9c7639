"""The HTTP client of the load: a socket, as little work as possible, and every way in which clients misbehave.

It runs inside locust, where gevent makes the blocking calls of `socket` give way to other users. locust's own
`FastHttpUser` costs several times as much CPU for a request, which on a small machine is the gateway's.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import http1

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST (socket(7))."""


class LateError(Exception):
    """The answer was not whole in the client's time."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    length: int
    """Bytes of the body, its framing included."""

    def number(self, name: bytes, default: int) -> int:
        """A field's value; ``name`` is lower case."""
        return http1.number(self.head, name, default)


class Wire:
    """A keep-alive connection to ``port`` that is opened when it is needed. Raises OSError and `LateError`."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self._port = port
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None
        self.deadline = 0.0
        """By the monotonic clock, for all that follows."""

    def ask(self, path: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request and its whole answer."""
        self.send(path, method, body)
        return self.answer()

    def send(self, path: str, method: str = "GET", body: bytes = b"") -> None:
        self.push(http1.request(path, "load.test", method=method, body=body))

    def push(self, data: bytes) -> None:
        """Send bytes of any kind."""
        sock = self._connected()
        try:
            sock.settimeout(self._left())
            sock.sendall(data)
        except TimeoutError:
            self.close()
            raise LateError from None
        except OSError:
            self.close()
            raise

    def answer(self) -> Answer:
        """The whole answer to what was sent; its body is dropped."""
        head, body = self.head()
        chunked = b"transfer-encoding: chunked" in head.lower()
        answer = Answer(int(head[9:12]), head, 0)
        length, tail = len(body), body[-5:]
        wanted = answer.number(b"content-length", 0)
        while (tail != http1.LAST) if chunked else (length < wanted):
            more = self.receive()
            length, tail = length + len(more), (tail + more)[-5:]
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return Answer(answer.status, head, length)

    def head(self) -> tuple[bytes, bytes]:
        """The head of the answer, and what came of its body with it."""
        data = self.receive()
        while http1.END not in data:
            data += self.receive()
        head, _, body = data.partition(http1.END)
        return head, body

    def pieces(self) -> Iterator[bytes]:
        """The head of the answer, then its body as it comes, to the end of a chunked one."""
        head, body = self.head()
        yield head
        tail = b""
        while True:
            if body:
                yield body
            tail = (tail + body)[-5:]
            if tail == http1.LAST:
                return
            body = self.receive()

    def receive(self, most: int = 65536) -> bytes:
        """Some bytes; ConnectionResetError at the end of the connection."""
        sock = self._connected()
        try:
            sock.settimeout(self._left())
            data = sock.recv(most)
        except TimeoutError:
            self.close()
            raise LateError from None
        except OSError:
            self.close()
            raise
        if not data:
            self.close()
            raise ConnectionResetError("the connection ended")
        return data

    def leave(self) -> None:
        """Go away in the middle, with RST."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._receive_buffer:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            try:
                self._socket.settimeout(self._left())
                self._socket.connect((HOST, self._port))
            except TimeoutError:
                self.close()
                raise LateError from None
            except OSError:
                self.close()
                raise
        return self._socket

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
