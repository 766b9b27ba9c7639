"""A client on a raw socket: it says exactly the bytes it is told, and reads answers strictly."""

from __future__ import annotations

import asyncio
import json
import socket

from harness.message import Message, read_response
from harness.stream import Stream

HOST = b"gateway.test"


def request(target: str = "/", *lines: str, method: str = "GET", body: bytes = b"", host: str = HOST.decode()) -> bytes:
    """A whole request; a body gets its Content-Length unless ``lines`` frame it already."""
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines]
    framed = any(line.lower().startswith(("content-length:", "transfer-encoding:")) for line in lines)
    if body and not framed:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Client(Stream):
    @classmethod
    async def connect(cls, address: tuple[str, int], *, receive_buffer: int = 0) -> Client:
        """``receive_buffer`` in bytes (SO_RCVBUF): a small one makes a reader slow from the first segment on."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client = cls(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
        return client

    async def response(self, method: str = "GET") -> Message:
        """The next response on the wire, be it an interim one."""
        return await read_response(self, method)

    async def final(self, method: str = "GET") -> Message:
        """The next response that is not an interim one."""
        while (message := await self.response(method)).status < 200:
            pass
        return message

    async def ask(
        self, target: str = "/", *lines: str, method: str = "GET", body: bytes = b"", host: str = HOST.decode()
    ) -> Message:
        """Send one request and read its answer."""
        await self.send(request(target, *lines, method=method, body=body, host=host))
        return await self.response(method)

    async def gone(self) -> None:
        """The gateway has ended the connection, and sent nothing more before it did."""
        rest = await self.rest()
        assert rest == b"", f"bytes after the end: {rest[:200]!r}"


def code_of(message: Message) -> str:
    """The reason of a refusal: the same word in the JSON body and in the header, with all that a caller is promised."""
    body = json.loads(message.body)
    assert message.get("content-type") == b"application/json"
    assert {"error", "details", "code", "request_id"} <= set(body)
    assert message.get("x-gateway-reason") == body["code"].encode()
    assert message.get("date") is not None
    return str(body["code"])
