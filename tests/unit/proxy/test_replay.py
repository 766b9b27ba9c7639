"""The body of a request, for two endpoints one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.core.stream import Source
from gateway.errors import CLIENT_TIMEOUT, GatewayError
from gateway.proxy.replay import Replay
from gateway.wire.buffers import BUFFER_SIZE, BufferPool

LATE = GatewayError(CLIENT_TIMEOUT)


class Caller:
    """Its body is sent by the test, into `sink`."""

    def __init__(self) -> None:
        self.sink: Any = None
        self.on_end: Callable[[], None] = lambda: None
        self.told: list[str] = []

    def pipe(self, sink: Any, on_end: Callable[[], None]) -> None:
        assert self.sink is None, "the caller's body can be taken once"
        self.sink, self.on_end = sink, on_end
        sink.begin_body(self, 7)

    def hold(self) -> None:
        self.told.append("hold")

    def resume(self) -> None:
        self.told.append("resume")

    def say(self, *parts: bytes) -> None:
        self.sink.pieces([memoryview(part) for part in parts], pooled=True)

    def end(self, *trailers: bytes) -> None:
        self.sink.end(list(trailers))
        self.on_end()


class Target:
    """An endpoint's stream."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.body_idle = 5.0
        self.length = 0
        self.source: Source | None = None
        self.taken = b""
        self.trailers: list[bytes] | None = None
        self.error: GatewayError | None = None
        self.ends = 0

    def begin_body(self, source: Source, length: int) -> None:
        self.source, self.length = source, length

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        assert not pooled, "what was kept lies in no buffer of the pool"
        self.taken += piece

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        self.taken += b"".join(parts)

    def end(self, trailers: list[bytes]) -> None:
        self.trailers = trailers

    def fail(self, error: GatewayError) -> None:
        self.error = error

    def ended(self) -> None:
        self.ends += 1


class Scene:
    def __init__(self, most: int = 100, capacity: int = 4) -> None:
        self.buffers = BufferPool(capacity)
        self.caller = Caller()
        self.replay = Replay(cast(Any, self.caller), self.buffers, most)

    def attach(self, *, full: bool = False) -> Target:
        target = Target(full=full)
        self.replay.attach(cast(Any, target), target.ended)
        return target


def test_an_attempt_gets_the_body_as_it_comes() -> None:
    scene = Scene()
    target = scene.attach()
    assert (target.length, scene.replay.full, scene.replay.body_idle) == (7, False, 5.0)
    scene.caller.say(b"one", b"two")
    scene.caller.sink.data(memoryview(b"!"), pooled=False)  # type: ignore[misc] # a caller in memory does so
    assert (target.taken, scene.buffers.kept, scene.replay.given) == (b"onetwo!", 7, False)
    scene.caller.end(b"X: 1")
    assert (target.trailers, target.ends, scene.replay.given) == ([b"X: 1"], 1, True)
    scene.replay.detach()
    assert scene.replay.given
    assert scene.caller.told == [], "a body that is complete has no one to hold"


def test_the_next_attempt_gets_what_the_first_one_had_and_then_the_rest() -> None:
    scene = Scene()
    first = scene.attach()
    scene.caller.say(b"one")
    scene.replay.detach()
    assert (scene.caller.told, scene.replay.full, scene.replay.body_idle) == (["hold"], True, 0.0)
    second = scene.attach()
    assert (second.length, second.taken, scene.caller.told) == (7, b"one", ["hold", "resume"])
    scene.caller.say(b"two")
    scene.caller.end()
    assert (first.taken, second.taken, first.ends, second.ends) == (b"one", b"onetwo", 0, 1)


def test_a_body_that_is_complete_is_given_at_once() -> None:
    scene = Scene()
    scene.attach()
    scene.caller.say(b"all")
    scene.caller.end(b"X: 1")
    scene.replay.detach()
    second = scene.attach()
    assert (second.taken, second.trailers, second.ends, scene.replay.given) == (b"all", [b"X: 1"], 1, True)


def test_an_empty_body_too() -> None:
    scene = Scene()
    scene.attach()
    scene.caller.end()
    scene.replay.detach()
    second = scene.attach()
    assert (second.taken, second.trailers, second.ends) == (b"", [], 1)


def test_what_comes_while_no_attempt_runs_is_kept() -> None:
    """A caller that is held may have given something already."""
    scene = Scene()
    scene.attach()
    scene.replay.detach()
    scene.caller.say(b"late")
    scene.caller.sink.data(memoryview(b"r"), pooled=False)  # type: ignore[misc] # as above
    scene.caller.end()
    second = scene.attach()
    assert (second.taken, second.ends) == (b"later", 1)


def test_an_endpoint_of_an_earlier_attempt_has_no_say() -> None:
    scene = Scene()
    first = scene.attach()
    scene.replay.detach()
    second = scene.attach(full=True)
    assert scene.caller.told == ["hold"], "the second one takes nothing yet"
    assert first.source is not None
    first.source.resume()
    first.source.hold()
    assert scene.caller.told == ["hold"]
    assert second.source is not None
    second.source.resume()
    second.source.hold()
    assert scene.caller.told == ["hold", "resume", "hold"]


@pytest.mark.parametrize("most", [5, 6])
def test_a_body_beyond_the_bound_is_relayed_and_no_longer_kept(most: int) -> None:
    scene = Scene(most)
    target = scene.attach()
    scene.caller.say(b"one")
    scene.caller.say(b"two")
    scene.caller.say(b"three")
    assert (target.taken, scene.replay.whole, scene.buffers.kept) == (b"onetwothree", False, 0)


def test_the_bound_itself_is_kept() -> None:
    scene = Scene(6)
    scene.attach()
    scene.caller.say(b"onetwo")
    assert (scene.replay.whole, scene.buffers.kept) == (True, 6)


def test_it_keeps_what_the_buffers_have_left() -> None:
    scene = Scene(10 * BUFFER_SIZE, capacity=2)
    scene.buffers.lend()
    scene.attach()
    scene.caller.say(bytes(BUFFER_SIZE))
    assert (scene.replay.whole, scene.buffers.kept) == (True, BUFFER_SIZE)
    scene.caller.say(b"x")
    assert (scene.replay.whole, scene.buffers.kept) == (False, 0)


def test_what_is_forgotten_is_given_back_once() -> None:
    scene = Scene()
    target = scene.attach()
    scene.caller.say(b"one")
    scene.replay.forget()
    scene.replay.forget()
    assert (scene.replay.whole, scene.buffers.kept) == (False, 0)
    scene.caller.say(b"two")
    assert (target.taken, scene.buffers.kept) == (b"onetwo", 0)


def test_a_caller_that_fails_fails_the_attempt_that_runs() -> None:
    scene = Scene()
    target = scene.attach()
    scene.caller.sink.fail(LATE)  # type: ignore[misc] # it is set
    assert target.error is LATE


def test_a_caller_that_fails_between_two_attempts_fails_the_next_one() -> None:
    scene = Scene()
    scene.attach()
    scene.replay.detach()
    scene.caller.sink.fail(LATE)  # type: ignore[misc] # as above
    second = scene.attach()
    assert (second.error, second.ends) == (LATE, 0)


def test_a_body_that_was_never_begun_is_begun_by_the_next_attempt() -> None:
    scene = Scene()
    scene.replay.detach()
    assert scene.caller.told == []
    assert scene.attach().length == 7
