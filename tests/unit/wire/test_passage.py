"""One way through a tunnel, apart from it; test_tunnel.py has the two together."""

from __future__ import annotations

import gc
import weakref

from harness.scripted import ScriptedEnd
from harness.websocket import GOING_AWAY, frame

from gateway.wire.passage import Way
from gateway.wire.websocket import Frames


class Owner:
    ending = ""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def touch(self) -> None:
        self.calls.append("touch")

    def passed(self, way: Way) -> None:
        self.calls.append("passed")

    def said_close(self, way: Way) -> None:
        self.calls.append("said_close")


def test_bytes_a_bound_that_moves_and_their_cost() -> None:
    owner, source, sink = Owner(), ScriptedEnd(), ScriptedEnd()
    way = Way(owner, source, sink, Frames(masked=False))
    way.data(memoryview(frame(b"a") * 3), pooled=True)
    assert (sink.written, way.pieces, owner.calls) == (frame(b"a") * 3, 3, ["touch"])
    way.say(GOING_AWAY)
    way.data(memoryview(frame(b"b") * 5), pooled=True)
    assert (sink.written, way.pieces) == (frame(b"a") * 3 + GOING_AWAY, 5)
    assert owner.ending == "drained"


def test_the_end_is_passed_once_it_is_taken() -> None:
    owner, source, sink = Owner(), ScriptedEnd(), ScriptedEnd()
    way = Way(owner, source, sink, None)
    sink.full = True
    way.end()
    assert (sink.finished, owner.calls) == (True, [])
    way.resume()
    assert owner.calls == ["passed"]


def test_a_close_of_the_sink_ends_the_way_only_as_a_response_to_ours() -> None:
    owner, source, sink = Owner(), ScriptedEnd(), ScriptedEnd()
    way = Way(owner, source, sink, Frames(masked=False))
    way.closed_behind()
    assert not sink.finished
    way.say(GOING_AWAY)
    way.closed_behind()
    assert (sink.finished, owner.calls) == (True, ["passed"])


def test_a_way_that_is_over_keeps_no_stream() -> None:
    owner, source, sink = Owner(), ScriptedEnd(), ScriptedEnd()
    way = Way(owner, source, sink, None)
    kept = [weakref.ref(one) for one in (owner, source, sink)]
    gc.disable()
    try:
        way.forget()
        del owner, source, sink
        assert [one() for one in kept] == [None] * 3
        way.data(memoryview(b"x"), pooled=False)
        way.end()
    finally:
        gc.enable()
