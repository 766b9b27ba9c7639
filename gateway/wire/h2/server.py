"""The server's side of HTTP/2: one connection of a caller, its life and its bounds of time.

    read -> frames -> streams -> bodies are given on -> exchanges begin -> what was written leaves

The connection is made of layers, each with its own file: a socket (`Link`), the frames that are written (`Outlet`), the
rules for those that come (`Session`), the exchanges of its streams (`Exchanges`), and here the life of the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.clock import Clock
from gateway.core.peer import TlsFacts
from gateway.errors import Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service, peer_of
from gateway.wire.h2.codes import CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR, MAX_STREAM_ID, NO_ERROR, PING, H2Error
from gateway.wire.h2.exchanges import Exchanges
from gateway.wire.h2.frames import frame, goaway
from gateway.wire.h2.session import Shared
from gateway.wire.h2.states import ResponseState
from gateway.wire.timer import LazyTimer

_AT_ONCE: Final = 8
"""Exchanges that one read may begin without waiting for a turn."""
_MAX_IDLE_TASKS: Final = 8
_DRAIN_SECONDS: Final = 1.0
"""How long a client may take to acknowledge that no more streams are served (RFC 9113 6.8)."""
_DRAIN_PING: Final = b"draining"
_LINGER_SECONDS: Final = 2.0
_MAX_LINGER_BYTES: Final = 1 << 20

DONE: Final = ResponseState.DONE  # bound once: Python 3.11 takes 0.13 us to look a member up


class H2Server(Exchanges):
    """A `gateway.wire.connections.ServerConnection`, and the `asyncio.BufferedProtocol` of its socket."""

    __slots__ = (
        "_discarded",
        "_drain_timer",
        "_draining",
        "_head_timer",
        "_idle_since",
        "_idle_timer",
        "_lingering",
        "_tls",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        shared: Shared,
        service: Service,
        tls: TlsFacts | None,
        clock: Clock = monotonic,
    ) -> None:
        """``tls``: of the handshake, where there is TLS below. ``clock``: of the budgets."""
        super().__init__(loop, buffers, shared, service, clock)
        self._tls = tls
        self._idle_since = 0.0
        """When the wait for a stream began; 0.0 while there is one."""
        self._idle_timer = LazyTimer(loop, self._on_idle)
        self._head_timer = LazyTimer(loop, self._on_slow_head)
        self._draining = False
        self._drain_timer: asyncio.TimerHandle | None = None
        self._lingering = False
        """The connection is over, and what the client still sends is dropped. A close with unread bytes makes the
        kernel send a RST, which can destroy a GOAWAY that is still on its way."""
        self._discarded = 0

    # -- life

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        super()._connected(transport)
        peer = peer_of(transport, self._service.trusts, self._tls)
        if peer is None:
            self.abort()
            return
        self.peer = peer
        self._greet()
        self._idle_since = now = monotonic()
        limits = self.limits
        self._idle_timer.arm(now + (limits.first_byte_timeout or limits.keepalive_timeout or limits.header_timeout))
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._idle_timer, self._head_timer):
            timer.close()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._service.closed(self)

    def eof_received(self) -> bool:
        # A caller that half-closes while it waits counts as gone, as in HTTP/1.1; the transport closes, once it has
        # flushed. Responses that go on must not wait for that.
        if self._runners and not self._lingering:
            self.cancel(errors.CLIENT_GONE)
        return False

    def _peer_left(self) -> None:
        self.cancel(errors.CLIENT_GONE)

    def _on_stall(self) -> None:
        self.cancel(errors.CLIENT_TIMEOUT)

    @property
    def idle_since(self) -> float:
        return self._idle_since

    def make_room(self) -> None:
        """Close at once to make room for other connections: nothing is being served."""
        self.emit(goaway(self._last, NO_ERROR))
        self.flush()
        self.abort()

    def hand_over(self, give: Callable[[int], bool]) -> bool:
        return False  # the tables of both sides and the keys of TLS cannot be passed on

    def cancel(self, reason: Reason) -> None:
        """End the exchanges that run, as if they had failed for ``reason``, and the connection with them."""
        self._end_all(reason)
        self.abort()

    # -- the end of a connection

    def close_idle(self) -> None:
        """For a drain: begin no more streams, and close when those that run have ended (RFC 9113 6.8). Tunnels get a
        Close.

        A stream that is on its way may still come, until the client has acknowledged that it knows.
        """
        if self._draining or self._lingering:
            return
        self._draining = True
        for stream in list(self.streams.values()):
            if stream.tunnel is not None:
                stream.tunnel.drain()
        self.emit(goaway(MAX_STREAM_ID, NO_ERROR) + frame(PING, 0, 0, _DRAIN_PING))
        self._drain_timer = self.loop.call_later(_DRAIN_SECONDS, self._refuse_streams)

    def on_ping_ack(self, payload: bytes) -> None:
        if payload == _DRAIN_PING:
            self._refuse_streams()

    def _refuse_streams(self) -> None:
        if not self._refusing and self._draining:
            self._refusing = True
            self.emit(goaway(self._last, NO_ERROR))
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._refusing and not self.streams and not self._leaving and not self._lingering:
            self.flush()
            if self.transport is not None:
                self.transport.close()

    def _break(self, error: H2Error) -> None:
        """The client broke a rule: nothing that it sends has a known meaning any more."""
        self._lingering = True
        self.emit(goaway(self._last, error.code, error.details))
        self._end_all(errors.BAD_REQUEST)
        self._linger()

    def _linger(self) -> None:
        self._head_timer.disarm()
        self.flush()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._read_on()
        self._idle_timer.arm(monotonic() + _LINGER_SECONDS)
        if transport.can_write_eof():
            transport.write_eof()

    def _on_idle(self) -> None:
        if self._lingering:
            self.abort()
        elif not self.streams and not self._leaving:
            self._refusing = True
            self.emit(goaway(self._last, NO_ERROR))
            self._close_when_idle()

    def _on_slow_head(self) -> None:
        self._break(H2Error(ENHANCE_YOUR_CALM, "a frame or a header block did not come whole in time"))

    # -- bytes

    def buffer_updated(self, nbytes: int) -> None:
        if self._lingering:
            self._discarded += nbytes
            if self._discarded > _MAX_LINGER_BYTES:
                self.abort()
            return
        reader = self._reader
        frames, messages = reader.frames, reader.messages
        try:
            reader.feed(self._buffers.current[:nbytes])
            while self._touched:
                stream, _ = self._touched.popitem()
                stream.deliver()
        except H2Error as error:
            self._break(error)
            return
        self._begin_exchanges()
        self.pump()
        if not messages and reader.messages and self._idle_since:  # it speaks HTTP/2, and need not begin a stream yet
            self._idle_timer.arm(self._idle_since + (self.limits.keepalive_timeout or self.limits.header_timeout))
        if not reader.partial:
            self._head_timer.disarm()
        elif reader.messages != messages or not self._head_timer.expires_at:
            self._head_timer.arm(monotonic() + self.limits.header_timeout)
        self.took_pieces(reader.frames - frames + self.tunnelled)
        self.tunnelled = 0
        if nbytes == self._read_size:
            self.full_read()

    # -- streams

    def _began(self) -> None:
        self._idle_since = 0.0
        self._idle_timer.disarm()

    def stalled(self, ident: int) -> None:
        stream = self.streams.get(ident)
        if stream is not None:
            self.interrupt(stream, errors.CLIENT_TIMEOUT)
            self.reset_stream(stream, CANCEL)

    def cut_off(self, ident: int) -> None:
        stream = self.streams.get(ident)
        if stream is not None:  # RFC 8441 5: CANCEL is the RST of a tunnel
            self.reset_stream(stream, INTERNAL_ERROR if stream.tunnel is None else CANCEL)

    def _stream_over(self) -> None:
        if self.streams or self._leaving or self.transport is None:
            return
        if self._refusing:
            self._close_when_idle()
        elif not self._lingering:
            self._idle_since = now = monotonic()
            self._idle_timer.arm(now + self.limits.keepalive_timeout)
