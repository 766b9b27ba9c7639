"""What the clients and upstreams of the load tests share: bytes that are written, and when a response is whole."""

from __future__ import annotations

import asyncio

import http1
import pytest
from harness.patience import eventually


def test_what_is_written() -> None:
    assert http1.request("/a", "h", "Accept: */*") == b"GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n"
    posted = http1.request("/a", "h", method="POST", body=b"xy")
    assert posted == b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy"
    assert http1.response(b"ok") == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
    assert http1.chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"
    assert http1.chunk(b"") == http1.LAST


def test_numbers_of_fields() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Retry-After: 1\r\nRetry-After:7\r\n\r\n"
    assert (http1.number(head, b"retry-after"), http1.number(head, b"content-length", -1)) == (7, -1)
    with pytest.raises(ValueError, match="invalid literal"):
        http1.number(b"HTTP/1.1 200 OK\r\nRetry-After: soon\r\n\r\n", b"retry-after")


class Kept(http1.Asking):
    def __init__(self) -> None:
        super().__init__()
        self.came: list[bytes] = []

    def answered(self, head: bytes, body: bytes) -> None:
        self.came.append(body)


def test_a_response_is_handed_over_when_it_is_whole() -> None:
    client = Kept()
    for byte in http1.response(b"ab") + http1.response(b""):
        client.data_received(bytes([byte]))
    client.data_received(http1.head(b"200 OK", b"text/plain", b"Transfer-Encoding: chunked"))
    client.data_received(http1.chunk(b"c"))
    assert client.came == [b"ab", b""]
    client.data_received(http1.LAST)
    assert client.came == [b"ab", b"", b"1\r\nc\r\n0\r\n\r\n"]


class Echo(http1.Answering):
    def asked(self, target: bytes) -> None:
        self.transport.write(http1.response(target))


async def test_requests_are_answered_one_after_the_other() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1")
    transport, client = await loop.create_connection(Kept, *server.sockets[0].getsockname())
    for count, target in enumerate(("/a", "/b"), 1):
        client.transport.write(http1.request(target, "h"))
        await eventually(lambda count=count: len(client.came) == count, f"response {count}")
    assert client.came == [b"/a", b"/b"]
    transport.close()
    server.close()
    await server.wait_closed()
