"""Makes connections to an endpoint: the one place that chooses the protocol that is spoken to it."""

from __future__ import annotations

import asyncio
import ssl

from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientConnection
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.tls_client import ClientTls


class ConnectionMaker:
    """Makes the connections of one event loop; each gets its transport from the code that dials."""

    __slots__ = ("_buffers", "_loop", "_parser")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser) -> None:
        self._loop = loop
        self._buffers = buffers
        self._parser = parser

    def plain(self) -> ClientConnection:
        """A connection on a TCP transport."""
        return H1Client(self._loop, self._buffers, self._parser)

    def secure(self, context: ssl.SSLContext, server_name: str) -> tuple[ClientConnection, ClientTls]:
        """A connection, and the TLS below it, which gets the transport; `ClientTls.opened` is to be awaited."""
        connection = H1Client(self._loop, self._buffers, self._parser)
        return connection, ClientTls(self._loop, self._buffers, context, server_name, connection)
