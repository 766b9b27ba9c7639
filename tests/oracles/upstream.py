"""The upstream behind each proxy: it keeps each byte that reaches it, and replies with what the attack says."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.frames import take_frames

from gateway.wire.h2.codes import ACK, HEADERS, PREFACE, SETTINGS
from gateway.wire.h2.frames import frame, settings
from loadtest import certificate
from loadtest.peers.server import Server
from loadtest.stage import HOST
from oracles.attack import OK, Attack, Reply
from oracles.reading import messages

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds."""


class ScriptedUpstream:
    """One listener for each way to be reached. Between two attacks its connections are ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reply = OK
        self.reached: list[bytearray] = []
        """Of the attack that runs, one for each connection."""
        self.taken = 0
        self.last = 0.0
        """When something came, by the clock of the event loop."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        files = certificate.made(self._folder, HOST)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.chain, files.key)
        self.ports: dict[str, int] = {}
        for scheme, serve, secure in (
            ("http", self._http1, None),
            ("https", self._http1, context),
            ("h2c", self._http2, None),
        ):
            server = await asyncio.start_server(serve, HOST, 0, ssl=secure)
            self._servers.append(server)
            self.ports[scheme] = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        for server in self._servers:
            server.close()

    @property
    def server(self) -> Server:
        """As the bench knows an origin."""
        made = Server(self.ports["http"], os.getpid(), self._folder)
        made.ports = self.ports
        return made

    def begin(self, attack: Attack) -> None:
        self._reply, self.reached, self.taken = attack.reply, [], 0

    def end(self) -> list[bytes]:
        """What reached it since `begin`; no connection is left."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        return [bytes(raw) for raw in self.reached if raw]

    async def _http1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw, reply, answered = self._opened(writer), self._reply, 0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                raw += data
                self.last = asyncio.get_running_loop().time()
                if len(raw) > 1 << 20:
                    continue  # a flood: no request of the table is that large
                whole = sum(request.whole for request in messages(bytes(raw)))
                while answered < whole and not writer.is_closing():
                    answered += 1
                    await self._say(reply, writer)
        writer.close()

    async def _http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw, reply = self._opened(writer), self._reply
        writer.write(settings([]))
        buffer = bytearray()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(len(PREFACE))
            while data := await reader.read(1 << 16):
                raw += data
                buffer += data
                self.last = asyncio.get_running_loop().time()
                for found in take_frames(buffer):
                    if found.kind == SETTINGS and not found.flags & ACK:
                        writer.write(frame(SETTINGS, ACK, 0, b""))
                    elif found.kind == HEADERS and found.ident == 1 and not writer.is_closing():
                        await self._say(reply, writer)
        writer.close()

    def _opened(self, writer: asyncio.StreamWriter) -> bytearray:
        raw = bytearray()
        self.reached.append(raw)
        self._writers.add(writer)
        return raw

    async def _say(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        writer.write(reply.head)
        for _ in range(reply.repeat):
            if writer.is_closing():
                return
            writer.write(reply.raw)
            await writer.drain()
            self.taken += len(reply.raw)
        if reply.ending == "close":
            writer.close()
        elif reply.ending == "cut":
            await _taken(writer)
            writer.transport.abort()
        elif reply.ending == "reset":
            await _taken(writer)
            if writer.is_closing():
                return
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()


async def _taken(writer: asyncio.StreamWriter) -> None:
    """The proxy has had a moment to read: a RST overtakes what the kernel has not handed over."""
    await writer.drain()
    await asyncio.sleep(0.02)
