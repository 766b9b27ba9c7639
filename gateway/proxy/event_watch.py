"""Watches a response of server-sent events: the back end must go on with its work, and not only with its comments.

    waiting for the first event --data--> waiting for the next event --end of the response--> closed
      any --time without data, in which the caller took all--> stalled (in shadow mode: it is noted once)

It is the sink of the response, in front of the caller's stream. A bound on silence (`timeout_config.body_idle`) does
not see such a stall, because comments that keep a connection alive break the silence.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from gateway import errors
from gateway.config.records import Stream
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead, ResponseHead
from gateway.core.stream import ClientStream
from gateway.errors import GatewayError
from gateway.proxy.error_body import error_event
from gateway.proxy.held_head import HeldHead
from gateway.proxy.pass_through import PassThrough
from gateway.wire.event_reader import EventReader
from gateway.wire.timer import LazyTimer

EVENTS: Final = b"text/event-stream"
_CONTENT_TYPE: Final = b"content-type:"
_CONTENT_ENCODING: Final = b"content-encoding:"
_LATE: Final = 0.001
"""A timer may fire so many seconds before its time."""


def described(head: ResponseHead) -> tuple[bytes, bool]:
    """The media type of a response in lower case, and whether its body is encoded, so that it cannot be read here."""
    media_type, encoded = b"", False
    for line in head.fields:
        name = line[: line.find(b":") + 1].lower()
        if name == _CONTENT_TYPE:
            media_type = line[len(name) :].partition(b";")[0].strip().lower()
        elif name == _CONTENT_ENCODING:
            encoded = encoded or line[len(name) :].strip().lower() != b"identity"
    return media_type, encoded


def is_event_stream(request: RequestHead, head: ResponseHead) -> bool:
    """The response has a body of events that can be read here: nothing encodes it."""
    if head.status != 200 or not head.length or request.method == b"HEAD":
        return False
    return described(head) == (EVENTS, False)


class EventWatch(PassThrough):
    """The `gateway.core.stream.Sink` of such a response, and its `gateway.core.event_stream.Events`."""

    __slots__ = (
        "_blocked",
        "_held",
        "_over",
        "_reader",
        "_settings",
        "_stream",
        "_timer",
        "_whole",
        "first_at",
        "longest_gap",
        "overdue",
        "since",
    )

    def __init__(
        self,
        exchange: Exchange,
        settings: Stream,
        stream: ClientStream,
        head: ResponseHead,
        held: HeldHead | None = None,
    ) -> None:
        """``held``: what keeps the response from the caller until the first event; None: the caller has its head."""
        super().__init__(held or exchange.downstream)
        self._held = held
        self._settings = settings
        self._stream = stream
        self._reader = EventReader()
        self._whole = head.length > 0
        """The length of the body was announced: nothing can be added."""
        self._blocked = self._sink.blocked
        """`Sink.blocked` when the present wait began."""
        self._over = False
        """The end of the response was written."""
        self.overdue = False
        self.since = monotonic()
        self.first_at = 0.0
        self.longest_gap = 0.0
        self._timer = LazyTimer(asyncio.get_running_loop(), self._look)
        if settings.first_event:
            self._timer.arm(self.since + settings.first_event)

    # -- what the exchange knows of it

    @property
    def count(self) -> int:
        return self._reader.count

    @property
    def takes_error(self) -> bool:
        settings = self._settings
        if self._over or self._whole or settings.on_stall != "error_event" or settings.mode != "enforce":
            return False
        return self._reader.between_events

    def append_error(self, error: GatewayError, request_id: bytes) -> None:
        self._over = True
        self._sink.data(memoryview(error_event(error, request_id)), pooled=False)
        self._sink.end([])

    def close(self) -> None:
        self._timer.close()

    # -- the sink

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        self._read(bytes(piece))
        self._sink.data(piece, pooled=pooled)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        self._read(b"".join(parts))
        self._sink.pieces(parts, pooled=pooled)

    def end(self, trailers: list[bytes]) -> None:
        self._over = True
        self._timer.close()
        self._sink.end(trailers)

    def whole(self, body: memoryview) -> None:
        self._read(bytes(body))
        self._over = True
        self._timer.close()
        self._sink.whole(body)

    # -- inside

    def _read(self, piece: bytes) -> None:
        if not self._reader.feed(piece):
            return
        if self._held is not None:
            self._held.release()
            self._held = None
        now = monotonic()
        if self.first_at:
            self.longest_gap = max(self.longest_gap, now - self.since - (self._sink.blocked - self._blocked))
        else:
            self.first_at = now
        self.since = now
        self._blocked = self._sink.blocked
        gap = self._settings.event_gap
        if gap:
            self._timer.arm(now + gap)
        else:
            self._timer.disarm()

    def _look(self) -> None:
        """The time is over, unless the caller took a part of it."""
        settings, sink = self._settings, self._sink
        bound = settings.event_gap if self.first_at else settings.first_event
        now = monotonic()
        if sink.full:  # nothing is read from the back end; how long, `blocked` says afterwards
            self._timer.arm(now + bound)
            return
        due = self.since + (sink.blocked - self._blocked) + bound
        if now < due - _LATE:
            self._timer.arm(due)
        elif settings.mode == "shadow":
            self.overdue = True
        else:
            what = "event_gap" if self.first_at else "first_event"
            details = f"No event with data came for {bound:g} s (stream.{what})"
            self._stream.fail(GatewayError(errors.STREAM_STALLED, details))
