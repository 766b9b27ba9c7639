"""One request on a connection to an endpoint."""

from __future__ import annotations

import asyncio
from time import monotonic

from gateway import errors
from gateway.core.forwarded import folded
from gateway.core.limits import Limits
from gateway.core.message import OutgoingRequest
from gateway.core.stream import Reply, Source, Tunnel
from gateway.errors import GatewayError, Reason
from gateway.wire.h2.carrier import Carrier
from gateway.wire.h2.client_response import HEAD, ClientResponse
from gateway.wire.h2.client_states import ClientEvent
from gateway.wire.h2.codes import CANCEL, NO_ERROR
from gateway.wire.h2.frame_writer import FrameWriter


class H2ClientStream(ClientResponse):
    """A `gateway.core.stream.ClientStream`."""

    __slots__ = ("_replaced", "http_version")

    def __init__(self, carrier: Carrier[ClientResponse], writer: FrameWriter, body_idle: float) -> None:
        """As `ClientResponse`."""
        super().__init__(carrier, writer, body_idle)
        self.http_version = "2"
        self._replaced: frozenset[bytes] = frozenset()
        """Folded names of fields that the caller may not send, in trailers neither."""

    # -- the request

    def send(
        self, request: OutgoingRequest, lines: bytes, body: bytes, reply: Reply, limits: Limits
    ) -> asyncio.Future[None]:
        """As `ClientStream.send`."""
        carrier, writer = self._carrier, self._writer
        self._done = done = writer.loop.create_future()
        if not carrier.begin(self):
            error = GatewayError(errors.UPSTREAM_RESET, "The connection takes no more requests", unprocessed=True)
            self._fail(error)
            return done
        self.move(ClientEvent.SEND)
        self.sent_at = monotonic()
        self._to_head = request.method == b"HEAD"
        self._replaced = request.replaced
        self._reply = reply
        self.limits = limits
        encoder = writer.encoder
        block = encoder.request(request, carrier.scheme) + encoder.lines(lines)
        if not request.length:
            self.written = True
        writer.emit_headers(self.ident, block, ended=self.written)
        if body:
            self.whole(memoryview(body))
        return done

    def expect_by(self, at: float, reason: Reason) -> None:
        """As `ClientStream.expect_by`."""
        self.move(ClientEvent.EXPECT)
        if self.state is HEAD:
            self._head_reason = reason
            if at:
                self._expire_at(at)
            else:
                self.expires_at = 0.0

    def begin_body(self, source: Source, length: int) -> None:
        """As `ClientStream.begin_body`."""
        del length  # which its head has said
        self._source = source
        self.body_out = 0
        self.blocked = 0.0
        if self.full or self._writer.full:
            source.hold()

    def end(self, trailers: list[bytes]) -> None:
        """The request's body is complete. Of its trailers those are sent that no configured field replaces."""
        if self._replaced:
            trailers = [line for line in trailers if folded(line[: line.find(b":")]) not in self._replaced]
        super().end(trailers)

    # -- never the end of a tunnel: no upgrade is asked for in HTTP/2

    def join(self, tunnel: Tunnel) -> None:
        raise AssertionError("a request of HTTP/2 asks for no other protocol")

    def finish(self) -> None:
        raise AssertionError("a request of HTTP/2 asks for no other protocol")

    def waiting(self) -> int:
        raise AssertionError("a request of HTTP/2 asks for no other protocol")

    def _on_full(self) -> None:
        self.move(ClientEvent.FULL)

    def _on_taken(self) -> None:
        self.move(ClientEvent.OPEN)

    def _on_written(self) -> None:
        if self._ended:
            self._carrier.end(self, NO_ERROR)

    # -- its end

    def release(self, request_complete: bool) -> None:
        """The exchange is over. A response that did not need the rest of the request's body stops it."""
        del request_complete  # END_STREAM says it
        self._carrier.end(self, CANCEL)
        self._close()

    def abandon(self, gone_at: float) -> None:
        """The exchange is broken off: the stream is reset, and the connection lives on."""
        self._carrier.end(self, CANCEL)
        self._close()
        if gone_at:
            self._carrier.abandoned(gone_at)
