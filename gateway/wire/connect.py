"""Makes connections to an endpoint: the one place that chooses the protocol that is spoken to it."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Literal

from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientConnection, ClientSession
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.h2.client import H2Client
from gateway.wire.h2.shared import Shared
from gateway.wire.link import Link
from gateway.wire.tls_client import ClientTls

Http2 = Literal["auto", "always", "never"]
"""Whether HTTP/2 is spoken: ``auto`` as ALPN decides, and never without TLS; ``always`` whatever the endpoint says."""

ALPN: Final[dict[Http2, list[str]]] = {"auto": ["h2", "http/1.1"], "always": ["h2"], "never": ["http/1.1"]}
"""What is offered to an endpoint (RFC 7301)."""


class Memories:
    """What the connections to all endpoints remember together; made when one first speaks HTTP/2."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: Shared | None = None

    def shared(self) -> Shared:
        made = self._shared
        if made is None:
            made = self._shared = Shared()
        return made


class Dialled:
    """What was dialled: one of the two."""

    __slots__ = ("connection", "session")

    def __init__(self, connection: ClientConnection | None = None, session: ClientSession | None = None) -> None:
        self.connection = connection
        """Speaks HTTP/1.1."""
        self.session = session
        """Speaks HTTP/2."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """Of its transport."""
        if self.session is not None:
            return self.session.protocol
        assert self.connection is not None, "nothing was dialled"
        return self.connection.protocol


class ConnectionMaker:
    """Makes the connections of one event loop; each gets its transport from the code that dials."""

    __slots__ = ("_buffers", "_loop", "_memories", "_parser", "http2")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        parser: HeadParser,
        http2: Http2 = "never",
        memories: Memories | None = None,
    ) -> None:
        self._loop = loop
        self._buffers = buffers
        self._parser = parser
        self._memories = Memories() if memories is None else memories
        self.http2 = http2

    def plain(self) -> Dialled:
        """A connection on a TCP transport (RFC 9113 3.3: there HTTP/2 needs prior knowledge)."""
        return Dialled(session=self._session(b"http")) if self.http2 == "always" else Dialled(self._connection())

    def secure(self, context: ssl.SSLContext, server_name: str) -> tuple[Dialled, ClientTls]:
        """A connection, and the TLS below it, which gets the transport.

        `ClientTls.opened` is to be awaited: the connection is there afterwards.
        """
        dialled = Dialled()

        def made(alpn: str | None) -> Link:
            if self.http2 == "always" or (self.http2 == "auto" and alpn == "h2"):
                dialled.session = session = self._session(b"https")
                return session
            dialled.connection = connection = self._connection()
            return connection

        return dialled, ClientTls(self._loop, self._buffers, context, server_name, made)

    def _connection(self) -> H1Client:
        return H1Client(self._loop, self._buffers, self._parser)

    def _session(self, scheme: bytes) -> H2Client:
        return H2Client(self._loop, self._buffers, self._memories.shared(), scheme)
