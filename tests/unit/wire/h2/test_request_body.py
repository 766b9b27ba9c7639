"""The body of a request: whole, relayed, held, and what it may be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.frames import POST
from unit.wire.h1.stage import KeptRequest
from unit.wire.h2.stage import CallerStage

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED
from gateway.errors import GatewayError
from gateway.wire.h2.codes import MAX_FRAME, WINDOW_UPDATE
from gateway.wire.h2.request_body import STREAM_WINDOW
from gateway.wire.h2.states import RequestState


class Upload:
    """A request whose exchange runs, and relays its body to `sink` when the test says so."""

    def __init__(self, limits: Limits | None = None, length: bytes = b"") -> None:
        self.stage = CallerStage(limits)
        self.fields = [*POST, (b"content-length", length)] if length else POST
        self.sink = KeptRequest()
        self.ended = 0

    async def begin(self) -> None:
        self.stage.request(1, self.fields, ended=False)
        await self.stage.turn()
        self.stream = self.stage.server.streams[1]

    def pipe(self) -> None:
        self.stream.pipe(self.sink, self.on_end)  # type: ignore[arg-type]

    def on_end(self) -> None:
        self.ended += 1

    def credit(self) -> int:
        return sum(f.number for f in self.stage.frames() if f.kind == WINDOW_UPDATE and f.ident == 1)


async def test_a_body_that_has_come_is_taken_whole() -> None:
    upload = Upload(length=b"3")
    await upload.begin()
    assert upload.stream.take_body() is None
    assert not upload.stream.body_complete
    upload.stage.data(1, b"abc", ended=True)
    assert upload.stream.take_body() == b"abc"
    assert upload.stream.body_complete
    assert upload.stage.service.served[0].bytes_in == 3
    upload.stage.close()


async def test_a_body_without_a_length_is_relayed() -> None:
    upload = Upload()
    await upload.begin()
    upload.stage.data(1, b"abc", ended=True)
    assert upload.stream.take_body() is None
    upload.pipe()
    assert (upload.sink.length, bytes(upload.sink.received), upload.ended) == (CHUNKED, b"abc", 1)
    assert upload.sink.complete
    assert upload.stream.body_complete
    upload.stage.close()


async def test_parts_of_a_read_go_on_together_and_trailers_behind_them() -> None:
    upload = Upload()
    await upload.begin()
    upload.pipe()
    upload.stage.data(1, b"ab")
    upload.stage.data(1, b"")
    assert bytes(upload.sink.received) == b"ab"
    upload.stage.request(1, [(b"x-sum", b"1"), (b"x-forwarded-for", b"2")])
    assert upload.sink.trailers == [b"x-sum: 1"]
    assert upload.ended == 1
    upload.stage.close()


async def test_credit_is_given_when_the_endpoint_took_the_bytes() -> None:
    upload = Upload()
    await upload.begin()
    upload.stage.data(1, bytes(MAX_FRAME))
    upload.stage.data(1, bytes(MAX_FRAME))
    assert upload.credit() == 0, "no one has taken it"
    upload.pipe()
    assert upload.credit() == 2 * MAX_FRAME
    upload.sink.full = True
    upload.stage.data(1, bytes(MAX_FRAME))
    upload.stream.hold()
    upload.stage.data(1, bytes(MAX_FRAME))
    assert upload.credit() == 0
    assert len(upload.sink.received) == 3 * MAX_FRAME
    upload.sink.full = False
    upload.stream.resume()
    assert upload.credit() == 2 * MAX_FRAME
    assert len(upload.sink.received) == 4 * MAX_FRAME
    upload.stage.close()


async def test_the_end_of_a_body_waits_for_the_endpoint_too() -> None:
    upload = Upload()
    await upload.begin()
    upload.pipe()
    upload.sink.full = True
    upload.stream.hold()
    upload.stage.data(1, b"abc", ended=True)
    assert not upload.ended
    upload.stream.resume()
    assert (bytes(upload.sink.received), upload.ended) == (b"abc", 1)
    upload.stage.close()


async def test_an_endpoint_that_is_full_from_the_beginning() -> None:
    upload = Upload()
    await upload.begin()
    upload.stage.data(1, b"abc", ended=True)
    upload.sink.full = True
    upload.pipe()
    assert not upload.sink.received
    upload.sink.full = False
    upload.stream.resume()
    assert (bytes(upload.sink.received), upload.ended) == (b"abc", 1)
    upload.stage.close()


async def test_padding_is_credited() -> None:
    upload = Upload()
    await upload.begin()
    upload.pipe()
    padded = b"\x00\x01\x00\x00\x08\x00\x00\x00\x01" + b"\xff" + bytes(255)
    upload.stage.say(padded * (STREAM_WINDOW // 256 - 1))
    assert upload.credit() >= STREAM_WINDOW // 2
    assert not upload.sink.received
    upload.stage.close()


async def test_a_body_above_the_limit() -> None:
    for piped_first in (True, False):
        upload = Upload(replace(Limits(), max_body_bytes=4))
        await upload.begin()
        if piped_first:
            upload.pipe()
        upload.stage.data(1, b"abcde")
        if not piped_first:
            upload.pipe()
        assert isinstance(upload.sink.error, GatewayError)
        assert upload.sink.error.reason.code == "body_too_large"
        assert not upload.sink.received
        upload.stage.close()


async def test_a_body_that_stops() -> None:
    upload = Upload()
    await upload.begin()
    upload.pipe()
    upload.stream._on_body_timeout()
    assert upload.sink.error is not None
    assert upload.sink.error.reason.code == "client_timeout"
    assert upload.stream.request_state is RequestState.OPEN
    upload.stage.close()


async def test_a_body_below_the_floor_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.wire.h2 import request_body

    now = [1000.0]
    monkeypatch.setattr(request_body, "monotonic", lambda: now[0])
    upload = Upload(replace(Limits(), min_body_rate=100))
    await upload.begin()
    upload.pipe()
    for _ in range(60):
        now[0] += 1
        upload.stage.data(1, b"a")
    assert upload.sink.error is not None
    assert upload.sink.error.reason.code == "client_timeout"
    upload.stage.close()


async def test_100_continue() -> None:
    upload = Upload()
    upload.fields = [*POST, (b"expect", b"100-Continue")]
    await upload.begin()
    assert upload.stream.awaits_continue
    upload.stage.data(1, b"a")
    assert not upload.stream.awaits_continue
    upload.stage.close()


async def test_a_relay_that_begins_after_the_reset_does_nothing() -> None:
    upload = Upload()
    await upload.begin()
    upload.stream.cut()
    upload.pipe()
    assert upload.sink.source is None
    upload.stage.close()
