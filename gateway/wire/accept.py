"""Makes the connection for a socket that a listener accepted: the one place that chooses the protocol of a caller."""

from __future__ import annotations

import asyncio

from gateway.core.peer import TlsFacts
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection, Service
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server
from gateway.wire.h2.server import H2Server
from gateway.wire.h2.session import Shared
from gateway.wire.handshakes import Handshakes
from gateway.wire.link import Link
from gateway.wire.prior_knowledge import PriorKnowledge
from gateway.wire.server_names import ServerNames
from gateway.wire.tls_server import ServerTls


class Acceptor:
    """Makes the connections of one data plane."""

    __slots__ = ("_buffers", "_parser", "_shared", "handshakes")

    def __init__(self, buffers: BufferPool, parser: HeadParser) -> None:
        self._buffers = buffers
        self._parser = parser
        self._shared: Shared | None = None
        """Made when HTTP/2 is first served."""
        self.handshakes = Handshakes()

    def plain(self, loop: asyncio.AbstractEventLoop, service: Service, *, http2: bool = False) -> ServerConnection:
        """A connection of a listener without TLS. ``http2``: one that begins as HTTP/2 does is served in HTTP/2."""
        if not http2:
            return H1Server(loop, self._buffers, self._parser, service, None)

        def chosen(is_http2: bool) -> ServerConnection:
            if is_http2:
                return self._http2(loop, service, None)
            return H1Server(loop, self._buffers, self._parser, service, None)

        return PriorKnowledge(loop, self._buffers, service, chosen)

    def resumed(self, loop: asyncio.AbstractEventLoop, service: Service) -> ServerConnection:
        """A connection that another process has served, in HTTP/1.1 without TLS, and handed over: it is idle."""
        connection = H1Server(loop, self._buffers, self._parser, service, None)
        connection.begin_idle()
        return connection

    def secure(self, loop: asyncio.AbstractEventLoop, service: Service, names: ServerNames) -> ServerConnection:
        """A connection of a listener with TLS. After its handshake another takes over: `Service.replaced`."""
        return ServerTls(loop, self._buffers, service, names, self.handshakes, self._above)

    def _above(self, layer: ServerTls, protocol: str, facts: TlsFacts) -> Link:
        """``protocol``: what ALPN chose."""
        connection: H1Server | H2Server
        if protocol == "h2":
            connection = self._http2(layer.loop, layer.service, facts)
        else:
            connection = H1Server(layer.loop, self._buffers, self._parser, layer.service, facts)
        layer.service.replaced(layer, connection)
        return connection

    def _http2(self, loop: asyncio.AbstractEventLoop, service: Service, tls: TlsFacts | None) -> H2Server:
        """A connection that speaks HTTP/2, by prior knowledge or because ALPN chose ``h2``."""
        if self._shared is None:
            self._shared = Shared()
        return H2Server(loop, self._buffers, self._shared, service, tls)
