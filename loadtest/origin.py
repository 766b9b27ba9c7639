"""The upstream behind the gateway in `attacks.py`, in a process of its own.

    python loadtest/origin.py DESCRIPTOR

DESCRIPTOR is a listening socket that it inherits; it ends with its parent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
from typing import cast

import http1
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from stage import MEGABYTE

BODY = b'{"ok":true}'
OK = http1.response(BODY, content_type=b"application/json")
BIG = 64 * MEGABYTE


class Upstream(asyncio.Protocol):
    """``/hang`` gets no response, ``/big`` a large one, ``/echo`` what it sends, ``/keys`` a key set; all else `OK`."""

    keys = b""

    def __init__(self) -> None:
        self._data = b""
        self._left = 0
        """Bytes of a request body to come; -1: chunks to the end of the connection."""
        self._echo = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        # Or the kernel holds 4 MiB of each large response, and the TCP memory of the machine is what runs out.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 65536)

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._echo:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._echo:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            return
        if self._left:
            if self._echo:
                self._transport.write(data)
            self._left -= len(data)
            if self._left > 0:
                return
            data = b""
            if not self._echo:
                self._transport.write(OK)
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self._serve(head)
            if self._left:
                self._data = b""

    def _serve(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        lower = head.lower()
        if b"transfer-encoding:" in lower:
            self._left = -1
        elif b"content-length:" in lower:
            self._left = http1.number(head, b"content-length")
            self._echo = target == b"/echo"
            if self._echo:
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._left)
        elif target == b"/big":
            self._task = asyncio.ensure_future(self._pour())
        elif target == b"/keys":
            self._transport.write(http1.response(self.keys, content_type=b"application/json"))
        elif target != b"/hang":
            self._transport.write(OK)

    async def _pour(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        for _ in range(BIG // 65536):
            await self._writable.wait()
            self._transport.write(bytes(65536))


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set() -> bytes:
    """A set with one key for ES512; nobody has the other half."""
    numbers = ec.generate_private_key(ec.SECP521R1()).public_key().public_numbers()
    x, y = (base64url(number.to_bytes(66, "big")) for number in (numbers.x, numbers.y))
    key = {"kty": "EC", "crv": "P-521", "kid": "k", "alg": "ES512", "use": "sig", "x": x, "y": y}
    return json.dumps({"keys": [key]}).encode()


async def serve(sock: socket.socket) -> None:
    Upstream.keys = key_set()
    await asyncio.get_running_loop().create_server(Upstream, sock=sock)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
