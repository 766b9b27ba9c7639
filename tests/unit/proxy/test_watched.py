from __future__ import annotations

from typing import cast

import pytest

from gateway.config.records import Route, Stream
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream
from gateway.proxy.event_watch import EventWatch
from gateway.proxy.usage_watch import UsageWatch
from gateway.proxy.watched import watched_by
from gateway.wire.memory import MemoryStream

EVENTS = ResponseHead(200, b"", 1, [b"Content-Type: text/event-stream"], {}, CHUNKED, True)
JSON = ResponseHead(200, b"", 1, [b"Content-Type: application/json"], {}, CHUNKED, True)
BOUNDS = Stream(on_stall="error_event")


def test_a_route_without_either_is_not_watched() -> None:
    assert watched_by(Route("p", "/", "u"), watch_events=False) is None
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
    down.begin(head, b"", None, None)
    watched = watched_by(route, watch_events=False)
    assert watched is not None
    sink = watched.sink(ex, cast(ClientStream, None), head)
    assert (ex.events is not None, ex.usage is not None) == (events, usage)
    assert isinstance(sink, UsageWatch if usage else EventWatch if events else MemoryStream)
    sink.data(memoryview(b"data: a\n\n"), pooled=False)
    assert down.received == b"data: a\n\n"
    if ex.events is not None:
        assert ex.events.count == 1
        ex.events.close()
