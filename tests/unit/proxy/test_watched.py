from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from harness.scripted import HeldSource

from gateway.config.fallback import Fallback
from gateway.config.records import Retries, Route, Stream
from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream
from gateway.proxy.event_watch import EventWatch
from gateway.proxy.usage_watch import UsageWatch
from gateway.proxy.watched import Begin, Watched, watched_by
from gateway.wire.memory import MemoryStream

EVENTS = ResponseHead(200, b"", 1, [b"Content-Type: text/event-stream"], {}, CHUNKED, True)
JSON = ResponseHead(200, b"", 1, [b"Content-Type: application/json"], {}, CHUNKED, True)
BOUNDS = Stream(on_stall="error_event")


def begin_at(down: MemoryStream) -> Begin:
    return lambda head, source: down.begin(head, b"", source, None)


def test_a_route_without_either_is_not_watched() -> None:
    assert watched_by(Route("p", "/", "u")) is None
    assert watched_by(Route("p", "/", "u"), watch_events=True) is not None


@pytest.mark.parametrize(
    ("route", "head", "events", "usage"),
    [
        (Route("p", "/", "u", stream=BOUNDS), EVENTS, True, False),
        (Route("p", "/", "u", stream=BOUNDS), JSON, False, False),
        (Route("p", "/", "u", ai="openai"), EVENTS, False, True),
        (Route("p", "/", "u", ai="anthropic", stream=BOUNDS), EVENTS, True, True),
        (Route("p", "/", "u", ai="anthropic", stream=BOUNDS), JSON, False, True),
    ],
)
async def test_what_stands_in_front_of_the_caller(route: Route, head: ResponseHead, events: bool, usage: bool) -> None:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    ex = Exchange(down, RequestHead(b"POST", b"/", 1, [], {}, 2, True), 0.0)
    watched = watched_by(route)
    assert watched is not None
    sink = watched.sink(ex, cast(ClientStream, None), head, begin_at(down), None)
    assert down.head is head
    assert (ex.events is not None, ex.usage is not None) == (events, usage)
    assert isinstance(sink, UsageWatch if usage else EventWatch if events else MemoryStream)
    sink.data(memoryview(b"data: a\n\n"), pooled=False)
    assert down.received == b"data: a\n\n"
    if ex.events is not None:
        assert ex.events.count == 1
        ex.events.close()


STALLS = Retries(2, ("stall",))
FALLBACK = Fallback(("stall",))
SEEN = Stream(first_event=30.0)


@pytest.mark.parametrize(
    ("retries", "fallback", "stream", "holds"),
    [
        (STALLS, None, SEEN, True),
        (Retries(), FALLBACK, SEEN, True),
        (Retries(2, ("reset", "timeout")), Fallback(("reset",)), SEEN, False),
        (Retries(1, ("stall",)), None, SEEN, False),
        (replace(STALLS, mode="shadow"), None, SEEN, False),
        (STALLS, FALLBACK, replace(SEEN, mode="shadow"), False),
        (STALLS, FALLBACK, Stream(event_gap=30.0), False),
    ],
)
def test_heads_are_held_where_a_stall_may_be_made_good(
    retries: Retries, fallback: Fallback | None, stream: Stream, holds: bool
) -> None:
    watched = watched_by(Route("p", "/", "u", retries=retries, stream=stream), fallback)
    assert watched is not None
    assert watched.holds is holds


@pytest.mark.parametrize(
    ("head", "sent", "source", "held"),
    [(EVENTS, 1.0, True, True), (EVENTS, 0.0, True, False), (EVENTS, 1.0, False, False), (JSON, 1.0, True, False)],
    ids=["events", "the request is not all sent", "the response is there", "no events"],
)
async def test_which_heads_are_held(head: ResponseHead, sent: float, source: bool, held: bool) -> None:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    ex = Exchange(down, RequestHead(b"POST", b"/", 1, [], {}, 2, True), 0.0)
    ex.attempt = Attempt("e")
    ex.attempt.sent_at = sent
    watched = Watched(SEEN, None, holds=True)
    sink = watched.sink(ex, cast(ClientStream, None), head, begin_at(down), HeldSource() if source else None)
    sink.data(memoryview(b": comment\n\n"), pooled=False)
    assert (down.head is None, bytes(down.received)) == (held, b"" if held else b": comment\n\n")
    sink.data(memoryview(b"data: a\n\n"), pooled=False)
    assert (down.head is head, bytes(down.received)) == (True, b": comment\n\ndata: a\n\n")
    if ex.events is not None:
        ex.events.close()
