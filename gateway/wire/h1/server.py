"""The server's side of HTTP/1.1: one connection of a caller, its requests one after the other.

    IDLE --head--> SERVING --response taken, request read--> IDLE      (pipelined heads are taken from the stash)

`states.py` has the other ways, and the timer of each state. A second timer, `StallWatch`, runs while bytes wait for the
caller, in every state. No request is begun while bytes of the response before it are unsent, because a caller that
pipelines and never reads would fill our memory.

The connection is made of layers, each with its own file: a socket (`Link`), a message that is written
(`MessageWriter`), the body of a request (`RequestBody`), the stream of a request (`H1ServerStream`), heads
(`RequestHeads`), and here the life of the connection and of its exchanges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.peer import TlsFacts
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service, peer_of
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.request_body import MAX_STASH
from gateway.wire.h1.request_heads import RequestHeads
from gateway.wire.h1.server_stream import MAX_DRAIN
from gateway.wire.h1.states import SERVER_TIMERS, ServerEvent, ServerState

_MAX_LINGER_BYTES = 1 << 20
_NONE: Coroutine[None, None, None] | None = None
"""For a type checker, and the code compiled from its types, an attribute that is set to a plain None stays None."""

# Bound once: Python 3.11 takes 0.13 us to look a member up.
NEW, IDLE, HEAD, SERVING, RECEIVING, HELD, FLUSHING, DRAINING, LINGERING, TUNNEL, CLOSED = ServerState


class H1Server(RequestHeads):
    """A `gateway.wire.connections.ServerConnection`, and the `asyncio.BufferedProtocol` of its socket."""

    __slots__ = ("_discarded", "_idle_since", "_tls")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        parser: HeadParser,
        service: Service,
        tls: TlsFacts | None,
    ) -> None:
        """``tls``: of the handshake, where there is TLS below."""
        super().__init__(loop, buffers, parser, service)
        self._tls = tls
        self._idle_since = 0.0
        """When the wait for the current or the last head began."""
        self._discarded = 0
        """Bytes that were read and dropped since the last response."""

    # -- life

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        super()._connected(transport)
        peer = peer_of(transport, self._service.trusts, self._tls)
        if peer is None:
            self.abort()
            return
        self.peer = peer
        self._service.opened(self)
        self._idle_since = now = monotonic()
        bound = SERVER_TIMERS[self.state]
        if bound is not None:
            self.timer.arm(now + bound(self.limits))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        tunnelled = self.state is TUNNEL
        self.move(ServerEvent.LOST)
        self._service.closed(self)
        self.timer.close()
        # In `sent` the exchange waits for the caller alone: its tunnel is over, so that this cannot end the exchange.
        waits = self._sent is not None
        if tunnelled and not waits and self.tunnel is not None and not self.tunnel.caller_lost():
            self.full = False  # the exchange ends by itself, and nothing waits for the caller any more
        elif self._sent is None or not self._sent.done():  # else the caller took everything before it left
            self._interrupt(errors.CLIENT_GONE)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def eof_received(self) -> bool:
        if self.tunnel is not None and self.state is TUNNEL:
            self.tunnel.inward.end()
            return True
        # A caller that half-closes while it waits counts as gone, as with nginx, Envoy and Go; the transport closes,
        # once it has flushed. A response that goes on must not wait for that.
        if self.exchange is not None and self.full and self._sent is None:
            self._peer_left()
        elif self._until_close and (self._sent is not None or self.exchange is None):  # all of it was written
            self.unguard()
        return False

    def _peer_left(self) -> None:
        if self.move(ServerEvent.LEFT):
            self.cancel(errors.CLIENT_GONE)
        elif self.tunnel is not None and self.state is TUNNEL:
            if self.was_reset():
                self.tunnel.caller_lost()
                self.cancel(errors.CLIENT_GONE)
            else:
                self.tunnel.caller_leaves()

    @property
    def http_version(self) -> str:
        return "1.1"

    @property
    def exchanges(self) -> Sequence[Exchange]:
        return () if self.exchange is None else (self.exchange,)

    @property
    def idle_since(self) -> float:
        """When the wait for a request, or for the rest of its head, began; 0.0 while one is served."""
        state = self.state
        return self._idle_since if state is IDLE or state is NEW or state is HEAD else 0.0

    def close_idle(self) -> None:
        """For a drain: close now if nothing is being served, and take leave in a tunnel.

        A request that the kernel has, and this process has not read yet, is served: a close would reset it.
        """
        if self._idles and self.unread():
            return
        if self.move(ServerEvent.SWEPT) and self.transport is not None:
            self.transport.close()
        elif self.tunnel is not None and self.state is TUNNEL:
            self.tunnel.drain()

    def hand_over(self, give: Callable[[int], bool]) -> bool:
        """As `ServerConnection.hand_over`: without TLS, and while it is idle. What is unread is read by the other."""
        if self._fd < 0 or not self._idles or self._stash or self.unsent or not give(self._fd):
            return False
        self.make_room()
        return True

    @property
    def _idles(self) -> bool:
        """It waits for the first byte of a request."""
        state = self.state
        return self.alive and (state is IDLE or state is NEW)

    def begin_idle(self) -> None:
        """To be called before `connection_made`: another process has served this connection, and left it idle."""
        self.state = IDLE

    def make_room(self) -> None:
        """Close at once to make room for other connections: nothing is being served."""
        self.move(ServerEvent.CUT)
        self.abort()

    def cancel(self, reason: Reason) -> None:
        """End the exchange that runs, as if it had failed for ``reason``, and the connection with it."""
        self._interrupt(reason)
        self.cut()

    def _interrupt(self, reason: Reason) -> None:
        if self.exchange is not None and self._task is not None:
            if not self.exchange.reason:
                self.exchange.reason = reason.code
            if reason is errors.CLIENT_GONE and not self.exchange.gone_at:
                self.exchange.gone_at = monotonic()
            self._task.cancel()

    # -- bytes and time

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffers.current[:nbytes]
        state = self.state
        if state is IDLE or state is NEW:
            if self._stash:
                self._stash += data
                self._advance()
            else:
                self._take_first(data.tobytes())
        elif state is RECEIVING:
            self._relay(data, pooled=True)
            if nbytes == self._read_size:
                self.full_read()
        elif state is HEAD:
            self._take_part(data)
        elif state is SERVING or state is HELD or state is FLUSHING:
            self._stash += data
            self._bound_stash()
        elif state is DRAINING:
            self._drain(bytes(data))
        elif state is LINGERING:
            self._discarded += len(data)
            if self._discarded > _MAX_LINGER_BYTES:
                self.make_room()
        elif state is TUNNEL:
            self._pass_on(data, pooled=True)
            if nbytes == self._read_size:
                self.full_read()

    def _on_timeout(self) -> None:
        before = self.state
        if before is HEAD:
            self._refuse(GatewayError(errors.CLIENT_TIMEOUT, "The head of the request did not come in time"))
            return
        self.move(ServerEvent.EXPIRED)
        if before is RECEIVING:
            self._fail_upload(GatewayError(errors.CLIENT_TIMEOUT, "The request body did not come in time"))
        elif before is DRAINING or before is LINGERING:
            self.abort()
        elif self.transport is not None:
            self.transport.close()

    def _on_stall(self) -> None:
        self.move(ServerEvent.STALLED)
        if self.exchange is not None:
            self.cancel(errors.CLIENT_TIMEOUT)
        else:
            self.abort()

    # -- exchanges

    async def _serve(self) -> None:
        """Run one exchange after the other. One task serves a connection for life: to make one a request costs more."""
        try:
            while True:
                work = self._work
                if work is None:
                    if self.transport is None:
                        return
                    self._wake = self.loop.create_future()
                    await self._wake
                    self._wake = None
                    if self._answered and self._work is not None:
                        # No upstream slows this caller down: it could repeat as fast as the gateway refuses.
                        self._answered = False
                        await self._service.turns.wait(self.loop)
                    continue
                self._work = _NONE
                try:
                    await work
                finally:
                    self.exchange = None
                    if self._large_request is not None:
                        # The recorder keeps its exchange until the log line is written, with up to 255 others.
                        self._large_request.fields.clear()
                        self._large_request = None
                    if self._body_sink is not None:
                        self.stop_body()
                self._after_exchange()
                if self._work is not None:  # its head had come already, and no event of the kernel made us wait
                    await self._service.turns.wait(self.loop)
        except asyncio.CancelledError:
            if self._work is not None:  # cancelled before its turn
                self._work.close()
                self._work = self.exchange = None
            self.cut()
        except Exception as error:
            # Layers respond to their errors; what still gets here must not leave a caller waiting.
            self.loop.call_exception_handler(
                {"message": "an exchange failed", "exception": error, "protocol": self.protocol}
            )
            self.cut()
        finally:
            self._task = None

    def _after_exchange(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self.full:  # a response of our own that the caller has yet to take
            self.move(ServerEvent.FLUSH)
        elif self._keep_alive and not self._left:
            self._next_request()
        else:
            self._after_response()

    def _taken(self) -> None:
        if self.state is FLUSHING and self.alive:
            self._after_response()

    def _after_response(self) -> None:
        """The caller took the whole response: go on to the next request, or to the end of the connection."""
        if not self._keep_alive or self._left > MAX_DRAIN:
            self._linger()
        elif self._left == 0:
            self._next_request()
        else:
            self._discarded = 0
            self.move(ServerEvent.REST)
            self._read_on()
            stash, self._stash = self._stash, bytearray()
            self._drain(bytes(stash))

    def _drain(self, data: bytes) -> None:
        """Read the rest of a body that no one takes, to reach the next request."""
        self._discarded += len(data)
        try:
            _, consumed = self._payload(memoryview(data))
        except GatewayError:
            self._discarded = MAX_DRAIN + 1
        if self._discarded > MAX_DRAIN and self._left:
            self._linger()
        elif self._left == 0:
            self._stash += data[consumed:]
            self._next_request()

    def _next_request(self) -> None:
        if self._service.closes_idle:
            self._linger()
            return
        self.state = IDLE
        self._parts = 0
        self._idle_since = now = monotonic()
        timer = self.timer
        timer.expires_at = at = now + self.limits.keepalive_timeout
        if at < timer.fires_at:  # nearly never: no call for it
            timer.arm(at)
        if self._stash:
            self._scanned = 0
            self._advance()
        # Not before, and not while much is stashed: each response would make room for one more read.
        if not self._reading and (self.state is not SERVING or len(self._stash) <= MAX_STASH):
            self._read_on()

    def _linger(self) -> None:
        """Serve no further request on this connection."""
        transport = self.transport
        assert transport is not None
        if self._until_close:
            self.unguard()
        if self._left == 0 and not self._stash and not self._refused and self._reading:
            self.move(ServerEvent.CLOSE)
            transport.close()
            return
        self.move(ServerEvent.LINGER)
        self._discarded = 0
        self._stash.clear()
        self._read_on()
        if transport.can_write_eof():
            transport.write_eof()
