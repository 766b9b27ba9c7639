"""Makes the connection for a socket that a listener accepted: the one place that chooses the protocol of a caller."""

from __future__ import annotations

import asyncio

from gateway.core.peer import TlsFacts
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection, Service
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server
from gateway.wire.handshakes import Handshakes
from gateway.wire.link import Link
from gateway.wire.server_names import ServerNames
from gateway.wire.tls_server import ServerTls


class Acceptor:
    """Makes the connections of one data plane."""

    __slots__ = ("_buffers", "_parser", "handshakes")

    def __init__(self, buffers: BufferPool, parser: HeadParser) -> None:
        self._buffers = buffers
        self._parser = parser
        self.handshakes = Handshakes()

    def plain(self, loop: asyncio.AbstractEventLoop, service: Service) -> ServerConnection:
        """A connection of a listener without TLS."""
        return H1Server(loop, self._buffers, self._parser, service, None)

    def secure(self, loop: asyncio.AbstractEventLoop, service: Service, names: ServerNames) -> ServerConnection:
        """A connection of a listener with TLS. After its handshake another takes over: `Service.replaced`."""
        return ServerTls(loop, self._buffers, service, names, self.handshakes, self._above)

    def _above(self, layer: ServerTls, protocol: str, facts: TlsFacts) -> Link:
        """``protocol``: what ALPN chose."""
        del protocol  # HTTP/1.1 is the only one so far
        connection = H1Server(layer.loop, self._buffers, self._parser, layer.service, facts)
        layer.service.replaced(layer, connection)
        return connection
