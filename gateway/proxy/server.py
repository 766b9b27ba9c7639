"""The live snapshot and the connections that use it: finds the route of each request, drains."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from itertools import count

from gateway import errors
from gateway.config.records import Listener
from gateway.core.exchange import SWITCHED, Exchange
from gateway.core.layer import chain
from gateway.core.limits import Limits
from gateway.core.message import HTTP_2, VERSIONS
from gateway.core.stream import ClientStream, TunnelEnd
from gateway.core.target import path_of
from gateway.core.tasks import Tasks
from gateway.errors import GatewayError
from gateway.proxy.admission import Admission
from gateway.proxy.bindings import Binder
from gateway.proxy.certificates import Certificates
from gateway.proxy.layers.answer_locally import options
from gateway.proxy.layers.rescue import rescue
from gateway.proxy.listeners import Accepted, Listeners
from gateway.proxy.own_exchanges import OwnExchanges
from gateway.proxy.pipeline import OuterLayers, aside_chain
from gateway.proxy.rewrite import names
from gateway.proxy.snapshot import Served, Snapshot
from gateway.wire.accept import Acceptor
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection
from gateway.wire.h1.head import HeadParser
from gateway.wire.handshakes import Handshakes
from gateway.wire.hangup import HangupWatch
from gateway.wire.tunnel import Tunnel
from gateway.wire.turns import Turns

_MAX_REQUEST_ID = 128
_HAND_OVER_SECONDS = 0.02
"""Between two looks at which connections have become idle and can be handed over."""
_VISIBLE = bytes(range(0x21, 0x7F))


class Server:
    """The data plane's `Service`: every connection calls it, and it reads the live snapshot."""

    def __init__(
        self, buffers: BufferPool, parser: HeadParser, outer: OuterLayers, binder: Binder | None = None
    ) -> None:
        self.snapshot: Snapshot
        self.draining = False
        self.closes_idle = False
        self.connections: set[ServerConnection] = set()
        self.hangups = HangupWatch()
        self.turns = Turns()
        self._acceptor = Acceptor(buffers, parser)
        self.certificates = Certificates()
        self._outer = outer
        self.admission = Admission()
        self.listeners = Listeners(self._accept, self.admission.make_room, binder)
        self.own = OwnExchanges(self._look_idle)
        self._idle = asyncio.Event()
        # Unique over processes and restarts: 48 random bits, then a count.
        self._ids = map((os.urandom(6).hex().encode() + b"%010x").__mod__, count(1))

    # -- what connections call

    @property
    def limits(self) -> Limits:
        return self.snapshot.document.limits

    def trusts(self, address: str) -> bool:
        return self.snapshot.trusts(address)

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        if self.closes_idle:
            connection.close_idle()

    def replaced(self, before: ServerConnection, connection: ServerConnection) -> None:
        self.connections.discard(before)
        self.admission.replaced(before, connection)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)
        self.admission.closed(connection)
        self._look_idle()

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]:
        """The coroutine that serves ``exchange`` by the snapshot that is live now, to the exchange's end."""
        request = exchange.request
        known = request.known
        given = known.get(b"x-request-id")
        exchange.request_id = next(self._ids) if given is None else self._request_id(given)
        snapshot = self.snapshot
        routed = request.routed
        if routed is not None and routed[0] is snapshot:
            return routed[1](exchange)
        tls = exchange.downstream.peer.tls
        if tls is not None and tls.misdirected(known.get(b"host", b"")):
            return self.refuse(exchange, GatewayError(errors.MISDIRECTED))
        if b"via" in known and names(known[b"via"], self._outer.via):
            return self.refuse(exchange, GatewayError(errors.LOOP_DETECTED))
        if request.target == b"*":
            return chain(options, self._outer.observe(""), rescue)(exchange)
        try:
            route = snapshot.router.match(known.get(b"host", b""), path_of(request.target))
        except GatewayError as error:
            return self.refuse(exchange, error)
        handle = snapshot.unrouted if route is None else route.handle
        request.routed = (snapshot, handle)
        return handle(exchange)

    def refuse(self, exchange: Exchange, error: GatewayError) -> Coroutine[None, None, None]:
        async def fail(_: Exchange) -> None:
            raise error

        exchange.request_id = exchange.request_id or next(self._ids)
        return chain(fail, self._outer.observe(""), rescue)(exchange)

    def join(self, near: TunnelEnd, far: ClientStream) -> Tunnel:
        """Make the tunnel of an exchange. WebSocket is the only protocol that is switched to."""
        return Tunnel(asyncio.get_running_loop(), near, far, framed=True)

    def aside(self, served: Served) -> Served:
        """``served`` for a message about a call of it that is over: without a permit."""
        return replace(served, handle=aside_chain(served.settings, served.upstream, self._outer))

    def new_id(self) -> bytes:
        """A request id that no other request has."""
        return next(self._ids)

    def _request_id(self, given: bytes) -> bytes:
        if given and len(given) <= _MAX_REQUEST_ID and not given.translate(None, _VISIBLE):
            return given
        return next(self._ids)

    def _accept(self, listener: Listener, host: str) -> Accepted | None:
        trusted = self.trusts(host)
        if not self.admission.admits(host, trusted=trusted):
            return None
        loop = asyncio.get_running_loop()
        if listener.tls is None:
            connection = self._acceptor.plain(loop, self, http2=listener.http2)
        else:
            connection = self._acceptor.secure(loop, self, self.certificates.of(listener.address))
        # From here on, and not when its transport is made a turn later: a drain in between waits for it.
        self.admission.opened(connection, host, trusted=trusted)
        return connection.protocol, partial(self.closed, connection)

    def adopt(self, sock: socket.socket) -> None:
        """Serve a connection that another process has handed over (`ServerConnection.hand_over`); ``sock`` is ours."""
        try:
            host = sock.getpeername()[0]
        except OSError:  # the caller has left
            sock.close()
            return
        trusted = self.trusts(host)
        if self.draining or not self.admission.admits(host, trusted=trusted):
            sock.close()
            return
        connection = self._acceptor.resumed(asyncio.get_running_loop(), self)
        self.admission.opened(connection, host, trusted=trusted)
        self.listeners.connect((connection.protocol, partial(self.closed, connection)), sock)

    # -- life

    @property
    def handshakes(self) -> Handshakes:
        """The TLS handshakes of callers."""
        return self._acceptor.handshakes

    @property
    def exchanges(self) -> int:
        return len(self.own) + sum(len(connection.exchanges) for connection in self.connections)

    def running(self) -> list[Exchange]:
        """The exchanges that run."""
        return [*self.own, *(exchange for connection in self.connections for exchange in connection.exchanges)]

    def live(self) -> Counter[str]:
        """How many exchanges run, by the name of their proxy."""
        return Counter(exchange.proxy for exchange in self.running())

    def tunnels(self) -> Counter[str]:
        """How many of them are tunnels, by the name of their proxy."""
        return Counter(exchange.proxy for exchange in self.running() if exchange.status == SWITCHED)

    def _any(self) -> bool:
        """Whether a connection is open, or was accepted and has no transport yet, or a call of our own runs."""
        return bool(self.connections) or len(self.admission) > 0 or self.own.busy

    def _look_idle(self) -> None:
        if not self._any():
            self._idle.set()

    async def drain(self, timeout: float, linger: float = 0.0, give: Callable[[int], bool] | None = None) -> bool:
        """Stop accepting and finish what runs within ``timeout`` seconds; True when nothing had to be cut.

        ``linger``: seconds for which idle connections stay open for one more request, whose response closes them.
        ``give``: passes connections on to another process as soon as they are idle (`ServerConnection.hand_over`); the
        others linger.
        """
        self.draining = self.own.closed = True
        self.closes_idle = not linger
        self.listeners.close()
        for connection in list(self.connections):
            # In HTTP/2 a connection that ends says so first, and loses no request. A tunnel has no other request.
            if self.closes_idle or not connection.idle_since or connection.http_version == VERSIONS[HTTP_2]:
                connection.close_idle()
        sweep = asyncio.get_running_loop().call_later(min(linger, timeout / 2), self._sweep)
        handing = Tasks()
        if give is not None:
            handing.start(self._hand_over(give), "hand connections over")
        try:
            if self._any():
                self._idle.clear()
                await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            await self.cut()
            return False
        finally:
            sweep.cancel()
            await handing.aclose()
        return True

    async def _hand_over(self, give: Callable[[int], bool]) -> None:
        while True:
            for connection in list(self.connections):
                connection.hand_over(give)
            await asyncio.sleep(_HAND_OVER_SECONDS)

    def _sweep(self) -> None:
        self.closes_idle = True
        for connection in list(self.connections):
            connection.close_idle()

    async def cut(self) -> None:
        """End every exchange and connection now; returns when the last has ended."""
        self.draining = self.closes_idle = True
        self.listeners.close()
        self._idle.clear()
        for connection in list(self.connections):
            connection.cancel(errors.DRAINING)
        self.own.cancel(errors.DRAINING)
        if self._any():
            await self._idle.wait()
        self.hangups.close()
