"""A response that its caller does not get for now, because another attempt follows, and that is kept for the case that
this one is rejected before anything is sent.

It is kept when it is there as a whole by the time at which it is broken off otherwise, and fits into the budget of the
relay buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.exchange import GRPC_DUE, Exchange
from gateway.core.message import UNTIL_CLOSE, ResponseHead
from gateway.core.stream import ClientStream, Sink
from gateway.proxy.discard import MOST_BYTES, Discard
from gateway.proxy.grpc import status_of_trailers
from gateway.wire.buffers import BufferPool

Later = Callable[[Exchange, ResponseHead], Sink]
"""Begins the response as that of the exchange; its body follows within the same callback."""


def discard(
    head: ResponseHead, stream: ClientStream, later: Later | None, buffers: BufferPool | None, *, complete: bool
) -> Discard:
    """Where the body of a response goes that is not for the caller: it is kept where it may be.

    ``later`` None, or ``buffers`` None: it is not. ``complete``: the endpoint has the whole request.
    """
    worth = complete and head.keep_alive and head.length != UNTIL_CLOSE
    if later is None or buffers is None or head.length > MOST_BYTES:
        return Discard(stream, worth=worth)
    return KeptResponse(head, stream, later, buffers)


class KeptResponse(Discard):
    """A `Discard` whose bytes can be given to the caller later, by `give`."""

    __slots__ = ("_body", "_buffers", "_head", "_later", "_size", "_trailers", "is_whole")

    def __init__(self, head: ResponseHead, stream: ClientStream, later: Later, buffers: BufferPool) -> None:
        super().__init__(stream, worth=True)
        self._head = head
        self._later: Final = later
        self._buffers = buffers
        self._body: list[bytes] | None = []
        """None: it is kept no longer."""
        self._size = 0
        self._trailers: list[bytes] = []
        self.is_whole = False
        """All of it is here."""

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`."""
        self._keep((piece,))
        super().data(piece, pooled=pooled)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`."""
        self._keep(parts)
        super().pieces(parts, pooled=pooled)

    def end(self, trailers: list[bytes]) -> None:
        """As `Sink.end`."""
        self._trailers = trailers
        self._end()
        super().end(trailers)

    def whole(self, body: memoryview) -> None:
        """As `Sink.whole`."""
        self._keep((body,))
        self._end()
        super().whole(body)

    def give(self, ex: Exchange) -> None:
        """Let the caller have it as the response of ``ex``. Only when it `is_whole`, and once."""
        assert self._body is not None
        body = memoryview(b"".join(self._body))
        head, trailers, down = self._head, self._trailers, ex.downstream
        self.forget()
        ex.status = head.status
        sink = self._later(ex, head)
        if head.length >= 0 and not trailers:  # which HTTP/2 has also behind a body whose length was announced
            sink.whole(body)
        else:
            if body:
                sink.data(body, pooled=False)
            sink.end(trailers)
        if ex.grpc_status == GRPC_DUE:
            ex.grpc_status = status_of_trailers(trailers)
        ex.bytes_out, ex.blocked = down.body_out, down.blocked

    def forget(self) -> None:
        """It is not needed any more."""
        self._buffers.let_go(self._size)
        self._size = 0
        self._body = None
        self.is_whole = False

    def _end(self) -> None:
        self.is_whole = self._body is not None and not self.over

    def _keep(self, parts: list[memoryview] | tuple[memoryview, ...]) -> None:
        if self._body is None:
            return
        size = sum(map(len, parts))
        if self._size + size > MOST_BYTES or not self._buffers.keep(size):
            self.forget()
            return
        self._size += size
        self._body.extend(map(bytes, parts))
