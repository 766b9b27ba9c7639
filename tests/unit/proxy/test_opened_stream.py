"""A stream of events that begins before there is a response."""

from __future__ import annotations

import pytest
from harness.scripted import HeldSource

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.proxy.opened_stream import OpenedStream
from gateway.wire.memory import MemoryStream

TYPE = b"Content-Type: text/event-stream"


def made() -> tuple[OpenedStream, MemoryStream]:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits(), b"body")
    ex = Exchange(down, RequestHead(b"POST", b"/", 1, [], {}, 4, True), 0.0)
    ex.request_id = b"7"
    return OpenedStream(ex, b"X-Request-Id: 7\r\n"), down


def test_it_begins_with_a_head_and_goes_on_with_comments() -> None:
    opened, down = made()
    opened.comment(b"queued position=2")
    assert down.head is not None
    assert (down.head.status, down.head.length, down.lines) == (200, CHUNKED, b"X-Request-Id: 7\r\n")
    assert (bytes(down.received), down.complete) == (b": queued position=2\n\n", False)


def test_comments_do_not_heap_up_at_a_caller_who_takes_nothing() -> None:
    opened, down = made()
    opened.hold()
    opened.comment(b"one")
    opened.resume()
    opened.comment(b"two")
    assert bytes(down.received) == b": two\n\n"


def test_the_source_behind_it_is_held_as_the_caller_is() -> None:
    opened, _ = made()
    opened.hold()
    source = HeldSource()
    opened.attach(source)
    assert source.held
    opened.resume()
    assert not source.held
    opened.hold()
    assert source.held
    opened.attach(None)


@pytest.mark.parametrize(
    ("status", "fields", "length", "takes"),
    [
        (200, [TYPE], CHUNKED, True),
        (200, [b"content-type: Text/Event-Stream; charset=utf-8"], 9, True),
        (200, [TYPE], 0, True),
        (200, [TYPE, b"Content-Encoding: gzip"], CHUNKED, False),
        (200, [b"Content-Type: application/json"], 2, False),
        (503, [TYPE], CHUNKED, False),
        (204, [], 0, False),
    ],
)
def test_which_responses_go_on_in_it(status: int, fields: list[bytes], length: int, takes: bool) -> None:
    opened, _ = made()
    assert opened.takes(ResponseHead(status, b"", 1, fields, {}, length, True)) is takes


@pytest.mark.parametrize(
    ("status", "content_type", "takes"),
    [
        (200, "text/event-stream", True),
        (200, "Text/Event-Stream; charset=utf-8", True),
        (200, "application/json", False),
        (503, "text/event-stream", False),
    ],
)
def test_which_fixed_responses_do(status: int, content_type: str, takes: bool) -> None:
    opened, _ = made()
    assert opened.takes_fixed(status, content_type) is takes


@pytest.mark.parametrize("body", [b"data: a\n\n", b""])
def test_what_is_appended_ends_it(body: bytes) -> None:
    opened, down = made()
    opened.append(body)
    assert (bytes(down.received), down.complete, down.body_complete) == (body, True, True)


def test_an_error_is_its_last_event() -> None:
    opened, down = made()
    opened.append_error(GatewayError(errors.QUEUE_TIMEOUT, retry_after=3))
    assert down.received.startswith(b"event: error\nretry: 3000\ndata: {")
    assert down.complete
