"""A stream whose exchange has become a tunnel (RFC 8441): the frames of DATA are its bytes, END_STREAM is their end.

The caller may send as much as the window of the stream, beyond what the endpoint took. So a tunnel whose endpoint is
slow keeps at most that here, and no other stream of the connection waits for it.
"""

from __future__ import annotations

from gateway.core.stream import ClientStream, Tunnel
from gateway.wire.h2.outlet import Outlet
from gateway.wire.h2.request_body import RequestBody
from gateway.wire.h2.states import RequestEvent, RequestState

REST = RequestState.REST  # bound once: Python 3.11 takes 0.13 us to look a member up


class TunnelSide(RequestBody):
    """Base of a stream of a server: a `gateway.core.stream.TunnelEnd`, above the source of its request's body."""

    __slots__ = ("_far",)

    def __init__(self, link: Outlet, ident: int) -> None:
        super().__init__(link, ident)
        self._far: ClientStream | None = None
        """The endpoint's stream, while there is a tunnel."""

    def join(self, far: ClientStream) -> Tunnel:
        """Begin the tunnel to ``far``."""
        self.tunnel = tunnel = self._link.join(self, far)
        self._far = far
        self._source = tunnel.outward
        far.join(tunnel)
        return tunnel

    # -- what the caller sends

    def _pass_on(self, parts: list[memoryview]) -> None:
        far = self._far
        if self._stash or far is None or far.full:
            for part in parts:
                self._stash += part
        elif parts:
            self._give(parts[0] if len(parts) == 1 else memoryview(b"".join(parts)), far, pooled=len(parts) == 1)
        self._pass_end()

    def resume(self) -> None:
        """As `Source.resume`: the endpoint takes bytes again."""
        far = self._far
        if far is None:
            super().resume()
            return
        owed, self._owed = self._owed, 0
        self.consume(owed)
        if self._stash and not far.full:
            stash, self._stash = self._stash, bytearray()
            self._give(memoryview(stash), far, pooled=False)
        self._pass_end()

    def _give(self, piece: memoryview, far: ClientStream, *, pooled: bool) -> None:
        tunnel, size = self.tunnel, len(piece)
        if tunnel is None:
            return
        if self.exchange is not None:
            self.exchange.bytes_in += size
        way = tunnel.inward
        way.data(piece, pooled=pooled)
        self._link.tunnelled += way.pieces
        if far.full:
            self._owed += size
        else:
            self.consume(size)

    def _pass_end(self) -> None:
        """Pass the end of the caller's bytes on, behind the last one.

        Not while the endpoint is full: `resume` would come for what stood before the end, and look like the end itself.
        When both sides have said Close and the endpoint has ended, the caller has too (RFC 6455 5.5.1): browsers send
        no END_STREAM then, because to them the connection is closed.
        """
        tunnel, far = self.tunnel, self._far
        if tunnel is None or far is None or far.full or self._stash:
            return
        if self.request_ended or (self.written and tunnel.clean):
            if self.request_state is REST:
                self.move_request(RequestEvent.TAKEN)
            tunnel.inward.end()

    # -- what the caller gets: a `BodyWriter`

    def finish(self) -> None:
        """As `TunnelEnd.finish`."""
        self.end([])

    def waiting(self) -> int:
        """As `TunnelEnd.waiting`, of what the caller's window does not take. What the window took may still wait in
        the kernel, but so do bytes of other streams, and they say nothing about this one."""
        return len(self._pending)

    def _on_written(self) -> None:
        """END_STREAM was sent, for which the tunnel may wait."""
        if self.tunnel is not None:
            self.tunnel.outward.resume()
            self._pass_end()

    def close_request(self) -> None:
        """As `RequestBody.close_request`."""
        super().close_request()
        self._far = None
