"""TLS before a plain upstream, so that a soak can reach the same upstream over TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import certificate
from stage import HOST, MEGABYTE, reserved_port


class Terminator:
    """TLS before a plain upstream: hands the bytes on both ways, with backpressure, and each end as it comes."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        files = certificate.made(folder, HOST)
        self.authority = files.authority
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(files.chain, files.key)
        self._pairs: set[asyncio.Task[None]] = set()
        self.port = reserved_port()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self._context)

    async def aclose(self) -> None:
        self._server.close()
        for pair in tuple(self._pairs):
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.ensure_future(self._join(reader, writer))
        self._pairs.add(pair)
        pair.add_done_callback(self._pairs.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection(HOST, self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, plain_writer))
                both.create_task(_pump(plain_reader, writer))
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            plain_writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(MEGABYTE):
        sink.write(data)
        await sink.drain()
    sink.close()
    await sink.wait_closed()
