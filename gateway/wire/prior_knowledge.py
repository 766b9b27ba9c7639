"""A connection without TLS whose first bytes say which protocol it speaks (RFC 9113 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from gateway.core.exchange import Exchange
from gateway.errors import Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection, Service
from gateway.wire.h2.codes import PREFACE
from gateway.wire.link import Link
from gateway.wire.timer import LazyTimer


class PriorKnowledge(Link):
    """A `gateway.wire.connections.ServerConnection` until the protocol is known; then another takes over.

    The preface of HTTP/2 begins no request of HTTP/1.1, and what does not begin so is left to HTTP/1.1.
    """

    __slots__ = ("_idle_since", "_make", "_service", "_stash", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        service: Service,
        make: Callable[[bool], ServerConnection],
    ) -> None:
        """``make``: the connection that takes over; True: it speaks HTTP/2."""
        super().__init__(loop, buffers)
        self._service = service
        self._make = make
        self._stash = b""
        self._idle_since = 0.0
        self._timer = LazyTimer(loop, self.make_room)

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        super()._connected(transport)
        limits = self._service.limits
        self._idle_since = now = monotonic()
        self._timer.arm(now + (limits.first_byte_timeout or limits.keepalive_timeout or limits.header_timeout))
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._timer.close()
        self._service.closed(self)

    @property
    def http_version(self) -> str:
        return ""

    @property
    def exchanges(self) -> Sequence[Exchange]:
        return ()

    @property
    def idle_since(self) -> float:
        return self._idle_since

    def make_room(self) -> None:
        self.abort()

    def close_idle(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def hand_over(self, give: Callable[[int], bool]) -> bool:
        return False  # the other process would not know that HTTP/2 may follow

    def cancel(self, reason: Reason) -> None:
        self.abort()

    def buffer_updated(self, nbytes: int) -> None:
        data = self._stash + bytes(self._buffers.current[:nbytes])
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if len(data) < len(PREFACE) and PREFACE.startswith(data):
            self._stash = data
            return
        self._timer.close()
        self.transport = None
        connection = self._make(data.startswith(PREFACE))
        self._service.replaced(self, connection)
        transport.set_protocol(connection.protocol)
        connection.connection_made(transport)
        while data and not transport.is_closing():
            room = connection.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            data = data[size:]
            connection.buffer_updated(size)
