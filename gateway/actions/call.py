"""One call is one exchange: its request was made here, no socket has brought it, and its response stays in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final

from gateway.actions.repeat import Patience, Running, Work
from gateway.actions.tokens import CallToken
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import RequestHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.proxy.server import Server
from gateway.proxy.snapshot import Served
from gateway.wire.memory import Enough, MemoryStream, PieceStream

PEER: Final = Peer("127.0.0.1", 0, b"http", lambda address: False)
"""Who makes the calls: this process."""
WINDOW: Final = 1 << 18
"""Bytes of a body that is taken piece by piece before the upstream waits."""
_TURN: Final = 1e-9
"""Seconds: at least one turn of the event loop, in which all timers run that were due before."""


@dataclass(slots=True)
class Prepared:  # not frozen, because each call makes one, and setting frozen fields costs more than all else in it
    """A request that is ready to be sent. ``target`` holds the base path of its connection."""

    method: bytes
    target: bytes = field(repr=False)
    lines: list[bytes] = field(repr=False)
    """Field lines without CRLF, and without Host and Content-Length. Calls share them: they are never changed."""
    body: bytes = field(repr=False)
    seconds: float
    """For all of the call."""
    patience: Patience | None
    """None: it is not sent again."""
    work: Work | None = None
    """What a connector does instead of a request."""
    enough: Enough | None = None
    """Which response is whole before its body ends; None: none is."""
    again: Callable[[GatewayError | None], Prepared] | None = None
    """The request of another attempt, because of the error of the one before or of its response; None: it is the same.
    Of what it returns, `seconds`, `patience` and `again` are not used."""
    exchange: Exchange | None = None
    """The one that it has become."""

    @property
    def asked(self) -> bool:
        """Whether the attempt that ran last has sent something of it."""
        return self.exchange is not None and self.exchange.attempt.asked_at > 0.0


@dataclass(slots=True)
class Ended:  # not frozen, as `Prepared`
    """How a call ended: with ``error``, or with a response."""

    exchange: Exchange
    stream: MemoryStream
    error: GatewayError | None


class Opening:
    """A call whose response is taken piece by piece, once it has more than `WINDOW` bytes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.taken = asyncio.Event()
        """Set when a piece is taken."""
        self.exchange: Exchange | None = None
        self.running: Running | None = None

    @property
    def stream(self) -> PieceStream | None:
        """That of the attempt that runs; None: none does yet."""
        found = None if self.running is None else self.running.stream
        return found if isinstance(found, PieceStream) else None

    @property
    def given(self) -> bool:
        """There is a piece to take, and there will be no other attempt."""
        return self.stream is not None and self.stream.given


async def call(
    server: Server,
    calls: dict[Exchange, Running],
    served: Served,
    prepared: Prepared,
    request_id: bytes,
    *,
    token: CallToken | None = None,
    opening: Opening | None = None,
    aside: bool = False,
) -> Ended:
    """Make the call. ``calls``: those that run, for the layer `repeat`. ``request_id``: empty: one is made.
    ``token``: gives it an access token; None: it needs none. ``opening``: what takes the response piece by piece; None:
    it is in memory as a whole. ``aside``: as `gateway.proxy.own_exchanges.OwnExchanges.run`.

    When this is cancelled, the caller has left, and the exchange ends with it.
    """
    limits: Limits = server.limits
    stream: MemoryStream
    if opening is None:
        stream = MemoryStream(PEER, limits, prepared.body, prepared.enough)
    else:
        stream = PieceStream(PEER, limits, prepared.body, WINDOW, opening.changed.set)
    prepared.exchange = exchange = Exchange(stream, head_of(prepared), monotonic())
    exchange.request_id = request_id or server.new_id()
    renew = prepared.again and partial(_renewed, prepared.again, stream)
    running = Running(stream, prepared.patience, prepared.seconds, prepared.body, None, prepared.work, token, renew)
    calls[exchange] = running
    if opening is not None:
        opening.exchange, opening.running = exchange, running
    try:
        await server.own.run(exchange, served.handle, aside=aside)
    except GatewayError as error:
        running.error = error
    finally:
        del calls[exchange]
    if running.error is not None and exchange.attempts:
        # `limit` gives the permit of an attempt that broke off back a turn later, and a caller who makes the next call
        # at once must find it free.
        await asyncio.sleep(_TURN)
    return Ended(exchange, running.stream, running.error)


def _renewed(
    again: Callable[[GatewayError | None], Prepared], before: MemoryStream, failed: GatewayError | None
) -> tuple[RequestHead, MemoryStream]:
    prepared = again(failed)
    return head_of(prepared), before.again(prepared.body, prepared.enough)


def head_of(prepared: Prepared) -> RequestHead:
    """The head of the request, whose length follows from the body. Host is set when it is sent."""
    length = len(prepared.body)
    fields = prepared.lines
    if prepared.body or prepared.method not in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):
        fields = [*fields, b"Content-Length: %d" % length]
    return RequestHead(prepared.method, prepared.target, 1, fields, {}, length, True)
