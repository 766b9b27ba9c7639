"""A small memcached: the text protocol of `get`, `set` and `version`, on a real socket."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Memcached:
    """``async with``; ``port`` is where it listens. ``pause`` holds each `get` until it is set."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.port = 0
        self.asked = 0
        self.pause = asyncio.Event()
        self.pause.set()
        self.left = 0
        """Callers that were gone before their response."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (line := await reader.readline()) and not line.startswith(b"quit"):
                writer.write(await self._answered(line.split(), reader))
            await writer.drain()
        except ConnectionError:
            self.left += 1
        finally:
            writer.close()

    async def _answered(self, words: list[bytes], reader: asyncio.StreamReader) -> bytes:
        if words[0] == b"version":
            return b"VERSION 1\r\n"
        if words[0] == b"set":
            self.values[words[1]] = (await reader.readexactly(int(words[4]) + 2))[:-2]
            return b"STORED\r\n"
        self.asked += 1
        await self.pause.wait()
        value = self.values.get(words[1])
        return b"END\r\n" if value is None else b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (words[1], len(value), value)
