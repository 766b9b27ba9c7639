"""The stream of the request that a caller's connection serves: how its response is framed, and when it is taken.

In HTTP/1.1 the connection is that stream, because it serves one request at a time: `H1Server` is the layer above.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from gateway.core.message import ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Source, Trailer, Tunnel
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service
from gateway.wire.h1.request_body import RequestBody
from gateway.wire.h1.serialize import interim_head, own_head, response_head, switch_head
from gateway.wire.h1.states import ServerEvent, ServerState
from gateway.wire.stall import StallWatch

MAX_DRAIN = 65536
"""A request body up to this size is read to its end after an early response, to keep the connection."""
TUNNEL = ServerState.TUNNEL  # bound once: Python 3.11 takes 0.13 us to look a member up


class H1ServerStream(RequestBody):
    """A `gateway.core.stream.ServerStream`."""

    __slots__ = ("_answered", "_keep_alive", "_sent", "_stall", "_until_close", "peer", "tunnel")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, service: Service) -> None:
        super().__init__(loop, buffers, service)
        self.peer: Peer
        self._keep_alive = False
        self._until_close = False
        self._answered = False
        """The last response was the gateway's own: the next request waits for its turn."""
        self._sent: asyncio.Future[None] | None = None
        """Resolved when the kernel has taken all that was written; set while the exchange waits for that."""
        self._stall: StallWatch | None = None
        """Runs while bytes wait for the caller, in every state but TUNNEL; made when that first happens."""
        self.tunnel: Tunnel | None = None
        """What the last exchange of the connection has become."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._stall is not None:
            self._stall.close()
            self._stall = None  # it leads back to this connection

    # -- head

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on; HTTP/1.0 has none (RFC 9110 15.2)."""
        if head.status == 100:
            self._awaits_continue = False
        if self.exchange is not None and self.exchange.request.minor:
            self.write(interim_head(head))

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        """As `ServerStream.begin`."""
        framing = self._frame(head.length)
        if trailer is not None and self.chunked_out:
            self._trailer = trailer
            framing += b"Trailer: %b\r\n" % trailer.name
        self.start(response_head(head, framing, lines), source)

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """As `ServerStream.respond`."""
        assert self.exchange is not None
        self._answered = True
        self.stop_body()
        framing = self._frame(len(body))
        self.start(own_head(status, b"%bContent-Length: %d\r\n%b" % (lines, len(body), framing)), None)
        self.whole(memoryview(b"" if self.exchange.request.method == b"HEAD" else body))

    def _frame(self, length: int) -> bytes:
        """Decide how the response ends and whether the connection persists; return the field lines that say so.

        ``length`` as in `ResponseHead`. RFC 9112 6.1, 6.3, 9.3, 9.6.
        """
        assert self.exchange is not None
        request = self.exchange.request
        minor = request.minor
        keep = (
            request.keep_alive
            and not (self._refused or self._awaits_continue or self._service.draining)
            and self.limits.keepalive_timeout > 0
            # A body that is still being uploaded may yet end; a small one that is not taken is read to its end.
            and (self._left <= MAX_DRAIN or self._body_sink is not None)
        )
        if length >= 0 and keep and minor:
            self._keep_alive = True
            self.chunked_out = False
            self._trailer = None
            return b""
        chunked = False
        lines = b""
        if length < 0:
            chunked = minor == 1
            if not chunked:
                self._until_close = True
                self.guard()
            keep = keep and chunked
            lines = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        self._keep_alive = keep
        self.chunked_out = chunked
        self._trailer = None
        if not keep:
            return lines + b"Connection: close\r\n"
        return lines if minor else lines + b"Connection: keep-alive\r\n"

    # -- a tunnel

    def switch(self, head: ResponseHead, lines: bytes, far: ClientStream) -> None:
        """As `ServerStream.switch`: the connection serves no other request."""
        self._keep_alive = self._until_close = self.chunked_out = False
        self._trailer = None
        self.tunnel = tunnel = self._service.join(self, far)
        self.start(switch_head(head, lines), tunnel.outward)
        far.join(tunnel)
        if not self.move(ServerEvent.SWITCH):  # closed meanwhile
            tunnel.caller_lost()
            return
        if self._stall is not None:
            self._stall.end(monotonic())
        self._read_on()
        stash, self._stash = self._stash, bytearray()
        if stash:  # what the caller sent behind its head
            self._pass_on(memoryview(stash), pooled=False)
        if self._service.draining:
            tunnel.drain()

    def _pass_on(self, data: memoryview, *, pooled: bool) -> None:
        tunnel = self.tunnel
        if tunnel is not None and self.exchange is not None:
            self.exchange.bytes_in += len(data)
            way = tunnel.inward
            way.data(data, pooled=pooled)
            self.took_pieces(way.pieces)

    # -- until it is taken

    async def sent(self) -> float:
        """Wait until the kernel has taken all that was written; the seconds for which this response waited for it."""
        if self.full:
            if self.state is TUNNEL:  # it is over, and its last bytes are like those of any response
                self._watch_stall()
            self._sent = self.loop.create_future()
            try:
                await self._sent
            finally:
                self._sent = None
        return self.blocked

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.state is not TUNNEL:  # which has its own bound, of both directions
            self._watch_stall()

    def _watch_stall(self) -> None:
        if self.transport is None:
            return
        if self._stall is None:
            self._stall = StallWatch(self.loop, self.transport, self.limits, self._on_stall)
        self._stall.begin(self.blocked_since)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.end(monotonic())
        if self._sent is None:
            self._taken()
        elif not self._sent.done():
            self._sent.set_result(None)

    def _on_stall(self) -> None:
        """Bytes have waited for the caller for too long."""
        raise NotImplementedError

    def _taken(self) -> None:
        """The caller has taken all that was written, and no exchange waits for that."""
        raise NotImplementedError

    # -- end

    def cut(self) -> None:
        """Cut the connection: what was sent of a response must not look like a complete one."""
        self.move(ServerEvent.CUT)
        if self._until_close:
            self.reset()
        else:
            self.abort()
