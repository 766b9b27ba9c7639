"""What a sink with a bound gives on, and when it fails its stream."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from harness.patience import eventually

from gateway.core.limits import Limits
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream
from gateway.errors import ANSWER_TOO_LARGE, GatewayError
from gateway.proxy import bounded as bounded_module
from gateway.proxy.bounded import Bounded, EnoughError
from gateway.wire.memory import MemoryStream


class Stream:
    """The one method of a `ClientStream` that is called."""

    def __init__(self) -> None:
        self.errors: list[GatewayError] = []

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)


def made(most: int) -> tuple[Bounded, MemoryStream, Stream]:
    stream, sink = Stream(), MemoryStream(Peer("127.0.0.1", 0, b"http", lambda address: False), Limits())
    return Bounded(sink, cast(ClientStream, stream), most), sink, stream


def test_what_fits_is_given_on() -> None:
    bounded, sink, stream = made(5)
    bounded.flush()
    bounded.pieces([memoryview(b"ab"), memoryview(b"cde")], pooled=False)
    bounded.end([b"X: 1"])
    assert (bytes(sink.received), sink.complete, sink.trailers, stream.errors) == (b"abcde", True, [b"X: 1"], [])
    assert bounded.body_out == 5


async def test_the_stream_fails_behind_the_read_that_exceeds_the_bound() -> None:
    bounded, sink, stream = made(3)
    bounded.data(memoryview(b"abcd"), pooled=False)
    bounded.data(memoryview(b"e"), pooled=False)
    assert stream.errors == []
    await asyncio.sleep(0)
    (error,) = stream.errors
    assert error.reason is ANSWER_TOO_LARGE
    assert "3 bytes" in error.details
    await asyncio.sleep(0)
    assert len(stream.errors) == 1
    assert (bytes(sink.received), sink.complete) == (b"", False)


async def test_an_end_in_the_same_read_is_no_good_end() -> None:
    bounded, sink, stream = made(3)
    bounded.whole(memoryview(b"abcd"))
    assert len(stream.errors) == 1
    await asyncio.sleep(0)
    assert len(stream.errors) == 1, "its connection may serve others by then"
    assert not sink.complete


@pytest.mark.parametrize("ends", [True, False])
async def test_what_is_enough_waits_a_while_for_the_end(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    monkeypatch.setattr(bounded_module, "GRACE", 0.0)
    stream, sink = Stream(), MemoryStream(Peer("127.0.0.1", 0, b"http", lambda address: False), Limits())
    bounded = Bounded(sink, cast(ClientStream, stream), 9, lambda: sink.received == b"ab")
    for piece in (b"a", b"b"):
        assert not stream.errors
        bounded.data(memoryview(piece), pooled=False)
    if ends:
        bounded.end([])
    await eventually(lambda: sink.complete)
    await asyncio.sleep(0)
    assert [isinstance(error, EnoughError) for error in stream.errors] == ([] if ends else [True])


def test_without_a_sink_nothing_is_given_on() -> None:
    stream = Stream()
    bounded = Bounded(None, cast(ClientStream, stream), 3)
    bounded.flush()
    bounded.data(memoryview(b"abc"), pooled=False)
    bounded.end([])
    assert stream.errors == []
    for unused in (lambda: bounded.chunks(b"", 0), bounded.ended):
        with pytest.raises(AssertionError, match="takes no chunks"):
            unused()
