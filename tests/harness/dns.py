"""Stand-ins for name resolution: a name server on loopback (RFC 1035), and addresses without one."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from gateway.upstream.dns import Answer

_TYPES = {1: ipaddress.IPv4Address, 28: ipaddress.IPv6Address}
_NO_ERROR, _SERVER_FAILURE, _NO_SUCH_NAME = 0, 2, 3


class Addresses:
    """Every name has these addresses; none: it cannot be resolved."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host: str) -> Answer:
        self.asked += 1
        if not self.addresses:
            raise OSError("no such name")
        return Answer(self.addresses)

    async def aclose(self) -> None:
        """It has nothing open."""


def rebound(name: str, address: str) -> type[ThreadedResolver]:
    """A resolver for aiohttp that gives ``name`` this address (DNS rebinding), and each other name its own."""

    class Rebound(ThreadedResolver):
        async def resolve(self, host: str, *args: Any, **more: Any) -> list[ResolveResult]:
            return await super().resolve(address if host == name else host, *args, **more)

    return Rebound


class NameServer(asyncio.DatagramProtocol):
    """``table``: the addresses of each name, in lower case. What is not there does not exist."""

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}
        self.ttl = 60
        self.fails = False
        """Whether each answer is SERVFAIL."""
        self.silent = False
        self.asked: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.silent:
            return
        assert self._transport is not None
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        (kind,) = struct.unpack_from("!H", query, at + 1)
        question = query[12 : at + 5]
        name = ".".join(labels).lower()
        self.asked.append(name)
        known = self.table.get(name)
        made = [ipaddress.ip_address(each) for each in known or ()]
        records = [each.packed for each in made if kind in _TYPES and isinstance(each, _TYPES[kind])]
        status = _SERVER_FAILURE if self.fails else _NO_SUCH_NAME if known is None else _NO_ERROR
        answers = [] if self.fails else records
        head = struct.pack("!2sHHHHH", query[:2], 0x8180 | status, 1, len(answers), 0, 0)
        lines = [struct.pack("!HHHLH", 0xC00C, kind, 1, self.ttl, len(each)) + each for each in answers]
        return head + question + b"".join(lines)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
