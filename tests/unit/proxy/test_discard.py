from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.errors import GatewayError
from gateway.proxy import discard
from gateway.proxy.discard import MOST_BYTES, Discard


class Stream:
    def __init__(self) -> None:
        self.errors: list[GatewayError] = []

    def fail(self, error: GatewayError) -> None:
        self.errors.append(error)


def discarding(*, worth: bool = True) -> tuple[Discard, Stream]:
    stream = Stream()
    return Discard(cast(Any, stream), worth=worth), stream


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_short_body_is_read_to_its_end() -> None:
    sink, stream = discarding()
    sink.flush()
    sink.data(memoryview(b"abc"), pooled=True)
    sink.pieces([memoryview(b"d"), memoryview(b"ef")], pooled=True)
    assert (sink.body_out, sink.full, sink.takes_chunks, sink.blocked, sink.over) == (6, False, False, 0.0, False)
    sink.end([b"X: 1"])
    await turns()
    assert (sink.over, stream.errors) == (True, [])


@pytest.mark.parametrize("worth", [True, False])
async def test_a_body_that_came_with_its_head_is_no_loss(worth: bool) -> None:
    sink, stream = discarding(worth=worth)
    sink.whole(memoryview(b"abc"))
    await turns()
    assert (sink.over, stream.errors) == (True, [])


async def test_a_long_body_is_broken_off_when_its_read_is_over() -> None:
    sink, stream = discarding()
    sink.data(memoryview(bytes(MOST_BYTES - 1)), pooled=True)
    await turns()
    assert stream.errors == []
    sink.data(memoryview(b"x"), pooled=True)
    assert stream.errors == [], "not within the read, whose rest the stream has yet to look at"
    await turns()
    (error,) = stream.errors
    assert error.reason.code == "upstream_reset"
    sink.data(memoryview(b"x"), pooled=True)
    await turns()
    assert len(stream.errors) == 1


async def test_one_that_ends_in_the_same_read_is_not() -> None:
    sink, stream = discarding()
    sink.data(memoryview(bytes(MOST_BYTES)), pooled=True)
    sink.end([])
    await turns()
    assert stream.errors == []


async def test_where_the_connection_is_lost_anyway_nothing_is_awaited() -> None:
    sink, stream = discarding(worth=False)
    sink.flush()
    await turns()
    assert len(stream.errors) == 1


async def test_a_body_that_does_not_come_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discard, "MOST_SECONDS", 0.001)
    sink, stream = discarding()
    sink.flush()
    await asyncio.sleep(0.02)
    assert len(stream.errors) == 1


async def test_the_end_of_the_attempt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discard, "MOST_SECONDS", 0.001)
    sink, stream = discarding()
    sink.flush()
    sink.close()
    sink.close()
    await asyncio.sleep(0.02)
    assert stream.errors == []


async def test_it_takes_no_chunks() -> None:
    sink, _ = discarding()
    with pytest.raises(AssertionError):
        sink.chunks(b"", 0)
    with pytest.raises(AssertionError):
        sink.ended()
