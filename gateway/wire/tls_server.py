"""TLS with a caller: the server's side, from the first byte to the connection that speaks HTTP.

    HELLO --ClientHello complete--> QUEUED --its turn--> SHAKING --handshake complete--> a connection above takes over
      any --limits.tls_handshake_timeout, an error, the peer leaves, room is needed--> closed

OpenSSL gets the first bytes once the server name is known, because each name has its own context (`client_hello`).
Handshakes begin in `Turns`: each takes half a millisecond of processor time, and a flood of them must not keep the
traffic waiting that runs already.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from gateway.core.exchange import Exchange
from gateway.core.peer import TlsFacts
from gateway.errors import Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.client_certificate import client_certificate
from gateway.wire.client_hello import ClientHello, HelloReader, NotTlsError
from gateway.wire.connections import Service
from gateway.wire.handshakes import Handshakes
from gateway.wire.link import Link
from gateway.wire.server_names import ServerNames, TlsIdentity
from gateway.wire.timer import LazyTimer
from gateway.wire.tls import TlsLayer

_NO_PROTOCOL = bytes((21, 3, 3, 0, 2, 2, 120))
"""A record with the fatal alert no_application_protocol (RFC 7301 3.2), which Python's ssl does not send."""


class ServerTls(TlsLayer):
    """A `gateway.wire.connections.ServerConnection` until its handshake is complete.

    ``above`` makes the connection that takes over, for the protocol that ALPN chose, and tells the service of it.
    """

    __slots__ = (
        "_build",
        "_handshakes",
        "_hello",
        "_identity",
        "_names",
        "_server_name",
        "_timer",
        "idle_since",
        "service",
    )

    _identity: TlsIdentity
    """What the server name stands for; known from `_turn_came` on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        service: Service,
        names: ServerNames,
        handshakes: Handshakes,
        above: Callable[[ServerTls, str, TlsFacts], Link],
    ) -> None:
        super().__init__(loop, buffers)
        self.service = service
        self._names = names
        self._handshakes = handshakes
        self._build = above
        self._hello: HelloReader | None = HelloReader()
        """Reads the ClientHello; None: OpenSSL has it."""
        self._server_name = b""
        self._timer = LazyTimer(loop, self._on_timeout)
        """Runs until the handshake is complete or the connection is lost: also while an alert waits for a client that
        takes nothing."""
        self.idle_since = monotonic()
        """No request is being served: the connection may be closed for the sake of another."""

    # -- a connection of the service, until the one above is

    @property
    def http_version(self) -> str:
        return ""

    @property
    def exchanges(self) -> Sequence[Exchange]:
        return ()

    def make_room(self) -> None:
        self._give_up("room")

    def close_idle(self) -> None:
        self._give_up("draining")

    def hand_over(self, give: Callable[[int], bool]) -> bool:
        return False  # the keys of TLS cannot be passed on

    def cancel(self, reason: Reason) -> None:
        del reason  # no exchange runs
        self._give_up("draining")

    # -- the protocol of the TCP transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer.arm(monotonic() + self.service.limits.tls_handshake_timeout)
        self._handshakes.begin(self)
        self.service.opened(self)

    def buffer_updated(self, nbytes: int) -> None:
        hello = self._hello
        if hello is None:
            super().buffer_updated(nbytes)
            return
        try:
            read = hello.feed(self._buffers.current[:nbytes])
        except NotTlsError:
            self._give_up("not_tls")
            return
        if read is not None:
            self._choose(read)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hello = None
        self._timer.close()
        super().connection_lost(exc)
        if not self._made:
            self.service.closed(self)

    # -- the handshake

    def _begin(self) -> None:
        """The client speaks first."""

    def _choose(self, hello: ClientHello) -> None:
        tcp = self._tcp
        if tcp is None:
            return
        names = self._names
        if hello.protocols and not any(protocol in names.alpn for protocol in hello.protocols):
            self._handshakes.end(self, "no_protocol")
            tcp.write(_NO_PROTOCOL)
            tcp.close()
            return
        self._server_name = hello.server_name
        tcp.pause_reading()  # until its turn, so that no more has to be kept
        self.service.turns.enter(self.loop, self._turn_came)

    def _turn_came(self) -> bool:
        hello, self._hello = self._hello, None
        tcp = self._tcp
        if hello is None or tcp is None or tcp.is_closing():
            return False
        self._identity = self._names.find(self._server_name)
        context = self._identity.context
        self._use(context, context.wrap_bio(self._incoming, self._outgoing, server_side=True))
        self._incoming.write(hello.data)
        tcp.resume_reading()
        self._shake_hands()
        return True

    def _established(self) -> None:
        tls = self._tls
        self._timer.close()
        self._handshakes.end(self, "resumed" if tls.session_reused else "full")
        domain = self._identity.domain
        certificate = None
        if domain[0] != "none":
            certificate = client_certificate(tls.getpeercert(), tls.getpeercert(True), self._names.principal)
        facts = TlsFacts(
            tls.version() or "",
            self._server_name.decode("latin-1"),
            certificate,
            partial(self._names.misdirected, domain),
        )
        self._above = self._build(self, tls.selected_alpn_protocol() or "http/1.1", facts)

    def _failed(self, error: Exception) -> None:
        self._handshakes.end(self, "refused" if isinstance(error, ssl.SSLError) else "left")

    def _on_timeout(self) -> None:
        self._give_up("timeout")

    def _give_up(self, outcome: str) -> None:
        self._handshakes.end(self, outcome)
        self._hello = None
        if self._tcp is not None:
            self._tcp.abort()
