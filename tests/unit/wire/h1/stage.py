"""Both kinds of HTTP/1.1 connections on links without a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from time import monotonic

from harness.scripted import KeptReply, ScriptedTransport

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import UNTIL_CLOSE, OutgoingRequest, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Source, TunnelEnd
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ClientConnection, ServerConnection
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server
from gateway.wire.h1.states import ServerState
from gateway.wire.hangup import HangupWatch
from gateway.wire.memory import MemoryStream
from gateway.wire.timer import LazyTimer
from gateway.wire.tunnel import Tunnel
from gateway.wire.turns import Turns

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def seconds_left(timer: LazyTimer) -> int | None:
    """Of an armed timer, rounded; None: it is not armed."""
    return round(timer.expires_at - monotonic()) if timer.expires_at else None


class Service:
    """Responds to each exchange when the test says so."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self.closes_idle = False
        self.hangups = HangupWatch()
        self.turns = Turns()
        self.connections: set[ServerConnection] = set()
        self.served: list[Exchange] = []
        self.refused: list[str] = []
        self.go_on = asyncio.Event()
        self.refuses_at_once = True

    def trusts(self, address: str) -> bool:
        return False

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]:
        return self._respond(exchange)

    async def _respond(self, exchange: Exchange) -> None:
        self.served.append(exchange)
        await self.go_on.wait()
        if exchange.downstream.tunnel is not None:
            exchange.downstream.tunnel.cut(0.0)
        elif exchange.request.target.startswith(b"/until-close"):
            exchange.downstream.begin(ResponseHead(200, b"OK", 1, [], {}, UNTIL_CLOSE, False), b"", None, None)
            exchange.downstream.end([])
        else:
            exchange.downstream.respond(200, b"X: 1\r\n", b"ok")
        await exchange.downstream.sent() if exchange.request.target in (b"/sent", b"/until-close") else None

    async def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self.refused.append(error.reason.code)
        if not self.refuses_at_once:
            await self.go_on.wait()
        exchange.downstream.respond(error.reason.status, b"", b"")

    def join(self, near: TunnelEnd, far: ClientStream) -> Tunnel:
        return Tunnel(asyncio.get_running_loop(), near, far, framed=True)

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def replaced(self, before: ServerConnection, connection: ServerConnection) -> None:
        self.connections.discard(before)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)


class CallerStage:
    """A connection of a caller."""

    def __init__(self, limits: Limits | None = None, sock: socket.socket | None = None) -> None:
        self.service = Service(limits or Limits())
        self.server = H1Server(asyncio.get_running_loop(), BufferPool(), HeadParser(), self.service, None)
        self.transport = ScriptedTransport(self.server, peername=("192.0.2.1", 5000), socket=sock)

    @property
    def state(self) -> ServerState:
        return self.server.state

    async def turn(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def respond(self) -> None:
        self.service.go_on.set()
        await self.turn()
        self.service.go_on.clear()


class EndpointStage:
    """A connection to an endpoint."""

    def __init__(self, request: OutgoingRequest | None = None) -> None:
        self.client = H1Client(asyncio.get_running_loop(), BufferPool(), HeadParser())
        self.idle: list[ClientConnection] = []
        self.client.on_idle = self.idle.append
        self.transport = ScriptedTransport(self.client)
        self.request = request or OutgoingRequest(
            b"GET", b"/", b"up:1", b"A: 1\r\n", 0, takes_trailers=False, replaced=frozenset()
        )

    def send(self, body: bytes = b"") -> tuple[asyncio.Future[None], KeptReply]:
        reply = KeptReply()
        return self.client.send(self.request, b"B: 2\r\n", body, reply, Limits()), reply


class KeptRequest(MemoryStream):
    """A stream to an endpoint that keeps the body of its request in memory, and why it failed."""

    __slots__ = ("error", "length", "source")

    def __init__(self) -> None:
        super().__init__(Peer("192.0.2.9", 1, b"http", lambda address: False), Limits())
        self.source: Source | None = None
        self.length = 0
        self.error: GatewayError | None = None

    def begin_body(self, source: Source, length: int) -> None:
        self.source, self.length = source, length

    def fail(self, error: GatewayError) -> None:
        self.error = error
