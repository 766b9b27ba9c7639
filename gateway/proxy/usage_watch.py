"""Reads the usage of a language model from a response as it passes. Each piece goes on before it is read."""

from __future__ import annotations

from time import monotonic
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import Sink
from gateway.core.usage import Usage
from gateway.proxy.event_watch import EVENTS, described
from gateway.proxy.pass_through import PassThrough
from gateway.proxy.usage_reader import BodyUsage, EventUsage, UsageReader, Vendor

_JSON: Final = (b"application/json", b"+json")


def usage_watch(ex: Exchange, head: ResponseHead, sink: Sink, vendor: Vendor) -> Sink:
    """What stands in front of ``sink`` to read the response that begins with ``head``; ``sink``: there is nothing to
    read. Sets ``usage`` of ``ex``, when the response is one of a model: of a POST, and a success.
    """
    if ex.request.method != b"POST" or not 200 <= head.status <= 299 or not head.length:
        return sink
    media_type, encoded = described(head)
    events = media_type == EVENTS
    if encoded or not (events or media_type.endswith(_JSON)):
        ex.usage = Usage("encoded" if encoded else "media_type")
        return sink
    ex.usage = usage = Usage()
    return UsageWatch(sink, (EventUsage if events else BodyUsage)(usage, vendor))


class UsageWatch(PassThrough):
    """The `gateway.core.stream.Sink` of such a response."""

    __slots__ = ("_reader",)

    def __init__(self, sink: Sink, reader: UsageReader) -> None:
        super().__init__(sink)
        self._reader = reader

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        kept = bytes(piece)  # first, because the sink may lend the buffer to the transport
        self._sink.data(piece, pooled=pooled)
        self._reader.feed(kept, monotonic())

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        kept = b"".join(parts)
        self._sink.pieces(parts, pooled=pooled)
        self._reader.feed(kept, monotonic())

    def end(self, trailers: list[bytes]) -> None:
        self._sink.end(trailers)
        self._reader.finish(monotonic())

    def whole(self, body: memoryview) -> None:
        kept = bytes(body)
        self._sink.whole(body)
        now = monotonic()
        self._reader.feed(kept, now)
        self._reader.finish(now)
