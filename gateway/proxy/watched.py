"""What reads the bodies of a proxy's responses as they pass: the bounds of its streams, the usage of its models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.config import records
from gateway.config.fallback import Fallback
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink, Source
from gateway.policy.retry import STALL
from gateway.proxy.event_watch import EventWatch, is_event_stream
from gateway.proxy.held_head import HeldHead
from gateway.proxy.usage_reader import Vendor
from gateway.proxy.usage_watch import usage_watch

Begin = Callable[[ResponseHead, Source | None], None]
"""Gives the head of a response to the caller: the point of no return."""


@dataclass(frozen=True, slots=True)
class Watched:
    """``stream``: how responses of events are watched; ``vendor``: whose format the usage is read in; None: neither.
    ``holds``: their heads are held back until the first event, because another attempt may take the place of one that
    stalls before.
    """

    stream: records.Stream | None
    vendor: Vendor | None
    holds: bool = False

    def sink(self, ex: Exchange, stream: ClientStream, head: ResponseHead, begin: Begin, source: Source | None) -> Sink:
        """Where the body goes of the response that begins with ``head``: to the caller in the end. ``begin`` is called
        with the head and its ``source``, at once or with the first event; then `Retries.begun`.
        """
        held = None
        is_watched = self.stream is not None and is_event_stream(ex.request, head)
        # An endpoint that has not the whole request yet may be waiting for the rest.
        if is_watched and self.holds and source is not None and ex.attempt.sent_at:
            held = HeldHead(ex.downstream, partial(_begin, ex, head, begin, source))
        else:
            begin(head, source)
        sink: Sink = ex.downstream
        if self.stream is not None and is_watched:
            ex.events = sink = EventWatch(ex, self.stream, stream, head, held)
        if self.vendor is not None:
            sink = usage_watch(ex, head, sink, self.vendor)
        if held is None and ex.retries is not None:
            ex.retries.begun()
        return sink


def _begin(ex: Exchange, head: ResponseHead, begin: Begin, source: Source) -> None:
    begin(head, source)
    if ex.retries is not None:
        ex.retries.begun()


def watched_by(route: records.Route, fallback: Fallback | None = None, *, watch_events: bool = False) -> Watched | None:
    """What reads the responses of ``route``; None: nothing does. ``fallback``: what comes after the endpoint, if
    anything does. ``watch_events``: even without bounds for them.
    """
    stream = route.stream if route.stream.watches or watch_events else None
    vendor = None if route.ai == "none" else route.ai
    return None if stream is None and vendor is None else Watched(stream, vendor, _holds(route, fallback))


def _holds(route: records.Route, fallback: Fallback | None) -> bool:
    if not route.stream.first_event or route.stream.mode != "enforce":
        return False
    retries = route.retries
    again = retries.active and retries.mode == "enforce" and STALL in retries.on
    return again or (fallback is not None and STALL in fallback.on)
