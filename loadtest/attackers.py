"""The other side of `attacks.py`: one hostile client in a process of its own, until its standard input ends.

    python loadtest/attackers.py NAME PORT SECONDS

Loopback only, bounded in connections (the table) and in time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import http1
import uvloop
from stage import HOST

HEAD = "GET {} HTTP/1.1\r\nHost: attack.test\r\n{}\r\n"
BLOCK = 65536
JOSE_BAD = "eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ"
"""{"alg":"ES512","typ":"JWT","kid":"k"}"""


def get(target: str, *lines: str) -> bytes:
    return HEAD.format(target, "".join(f"{line}\r\n" for line in lines)).encode()


class Hostile:
    """One connection, and what all attacks do with it. A gateway that ends it is what we want to see."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port
        self.number = number
        self.loop = asyncio.get_running_loop()
        self.sock = socket.socket()

    async def dial(self, *, receive_buffer: int = 0) -> None:
        self.sock.close()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        await self.loop.sock_connect(self.sock, (HOST, self.port))

    def close(self) -> None:
        self.sock.close()

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def take(self, size: int = BLOCK) -> bytes:
        data: bytes = await self.loop.sock_recv(self.sock, size)
        if not data:
            raise ConnectionError("the gateway ended it")
        return data

    async def swallow(self) -> None:
        """Read and forget, to the end."""
        while True:
            await self.take()

    async def exchange(self, request: bytes) -> None:
        """One request and its whole response."""
        await self.send(request)
        data = b""
        while True:
            data += await self.take()
            if http1.whole(data):
                return

    async def hold(self) -> None:
        """Stay, and neither read nor write."""
        await asyncio.sleep(3600)

    async def drip(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await asyncio.sleep(pause)


class Secure(Hostile):
    """The same over TLS. The certificate is not looked at, because an attacker does not care whom it attacks."""

    protocol = "http/1.1"
    writer: asyncio.StreamWriter | None = None

    async def dial(self, *, receive_buffer: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([self.protocol])
        self.reader, self.writer = await asyncio.open_connection(HOST, self.port, ssl=context, limit=BLOCK)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)
        await self.writer.drain()

    async def take(self, size: int = BLOCK) -> bytes:
        data = await self.reader.read(size)
        if not data:
            raise ConnectionError("the gateway ended it")
        return data


class Http2(Secure):
    """The same in frames."""

    protocol = "h2"

    async def dial(self, *, receive_buffer: int = 0) -> None:
        await super().dial()
        await self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))


async def pipeline_unread(one: Hostile) -> None:
    burst = get("/") * 200
    while True:
        await one.send(burst)


async def refused_unread(one: Hostile) -> None:
    burst = get("/private") * 200
    while True:
        await one.send(burst)


async def pipeline_read(one: Hostile) -> None:
    reading = asyncio.ensure_future(one.swallow())
    try:
        await refused_unread(one)
    finally:
        reading.cancel()


async def silent(one: Hostile) -> None:
    await one.swallow()


async def idle(one: Hostile) -> None:
    await one.exchange(get("/"))
    await one.swallow()


async def dripping_heads(one: Hostile) -> None:
    await one.drip(get("/", f"X-Drip: {'x' * 30000}"), 0.02)


async def dripping_frames(one: Hostile) -> None:
    """A HEADERS frame without an end, then one CONTINUATION, byte by byte."""
    block = bytes([0x82, 0x86, 0x84, 0x41, 1]) + b"a" + b"\0\1x\x7f\x81\x7d" + b"x" * 16_000
    await one.send(bytes([0, 0, 5, 1, 1, 0, 0, 0, 1]) + block[:5])
    rest = block[5:]
    await one.send(len(rest).to_bytes(3, "big") + bytes([9, 4, 0, 0, 0, 1]))
    await one.drip(rest, 0.05)


async def slow_upload(one: Hostile) -> None:
    await one.send(b"POST / HTTP/1.1\r\nHost: attack.test\r\nContent-Length: 1000000\r\n\r\n")
    await one.drip(bytes(1_000_000), 1.0)


async def slow_reader(one: Hostile) -> None:
    await one.dial(receive_buffer=4096)
    await one.send(get("/big"))
    while True:
        await one.take(1)
        await asyncio.sleep(1.0)


async def read_ahead(one: Hostile) -> None:
    await one.send(get("/hang"))
    burst = get("/more") * 400
    while True:
        await one.send(burst)


async def deaf_echo(one: Hostile) -> None:
    await one.send(b"POST /echo HTTP/1.1\r\nHost: attack.test\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        await one.send(bytes(BLOCK))


async def large_heads(one: Hostile) -> None:
    await one.exchange(get(f"/?{one.number}", *(f"X-Large-{n}: {'y' * 250}" for n in range(110))))
    await one.hold()


async def tiny_chunks(one: Hostile) -> None:
    await one.send(b"POST / HTTP/1.1\r\nHost: attack.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    burst = b"1\r\nx\r\n" * 10_000
    while True:
        await one.send(burst)


async def long_paths(one: Hostile) -> None:
    count = 0
    while True:
        count += 1
        await one.exchange(get(f"/nowhere/{one.number}/{count}/{'p' * 8000}"))


async def bad_tokens(one: Hostile) -> None:
    count = 0
    while True:
        count += 1
        signature = f"{count:0>16}" + "A" * 160
        token = f"{JOSE_BAD}.{CLAIMS}.{signature}"
        await one.exchange(get("/private", f"Authorization: Bearer {token}"))


CLAIMS = ""


@dataclass(frozen=True)
class Attack:
    """``connections``: as many at a time; one that the gateway ends is opened again after a moment."""

    sentence: str
    connections: int
    run: Callable[[Hostile], Coroutine[Any, Any, None]]
    over: type[Hostile] = Hostile


ATTACKS = {
    "pipeline-unread": Attack("pipelines requests and reads no response", 60, pipeline_unread),
    "refused-unread": Attack("the same with requests that get 401", 60, refused_unread),
    "pipeline-read": Attack("pipelines requests that get 401, and reads", 60, pipeline_read),
    "silent": Attack("opens connections and says nothing", 5000, silent),
    "idle-tls": Attack("sends one request over TLS, then stays idle", 5000, idle, Secure),
    "silent-http2": Attack("says nothing behind the preface of HTTP/2", 5000, silent, Http2),
    "dripping-heads": Attack("sends heads of 30 KB byte by byte", 500, dripping_heads),
    "dripping-tls": Attack("the same over TLS", 500, dripping_heads, Secure),
    "dripping-http2": Attack("sends heads of 16 KB in HTTP/2 byte by byte", 500, dripping_frames, Http2),
    "slow-upload": Attack("uploads one byte a second", 300, slow_upload),
    "slow-reader": Attack("reads a large response at one byte a second", 300, slow_reader),
    "read-ahead": Attack("sends without end behind a request that hangs", 60, read_ahead),
    "deaf-echo": Attack("uploads to an echo and reads nothing", 60, deaf_echo),
    "large-heads": Attack("sends one head of 29 KB, then stays idle", 1000, large_heads),
    "tiny-chunks": Attack("uploads in chunks of one byte", 20, tiny_chunks),
    "long-paths": Attack("asks for paths of 8 KB that nobody serves", 20, long_paths),
    "bad-tokens": Attack("sends ES512 tokens with wrong signatures", 20, bad_tokens),
}


async def keep(attack: Attack, port: int, number: int) -> None:
    while True:
        one = attack.over(port, number)
        with suppress(OSError):
            await one.dial()
            await attack.run(one)
        one.close()
        await asyncio.sleep(0.25)


async def attack(name: str, port: int, seconds: float) -> None:
    chosen = ATTACKS[name]
    end = time.monotonic() + seconds
    tasks: list[Awaitable[None]] = []
    for number in range(chosen.connections):
        tasks.append(asyncio.ensure_future(keep(chosen, port, number)))
        if number % 50 == 49:
            await asyncio.sleep(0.01)
    await asyncio.sleep(max(0.0, end - time.monotonic()))


if __name__ == "__main__":
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)  # its parent has a higher one
    CLAIMS = os.environ.get("ATTACK_CLAIMS", "e30")
    uvloop.run(attack(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
