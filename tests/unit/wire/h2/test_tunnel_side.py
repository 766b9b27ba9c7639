"""A stream as one side of a tunnel: credit, order, and the end behind the last byte."""

from __future__ import annotations

from harness.frames import GET, Fields, Frame
from harness.scripted import ScriptedEnd
from unit.wire.h2.stage import CallerStage

from gateway.core.message import ResponseHead
from gateway.wire.h2.codes import CANCEL, DATA, HEADERS, NO_ERROR, RST_STREAM, WINDOW_UPDATE
from gateway.wire.h2.frames import rst_stream, window_update

CONNECT: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
SWITCH = ResponseHead(101, b"", 1, [b"Sec-WebSocket-Accept: x", b"X-A: 1"], {b"date": b"D"}, 0, True)


class End(ScriptedEnd):
    """An endpoint that is full when it has got more than its ``room``."""

    room = 1 << 20

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        super().data(piece, pooled=pooled)
        self.room -= len(piece)
        self.full = self.room < 0


class Side:
    def __init__(self, window: int | None = None) -> None:
        self.stage = CallerStage(window=window)
        self.far = End()
        self.stage.request(1, CONNECT, ended=False)
        self.stream = self.stage.server.streams[1]

    async def switch(self) -> None:
        await self.stage.turn()
        self.stream.switch(SWITCH, b"X-Request-Id: 7\r\n", self.far)  # type: ignore[arg-type]

    def credit(self) -> int:
        return sum(f.number for f in self.stage.frames() if f.kind == WINDOW_UPDATE and f.ident)

    def far_takes_nothing(self) -> None:
        self.far.full = True
        assert self.stream.tunnel is not None
        self.stream.tunnel.inward.hold()

    def far_takes_all(self) -> None:
        self.far.full = False
        assert self.stream.tunnel is not None
        self.stream.tunnel.inward.resume()


def data(frames: list[Frame]) -> bytes:
    return b"".join(frame.payload for frame in frames if frame.kind == DATA)


async def test_bytes_go_both_ways_and_what_came_before_goes_first() -> None:
    side = Side()
    side.stage.data(1, b"\x81early")
    await side.switch()
    side.stage.data(1, b"later")
    assert side.far.written == b"\x81earlylater"
    assert side.stage.service.served[0].bytes_in == 11
    assert side.stream.tunnel is not None
    side.stream.tunnel.outward.data(memoryview(b"hello"), pooled=False)
    head, *rest = side.stage.frames()
    assert (head.kind, head.ended) == (HEADERS, False)
    assert side.stage.reader.fields(head) == {b":status": b"200", b"x-a": b"1", b"x-request-id": b"7"}
    assert data(rest) == b"hello"
    side.stage.close()


async def test_a_full_endpoint_gets_no_more_and_the_caller_no_credit() -> None:
    side = Side()
    await side.switch()
    side.far_takes_nothing()
    for _ in range(3):
        side.stage.data(1, bytes(16384))
    side.stage.data(1, b"end", ended=True)
    assert (len(side.far.written), side.far.finished, side.credit()) == (0, False, 0)
    side.far_takes_all()
    assert (len(side.far.written), side.far.finished) == (3 * 16384 + 3, True)
    side.stage.close()


async def test_credit_comes_when_the_endpoint_has_taken_the_bytes() -> None:
    side = Side()
    await side.switch()
    for _ in range(2):
        side.stage.data(1, bytes(16384))
    assert side.credit() == 32768
    side.far.room = 0
    for _ in range(2):
        side.stage.data(1, bytes(16384))
    assert (len(side.far.written), side.credit()) == (49152, 0), "one piece makes it full"
    side.far.room = 1 << 20
    side.far_takes_all()
    assert side.credit() == 32768
    side.stage.close()


async def test_the_end_of_the_caller_may_come_with_the_handshake() -> None:
    for early in (True, False):
        side = Side()
        if early:
            side.stage.data(1, b"", ended=True)
        await side.switch()
        if not early:
            side.stage.data(1, b"", ended=True)
        assert side.far.finished
        side.stage.close()


async def test_the_end_of_the_endpoint_waits_for_the_window_and_what_the_caller_sent_is_kept() -> None:
    side = Side(window=3)
    await side.switch()
    tunnel = side.stream.tunnel
    assert tunnel is not None
    tunnel.outward.data(memoryview(b"abcdef"), pooled=False)
    assert (side.far.held, side.stream.waiting()) == (True, 3)
    tunnel.outward.end()
    side.far_takes_nothing()
    side.stage.data(1, b"\x81last", ended=True)
    side.stage.frames()
    side.stage.say(window_update(1, 3))
    frames = side.stage.frames()
    assert (data(frames), frames[-1].ended) == (b"def", True)
    assert side.stage.server.streams, "the endpoint has yet to take what was sent"
    side.far_takes_all()
    assert (side.far.written, side.far.finished, tunnel.ending) == (b"\x81last", True, "upstream")
    await side.stage.respond()
    assert (side.stage.frames(), side.stage.server.streams) == ([], {})
    side.stage.close()


async def test_a_stream_that_was_reset_before_the_switch() -> None:
    side = Side()
    await side.stage.turn()
    side.stage.say(rst_stream(1, CANCEL))
    await side.switch()
    assert side.stage.frames() == []
    assert len(side.far.abandoned) == 1
    side.stage.close()


async def test_a_tunnel_that_is_cut_is_reset_and_one_that_ended_in_peace_is_not() -> None:
    for clean in (False, True):
        side = Side()
        await side.switch()
        tunnel = side.stream.tunnel
        assert tunnel is not None
        if clean:
            side.stage.data(1, b"\x88\x80abcd")
            tunnel.outward.data(memoryview(b"\x88\x00"), pooled=False)
        await side.stage.respond()  # cuts it
        *_, last = frames = side.stage.frames()
        assert (last.kind, last.number) == (RST_STREAM, NO_ERROR if clean else CANCEL)
        assert any(frame.ended for frame in frames) is clean
        assert len(side.far.abandoned) == 1
        side.stage.close()
