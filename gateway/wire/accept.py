"""Makes the connection for a socket that a listener accepted: the one place that chooses the protocol of a caller."""

from __future__ import annotations

import asyncio

from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection, Service
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server


class Acceptor:
    """Makes the connections of one data plane."""

    __slots__ = ("_buffers", "_parser")

    def __init__(self, buffers: BufferPool, parser: HeadParser) -> None:
        self._buffers = buffers
        self._parser = parser

    def plain(self, loop: asyncio.AbstractEventLoop, service: Service) -> ServerConnection:
        """A connection of a listener without TLS."""
        return H1Server(loop, self._buffers, self._parser, service, b"http")
