"""The body of a request: whole, relayed, or left."""

from __future__ import annotations

import pytest
from unit.wire.h1.stage import GET, CallerStage, KeptRequest

from gateway.core.limits import Limits
from gateway.wire.h1.request_body import MAX_STASH
from gateway.wire.h1.server import HELD, RECEIVING, SERVING

TEN = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upload(CallerStage):
    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.sink = KeptRequest()
        self.ends = 0

    async def begin(self, data: bytes) -> None:
        self.transport.say(data)
        await self.turn()

    def pipe(self) -> None:
        self.server.pipe(self.sink, self._on_end)  # type: ignore[arg-type]

    def _on_end(self) -> None:
        self.ends += 1


async def test_a_body_that_is_there_is_taken_whole_and_leaves_the_next_request() -> None:
    stage = Upload()
    await stage.begin(TEN + b"0123456789" + GET)
    assert not stage.server.body_complete
    assert stage.server.take_body() == b"0123456789"
    assert stage.server.body_complete
    assert stage.service.served[0].bytes_in == 10
    await stage.respond()
    assert stage.service.served[-1].request.target == b"/a"


@pytest.mark.parametrize("data", [TEN + b"012345678", CHUNKED + b"0\r\n\r\n"])
async def test_no_other_body_is_taken_whole(data: bytes) -> None:
    stage = Upload()
    await stage.begin(data)
    assert stage.server.take_body() is None


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("head", "body", "trailers"),
    [(TEN, b"0123456789", []), (CHUNKED, b"4\r\n0123\r\n6\r\n456789\r\n0\r\nX: 1\r\n\r\n", [b"X: 1"])],
)
async def test_a_body_is_relayed_as_it_comes(head: bytes, body: bytes, trailers: list[bytes], size: int) -> None:
    stage = Upload()
    await stage.begin(head)
    stage.pipe()
    assert (stage.state, stage.sink.source) == (RECEIVING, stage.server)
    for start in range(0, len(body), size):
        assert stage.ends == 0
        stage.transport.say(body[start : start + size])
    assert (bytes(stage.sink.received), stage.sink.trailers) == (b"0123456789", trailers)
    assert (stage.sink.complete, stage.ends, stage.state) == (True, 1, SERVING)


async def test_a_held_body_waits_for_its_sink() -> None:
    stage = Upload()
    await stage.begin(TEN + b"012")
    stage.pipe()
    assert stage.sink.received == b"012", "what had come goes first"
    stage.server.hold()
    assert (stage.state, stage.transport.reading) == (HELD, False)
    stage.transport.reading = True
    stage.transport.say(b"345")  # it was on its way
    assert stage.sink.received == b"012"
    stage.server.resume()
    assert (stage.state, stage.transport.reading, bytes(stage.sink.received)) == (RECEIVING, True, b"012345")


@pytest.mark.parametrize(
    ("body", "code"), [(b"a\r\n0123456789\r\n", "body_too_large"), (b"no chunk\r\n", "bad_framing")]
)
async def test_a_body_against_the_rules_fails_its_stream(body: bytes, code: str) -> None:
    stage = Upload(Limits(max_body_bytes=9))
    await stage.begin(CHUNKED)
    stage.pipe()
    stage.transport.say(body)
    assert stage.sink.error is not None
    assert (stage.sink.error.reason.code, stage.sink.complete, stage.state) == (code, False, SERVING)
    await stage.respond()
    assert b"\r\nConnection: close\r\n" in stage.transport.taken, "who knows what follows"


async def test_reading_ahead_of_the_request_has_a_bound() -> None:
    stage = Upload()
    await stage.begin(GET + bytes(MAX_STASH))
    assert stage.transport.reading
    stage.transport.say(b"x")
    assert not stage.transport.reading
