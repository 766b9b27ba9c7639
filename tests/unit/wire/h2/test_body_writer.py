"""The half of a stream that is written, as far as the windows are open."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import Frame, Reader, take_frames
from harness.scripted import HeldSource, ScriptedTransport

from gateway.wire.buffers import BufferPool
from gateway.wire.h2.body_writer import BodyWriter
from gateway.wire.h2.codes import DATA, HEADERS
from gateway.wire.h2.encoder import Encoder
from gateway.wire.h2.frame_writer import FrameWriter

pytestmark = pytest.mark.interpreted  # `Body` inherits from a class of the gateway's


class Body(BodyWriter):
    """Notes what it is told."""

    __slots__ = ("notes",)

    def __init__(self, writer: FrameWriter, window: int) -> None:
        super().__init__(writer)
        self.ident = 1
        self.send_window = window
        self.notes: list[str] = []

    def _on_full(self) -> None:
        self.notes.append("full")

    def _on_taken(self) -> None:
        self.notes.append("taken")

    def _on_written(self) -> None:
        self.notes.append("written")

    def _on_overflow(self) -> None:
        self.notes.append("overflow")


class Stage:
    def __init__(self, window: int = 100, connection: int = 65535) -> None:
        self.writer = FrameWriter(asyncio.get_running_loop(), BufferPool(), Encoder())
        self.transport = ScriptedTransport(self.writer)
        self.writer.send_window = connection
        self.body = Body(self.writer, window)
        self.source = HeldSource()
        self.body._source = self.source

    def give(self, data: bytes) -> None:
        self.body.data(memoryview(data), pooled=True)

    def frames(self) -> list[Frame]:
        self.writer.flush()
        return take_frames(self.transport.taken)

    def sent(self) -> list[tuple[bytes, bool]]:
        return [(f.payload, f.ended) for f in self.frames() if f.kind == DATA]


async def test_what_the_windows_take_is_sent_at_once() -> None:
    stage = Stage()
    stage.give(b"abc")
    stage.body.pieces([memoryview(b"d"), memoryview(b"e")], pooled=True)
    stage.body.pieces([], pooled=True)
    stage.give(b"")
    stage.body.end([])
    assert stage.sent() == [(b"abc", False), (b"de", False), (b"", True)]
    assert (stage.body.body_out, stage.body.send_window, stage.writer.send_window) == (5, 95, 65530)
    assert (stage.body.notes, stage.source.held, stage.body.written) == (["written"], False, True)


async def test_frames_of_16_kib() -> None:
    stage = Stage(window=65535)
    stage.give(bytes(40_000))
    assert [len(payload) for payload, _ in stage.sent()] == [16384, 16384, 7232]


@pytest.mark.parametrize("narrow", ["stream", "connection"])
async def test_what_they_do_not_take_waits_and_holds_its_source(narrow: str) -> None:
    stage = Stage(window=4 if narrow == "stream" else 100, connection=4 if narrow == "connection" else 100)
    stage.give(b"abcdef")
    stage.body.end([])
    assert stage.sent() == [(b"abcd", False)]
    assert (stage.body.full, stage.body.notes) == (True, ["full"])
    if narrow == "stream":
        assert stage.writer.waiters == {}
        stage.body.open_window(1)
    else:
        stage.writer.send_window = 1
    assert list(stage.writer.waiters) == [stage.body]
    stage.writer.pump()
    assert stage.sent() == [(b"e", False)]
    stage.body.open_window(100)
    stage.writer.send_window = 100
    stage.writer.pump()
    assert stage.sent() == [(b"f", False), (b"", True)] or stage.body.written
    assert (stage.body.full, stage.body.written, stage.body.notes[-2:]) == (False, True, ["taken", "written"])


async def test_a_source_goes_on_when_all_is_taken() -> None:
    stage = Stage(window=2)
    stage.give(b"abc")
    assert stage.source.held
    stage.body.open_window(1)
    stage.writer.pump()
    assert (stage.source.held, stage.body.notes) == (False, ["full", "taken"])
    assert stage.body.blocked > 0


async def test_whole_ends_in_its_last_frame() -> None:
    stage = Stage()
    stage.body.whole(memoryview(b"abc"))
    assert stage.sent() == [(b"abc", True)]
    stage = Stage(window=2)
    stage.body.whole(memoryview(b"abc"))
    stage.body.open_window(9)
    stage.writer.pump()
    assert stage.sent() == [(b"ab", False), (b"c", True)]
    stage = Stage()
    stage.body.whole(memoryview(b""))
    stage.body.whole(memoryview(b"more"))
    assert stage.sent() == [(b"", True)]


@pytest.mark.parametrize("window", [100, 2])
async def test_trailers_follow_the_last_of_the_body(window: int) -> None:
    stage = Stage(window)
    stage.give(b"abc")
    stage.body.end([b"X-Sum: 1"])
    stage.body.open_window(100)
    stage.writer.pump()
    *data, last = stage.frames()
    assert b"".join(f.payload for f in data) == b"abc"
    assert not any(f.ended for f in data)
    assert (last.kind, last.ended, Reader().fields(last)) == (HEADERS, True, {b"x-sum": b"1"})


async def test_a_window_below_zero_opens_slowly() -> None:
    """RFC 9113 6.9.2."""
    stage = Stage(window=2)
    stage.give(b"abc")
    stage.body.open_window(-10)
    stage.writer.pump()
    stage.body.open_window(9)
    stage.writer.pump()
    assert [payload for payload, _ in stage.sent()] == [b"ab"]
    stage.body.open_window(2)
    stage.writer.pump()
    assert [payload for payload, _ in stage.sent()] == [b"c"]


async def test_a_window_that_is_too_wide() -> None:
    stage = Stage()
    stage.body.open_window((1 << 31) - 1)
    assert stage.body.notes == ["overflow"]


async def test_nothing_is_written_behind_the_end() -> None:
    stage = Stage(window=2)
    stage.give(b"abc")
    stage.body.open_window(1)
    stage.body.stop_writing()
    stage.writer.pump()
    stage.give(b"more")
    stage.body.end([])
    stage.body.flush()
    stage.body.send_more(10)
    assert stage.sent() == [(b"ab", False)]
    assert (stage.body.full, stage.writer.waiters) == (False, {})


async def test_chunks_do_not_exist_here() -> None:
    body = Stage().body
    assert not body.takes_chunks
    with pytest.raises(AssertionError):
        body.chunks(b"", 0)
    with pytest.raises(AssertionError):
        body.ended()


async def test_a_full_socket_holds_too() -> None:
    stage = Stage()
    stage.transport.stop()
    stage.writer.write(b"x")
    stage.give(b"abc")
    assert (stage.source.held, list(stage.writer.waiters)) == (True, [stage.body])
    stage.transport.take()
    assert not stage.source.held
