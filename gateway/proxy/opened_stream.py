"""A stream of events that the gateway has begun by itself, because its caller waits in the queue.

The caller then has the status 200, whatever comes: a stream of events of the upstream goes on in it, behind the
comments; a failure becomes an event ``error``; any other response of the upstream does not fit, and is such a failure
too.
"""

from __future__ import annotations

from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.fallback import Discarded
from gateway.core.message import CHUNKED, ResponseHead
from gateway.core.stream import Source
from gateway.errors import GatewayError
from gateway.proxy.error_body import error_event
from gateway.proxy.event_watch import EVENTS, described

OK: Final = 200
_FIELDS: Final = [b"Content-Type: text/event-stream", b"Cache-Control: no-store"]


class OpenedStream:
    """A `gateway.core.event_stream.Opened`, and the source of the caller's stream before and behind the upstream's."""

    __slots__ = ("_exchange", "_full", "_source", "unfit")

    def __init__(self, exchange: Exchange, lines: bytes) -> None:
        """Send the head. ``lines``: more field lines, each ended by CRLF."""
        self._exchange = exchange
        self._source: Source | None = None
        self._full = False
        self.unfit: Discarded | None = None
        head = ResponseHead(OK, b"OK", 1, _FIELDS, {}, CHUNKED, True)
        exchange.downstream.begin(head, lines, self, None)
        exchange.downstream.flush()

    def comment(self, text: bytes) -> None:
        """Write a comment; none while the caller does not take what was written before."""
        if not self._full:
            self._exchange.downstream.data(memoryview(b": %b\n\n" % text), pooled=False)

    def takes(self, head: ResponseHead) -> bool:
        """As `Opened.takes`."""
        return head.status == OK and described(head) == (EVENTS, False)

    def takes_fixed(self, status: int, content_type: str) -> bool:
        """As `Opened.takes_fixed`."""
        return status == OK and content_type.partition(";")[0].strip().lower().encode() == EVENTS

    def attach(self, source: Source | None) -> None:
        """As `Opened.attach`."""
        self._source = source
        if self._full and source is not None:
            source.hold()

    def append(self, body: bytes) -> None:
        """As `Opened.append`."""
        down = self._exchange.downstream
        down.stop_body()
        if body:
            down.data(memoryview(body), pooled=False)
        down.end([])

    def append_error(self, error: GatewayError) -> None:
        """As `Opened.append_error`."""
        self.append(error_event(error, self._exchange.request_id))

    # -- a source

    def hold(self) -> None:
        """As `Source.hold`."""
        self._full = True
        if self._source is not None:
            self._source.hold()

    def resume(self) -> None:
        """As `Source.resume`."""
        self._full = False
        if self._source is not None:
            self._source.resume()
