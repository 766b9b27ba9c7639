"""What the rest of the gateway knows of a connection, whatever protocol it speaks.

A connection of a caller calls its `Service`, which keeps the list of `ServerConnection`s. A connection to an endpoint
is a `ClientConnection`: the stream of one request after the other, which its owner keeps in between; or, where many
requests share it, a `ClientSession`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.peer import Peer, TlsFacts
from gateway.core.stream import ClientStream, Tunnel, TunnelEnd
from gateway.errors import GatewayError, Reason
from gateway.wire.hangup import HangupWatch
from gateway.wire.turns import Turns


class ServerConnection(Protocol):
    """A connection of a caller."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """Itself, as the types of event loops want it."""
        ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    @property
    def http_version(self) -> str:
        """One of `gateway.core.message.VERSIONS`, where 1.1 stands for 1.0 too; empty: not known yet."""
        ...

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Those that run."""
        ...

    @property
    def idle_since(self) -> float:
        """When the wait for a request, or for the rest of its head, began; 0.0 while one is served."""
        ...

    def make_room(self) -> None:
        """Close at once for the sake of another connection: this one is idle."""
        ...

    def close_idle(self) -> None:
        """For a drain: close now if nothing is being served, and take leave in tunnels."""
        ...

    def hand_over(self, give: Callable[[int], bool]) -> bool:
        """Let another process serve this connection, if nothing but its socket has to be known for that. ``give`` gets
        the descriptor, and returns False when it cannot be passed on now. True: it was, and the connection is over here
        without a sign to the caller.
        """
        ...

    def cancel(self, reason: Reason) -> None:
        """End the exchanges that run, as if they had failed for ``reason``, and the connection with them."""
        ...


class Service(Protocol):
    """What a caller's connection needs from the data plane."""

    @property
    def limits(self) -> Limits: ...
    @property
    def draining(self) -> bool:
        """Responses end their connection."""
        ...

    @property
    def closes_idle(self) -> bool:
        """No connection waits for another request."""
        ...

    @property
    def hangups(self) -> HangupWatch: ...
    @property
    def turns(self) -> Turns: ...
    def trusts(self, address: str) -> bool:
        """Whether the peer's own X-Forwarded-* are trusted."""
        ...

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]: ...
    def refuse(self, exchange: Exchange, error: GatewayError) -> Coroutine[None, None, None]:
        """Respond to a request that could not be parsed."""
        ...

    def join(self, near: TunnelEnd, far: ClientStream) -> Tunnel:
        """Make the tunnel between the streams of a caller and of an endpoint."""
        ...

    def opened(self, connection: ServerConnection) -> None: ...
    def replaced(self, before: ServerConnection, connection: ServerConnection) -> None:
        """``connection`` serves the socket of ``before`` from now on; `opened` is called for it next."""
        ...

    def closed(self, connection: ServerConnection) -> None: ...


class ClientConnection(ClientStream, Protocol):
    """A connection to an endpoint, for one request at a time."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport | None
    on_lost: Callable[[ClientConnection], None] | None
    """Called once when the connection has closed."""
    on_idle: Callable[[ClientConnection], None] | None
    """Keeps the connection for another request; None: it is closed after its first one."""
    named_body: bool
    """The last response announced a body that does not follow. The connection should rest before it is used again, so
    that a body that follows nevertheless is not read as a response."""
    idle_limit: float
    """Seconds after which the peer closes an unused connection, as its Keep-Alive field announced."""
    abandoned_at: float
    """When the departure of the caller that it served was noticed; 0.0: the caller had not left."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """Itself, as the types of event loops want it."""
        ...

    @property
    def alive(self) -> bool:
        """Bytes may still be written."""
        ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def close(self) -> None:
        """Close, once what was written is sent."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class ClientSession(Protocol):
    """A connection to an endpoint, for many requests at a time."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport | None
    on_lost: Callable[[ClientSession], None] | None
    """Called once when the connection has closed."""
    on_free: Callable[[ClientSession], None] | None
    """Called when there is room for a stream again, and when a stream has ended."""
    on_http_1_1: Callable[[], bool] | None
    """Called when the endpoint requires HTTP/1.1; True: requests are made in it from now on."""
    on_abandoned: Callable[[float], object] | None
    """Called with the seconds from a caller's departure until its request was ended here."""
    body_idle: float
    """Longest pause in a body, in seconds; 0: none."""
    leaving: bool
    """No more streams begin: one side said so, or the connection seems to lead nowhere. It closes with the last one."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """As `ClientConnection.protocol`."""
        ...

    @property
    def room(self) -> int:
        """Streams that may be opened now; none when below 1."""
        ...

    @property
    def streams(self) -> int:
        """Those that were opened and have not ended."""
        ...

    @property
    def limit(self) -> int:
        """Streams that may run at once."""
        ...

    async def opened(self) -> None:
        """Wait until the endpoint has said how many streams it allows.

        Raises OSError when the connection ends before, and `GatewayError` when the endpoint speaks another protocol.
        """
        ...

    def open(self) -> ClientStream:
        """A stream, when there is `room`."""
        ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def leave(self) -> None:
        """Begin no more streams, and close when those that run have ended."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


def peer_of(transport: asyncio.BaseTransport, trusts: Callable[[str], bool], tls: TlsFacts | None) -> Peer | None:
    """The caller at the other end; None when it has reset the connection already, and has no name any more."""
    name = transport.get_extra_info("peername")
    if not name:
        return None
    return Peer(str(name[0]), int(name[1]), b"http" if tls is None else b"https", trusts, tls)
