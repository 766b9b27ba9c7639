"""Which responses are read, and that every byte goes on as it came, before it is read."""

from __future__ import annotations

import json

import pytest
from harness.models import OPENAI_BODY, OPENAI_CHAT

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.proxy.usage_watch import UsageWatch, usage_watch
from gateway.wire.memory import MemoryStream

EVENTS = b"Content-Type: text/event-stream; charset=utf-8"
JSON = b"content-type:Application/JSON"
BODY = json.dumps(OPENAI_BODY).encode()


class Stage:
    def __init__(self, *lines: bytes, method: bytes = b"POST", status: int = 200, length: int = CHUNKED) -> None:
        self.down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
        self.exchange = Exchange(self.down, RequestHead(method, b"/", 1, [], {}, 2, True), 0.0)
        head = ResponseHead(status, b"", 1, list(lines), {}, length, True)
        self.down.begin(head, b"", None, None)
        self.sink = usage_watch(self.exchange, head, self.down, "openai")

    @property
    def unknown(self) -> str | None:
        return None if self.exchange.usage is None else self.exchange.usage.unknown


@pytest.mark.parametrize(
    ("stage", "unknown"),
    [
        (Stage(JSON, method=b"GET"), None),
        (Stage(JSON, status=429), None),
        (Stage(JSON, status=302), None),
        (Stage(JSON, length=0), None),
        (Stage(b"Content-Type: audio/mpeg"), "media_type"),
        (Stage(), "media_type"),
        (Stage(JSON, b"Content-Encoding: gzip"), "encoded"),
        (Stage(b"content-encoding:br", EVENTS), "encoded"),
    ],
    ids=["GET", "429", "302", "empty", "audio", "no type", "gzip", "br"],
)
def test_what_is_not_read_meets_no_watch(stage: Stage, unknown: str | None) -> None:
    assert stage.sink is stage.down
    assert stage.unknown == unknown


@pytest.mark.parametrize(
    "lines",
    [[JSON, b"X-A: b"], [b"Content-Type: application/vnd.x+json"], [JSON, b"Content-Encoding: identity"], [EVENTS]],
)
def test_what_is_read(lines: list[bytes]) -> None:
    stage = Stage(*lines, status=201)
    assert isinstance(stage.sink, UsageWatch)
    assert not stage.sink.takes_chunks
    assert stage.unknown == "cut", "until it has ended"


def test_a_stream_goes_on_as_it_came() -> None:
    stage = Stage(EVENTS)
    for number, piece in enumerate(OPENAI_CHAT):
        if number % 2:
            stage.sink.data(memoryview(piece), pooled=True)
        else:
            stage.sink.pieces([memoryview(piece[:5]), memoryview(piece[5:])], pooled=True)
    stage.sink.flush()
    assert (stage.down.complete, stage.unknown) == (False, "cut")
    stage.sink.end([b"a: b"])
    assert stage.down.received == b"".join(OPENAI_CHAT)
    assert (stage.down.complete, stage.down.trailers) == (True, [b"a: b"])
    usage = stage.exchange.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.unknown) == (19, 10, "")
    assert 0.0 < usage.first_token_at <= usage.read_at


def test_a_body_in_one_piece() -> None:
    stage = Stage(JSON, length=len(BODY))
    stage.sink.whole(memoryview(BODY))
    assert (stage.down.received, stage.down.complete, stage.unknown) == (BODY, True, "")


def test_a_buffer_that_is_used_again_changes_nothing() -> None:
    """The sink gets the piece first, and may lend or clear what it lies in."""
    stage = Stage(JSON, length=len(BODY))
    buffer = bytearray(BODY)

    class Lending(MemoryStream):
        def data(self, piece: memoryview, *, pooled: bool) -> None:
            super().data(piece, pooled=pooled)
            piece[:] = bytes(len(piece))

    lending = Lending(stage.down.peer, Limits())
    head = ResponseHead(200, b"", 1, [JSON], {}, len(BODY), True)
    sink = usage_watch(stage.exchange, head, lending, "openai")
    sink.data(memoryview(buffer), pooled=True)
    sink.end([])
    assert (lending.received, stage.unknown) == (BODY, "")


def test_how_the_caller_takes_it_is_passed_on() -> None:
    stage = Stage(EVENTS)
    stage.down.full, stage.down.waited, stage.down.body_out = True, 2.5, 7
    assert (stage.sink.full, stage.sink.blocked, stage.sink.body_out) == (True, 2.5, 7)
    with pytest.raises(NotImplementedError):
        stage.sink.chunks(b"", 0)
    with pytest.raises(NotImplementedError):
        stage.sink.ended()
