"""A connection above TLS that notes what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.wire.buffers import BufferPool
from gateway.wire.link import Link


class Above(Link):
    """Notes what it hears. ``on_data`` is called with the size of each delivery."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        super().__init__(loop, buffers)
        self.pool = buffers
        self.got = bytearray()
        self.sizes: list[int] = []
        self.events: list[str] = []
        self.on_data: Callable[[int], None] = lambda size: None
        self.stays = False
        """The peer's end is not the end of this side."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.events.append("made")

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self.pool.current[:nbytes]
        self.sizes.append(nbytes)
        self.on_data(nbytes)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.events.append("lost")
