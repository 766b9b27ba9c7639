"""What reads the bodies of a proxy's responses as they pass: the bounds of its streams, the usage of its models."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config import records
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink
from gateway.proxy.event_watch import EventWatch, is_event_stream
from gateway.proxy.usage_reader import Vendor
from gateway.proxy.usage_watch import usage_watch


@dataclass(frozen=True, slots=True)
class Watched:
    """``stream``: how responses of events are watched; ``vendor``: whose format the usage is read in; None: neither."""

    stream: records.Stream | None
    vendor: Vendor | None

    def sink(self, ex: Exchange, stream: ClientStream, head: ResponseHead) -> Sink:
        """Where the body goes of the response that begins with ``head``: to the caller in the end."""
        sink: Sink = ex.downstream
        if self.stream is not None and is_event_stream(ex.request, head):
            ex.events = sink = EventWatch(ex, self.stream, stream, head)
        return sink if self.vendor is None else usage_watch(ex, head, sink, self.vendor)


def watched_by(route: records.Route, *, watch_events: bool) -> Watched | None:
    """What reads the responses of ``route``; None: nothing does. ``watch_events``: even without bounds for them."""
    stream = route.stream if route.stream.watches or watch_events else None
    vendor = None if route.ai == "none" else route.ai
    return None if stream is None and vendor is None else Watched(stream, vendor)
