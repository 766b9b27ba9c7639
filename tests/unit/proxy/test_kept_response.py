from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.core.stream import Sink
from gateway.errors import GatewayError
from gateway.proxy.discard import MOST_BYTES, Discard
from gateway.proxy.kept_response import KeptResponse, discard
from gateway.wire.buffers import BUFFER_SIZE, BufferPool


class Caller:
    """Takes the response that is given late."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.heads: list[ResponseHead] = []
        self.body_out, self.blocked = 7, 0.25

    def __call__(self, ex: Exchange, head: ResponseHead) -> Sink:
        ex.committed = True
        self.heads.append(head)
        return cast(Any, self)

    def whole(self, body: memoryview) -> None:
        self.taken.append(("whole", bytes(body)))

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        assert not pooled
        self.taken.append(("data", bytes(piece)))

    def end(self, trailers: list[bytes]) -> None:
        self.taken.append(("end", trailers))


class Stream:
    def __init__(self) -> None:
        self.errors: list[GatewayError] = []

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)


class Scene:
    def __init__(self, length: int = 6, *, keep_alive: bool = True, complete: bool = True, capacity: int = 4) -> None:
        self.buffers = BufferPool(capacity)
        self.caller, self.stream = Caller(), Stream()
        self.exchange = exchange()
        self.exchange.downstream = cast(Any, self.caller)
        self.head = ResponseHead(503, b"", 1, [], {}, length, keep_alive)
        self.sink = discard(self.head, cast(Any, self.stream), self.caller, self.buffers, complete=complete)

    @property
    def kept(self) -> KeptResponse:
        assert isinstance(self.sink, KeptResponse)
        return self.sink

    def give(self) -> list[object]:
        self.kept.give(self.exchange)
        assert self.caller.heads == [self.head]
        assert (self.exchange.status, self.exchange.bytes_out, self.exchange.blocked) == (503, 7, 0.25)
        assert (self.buffers.kept, self.kept.is_whole) == (0, False)
        return self.caller.taken


async def test_what_came_with_its_head_is_given_in_one_piece() -> None:
    scene = Scene()
    scene.kept.whole(memoryview(b"abcdef"))
    assert (scene.kept.is_whole, scene.buffers.kept) == (True, 6)
    assert scene.give() == [("whole", b"abcdef")]


async def test_so_is_what_came_in_pieces() -> None:
    scene = Scene()
    scene.kept.flush()
    scene.kept.data(memoryview(b"abc"), pooled=True)
    scene.kept.pieces([memoryview(b"d"), memoryview(b"ef")], pooled=True)
    assert not scene.kept.is_whole
    scene.kept.end([])
    assert scene.give() == [("whole", b"abcdef")]


@pytest.mark.parametrize(("body", "taken"), [(b"abc", [("data", b"abc")]), (b"", [])])
async def test_one_without_a_length_is_framed_again(body: bytes, taken: list[object]) -> None:
    scene = Scene(CHUNKED)
    if body:
        scene.kept.data(memoryview(body), pooled=True)
    scene.kept.end([b"X: 1"])
    assert scene.give() == [*taken, ("end", [b"X: 1"])]


async def test_trailers_follow_also_where_the_length_was_announced() -> None:
    scene = Scene()
    scene.kept.data(memoryview(b"abcdef"), pooled=True)
    scene.kept.end([b"X: 1"])
    assert scene.give() == [("data", b"abcdef"), ("end", [b"X: 1"])]


@pytest.mark.parametrize(
    ("length", "keep_alive", "complete"), [(6, False, True), (6, True, False), (UNTIL_CLOSE, False, True)]
)
async def test_a_connection_that_serves_no_other_request_is_read_too(
    length: int, keep_alive: bool, complete: bool
) -> None:
    scene = Scene(length, keep_alive=keep_alive, complete=complete)
    scene.kept.data(memoryview(b"abcdef"), pooled=True)
    await asyncio.sleep(0)
    assert scene.stream.errors == []
    scene.kept.end([])
    assert scene.kept.is_whole


async def test_what_is_broken_off_is_not_whole() -> None:
    scene = Scene(CHUNKED)
    scene.kept.data(memoryview(bytes(MOST_BYTES - 1)), pooled=True)
    assert scene.buffers.kept == MOST_BYTES - 1
    scene.kept.data(memoryview(b"ab"), pooled=True)
    assert scene.buffers.kept == 0
    await asyncio.sleep(0)
    assert [error.reason.code for error in scene.stream.errors] == ["upstream_reset"]
    scene.kept.end([])
    assert not scene.kept.is_whole


async def test_what_ends_after_it_was_given_up_is_not_whole() -> None:
    scene = Scene()
    scene.kept.data(memoryview(b"abc"), pooled=True)
    scene.kept.give_up()
    scene.kept.end([])
    assert not scene.kept.is_whole
    scene.kept.forget()
    assert scene.buffers.kept == 0


async def test_what_finds_no_room_is_not_kept() -> None:
    scene = Scene(capacity=1)
    taken = BUFFER_SIZE - 5
    assert scene.buffers.keep(taken)
    scene.kept.data(memoryview(b"abc"), pooled=True)
    assert scene.buffers.kept == taken + 3
    scene.kept.data(memoryview(b"def"), pooled=True)
    assert scene.buffers.kept == taken
    scene.kept.end([])
    assert not scene.kept.is_whole


async def test_what_cannot_be_given_later_is_not_kept() -> None:
    head, buffers = ResponseHead(503, b"", 1, [], {}, 6, True), BufferPool()
    long = ResponseHead(503, b"", 1, [], {}, MOST_BYTES + 1, True)
    stream = cast(Any, Stream())
    for made in (
        discard(head, stream, None, buffers, complete=True),
        discard(head, stream, Caller(), None, complete=True),
        discard(long, stream, Caller(), buffers, complete=True),
    ):
        assert type(made) is Discard
