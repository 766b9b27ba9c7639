"""How a body is framed, whatever the pieces in which it comes; on a link without a socket."""

from __future__ import annotations

import asyncio

import pytest
from harness.scripted import HeldSource, ScriptedTransport

from gateway.wire.buffers import BufferPool
from gateway.wire.h1.message import COPY_BELOW, MessageWriter


def writer(*, chunked: bool) -> tuple[MessageWriter, ScriptedTransport]:
    made = MessageWriter(asyncio.get_running_loop(), BufferPool())
    made.chunked_out = chunked
    return made, ScriptedTransport(made)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [1, COPY_BELOW - 1, COPY_BELOW])
async def test_the_head_goes_out_with_the_first_piece(chunked: bool, size: int) -> None:
    made, transport = writer(chunked=chunked)
    made.start(b"HEAD", HeldSource())
    assert not transport.taken
    made.data(memoryview(b"x" * size), pooled=False)
    first = b"%x\r\n%b\r\n" % (size, b"x" * size) if chunked else b"x" * size
    assert transport.taken == b"HEAD" + first
    made.end([])
    assert transport.taken == b"HEAD" + first + (b"0\r\n\r\n" if chunked else b"")
    assert made.body_out == size


@pytest.mark.parametrize(
    ("chunked", "body", "wanted"),
    [(True, b"", b"0\r\n\r\n"), (True, b"ab", b"2\r\nab\r\n0\r\n\r\n"), (False, b"", b""), (False, b"ab", b"ab")],
)
async def test_a_whole_body(chunked: bool, body: bytes, wanted: bytes) -> None:
    made, transport = writer(chunked=chunked)
    made.start(b"HEAD", None)
    made.whole(memoryview(body))
    assert transport.taken == b"HEAD" + wanted
    assert made.body_out == len(body)


async def test_many_pieces_of_one_read_become_one_chunk() -> None:
    made, transport = writer(chunked=True)
    made.start(b"", HeldSource())
    made.pieces([memoryview(b"a"), memoryview(b"b")], pooled=True)
    made.pieces([], pooled=True)
    assert transport.taken == b"2\r\nab\r\n"


async def test_chunks_pass_as_they_came() -> None:
    made, transport = writer(chunked=True)
    made.start(b"HEAD", HeldSource())
    assert made.takes_chunks
    made.chunks(b"1\r\na\r\n", 1)
    made.chunks(b"1\r\nb\r\n0\r\n\r\n", 1)
    made.ended()
    assert transport.taken == b"HEAD1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    assert made.body_out == 2


@pytest.mark.parametrize("full_before", [True, False])
async def test_a_full_sink_holds_its_source_until_it_takes_bytes_again(full_before: bool) -> None:
    made, transport = writer(chunked=False)
    source = HeldSource()
    transport.stop()
    if full_before:
        made.write(b"the message before")
        made.start(b"", source)
    else:
        made.start(b"", source)
        assert not source.held
        made.data(memoryview(b"x"), pooled=False)
    assert source.held
    transport.take()
    assert not source.held


async def test_the_end_lets_the_source_go() -> None:
    made, transport = writer(chunked=False)
    source = HeldSource()
    made.start(b"", source)
    made.end([])
    transport.stop()
    made.write(b"of another message")
    assert not source.held


async def test_a_lost_connection_holds_nobody() -> None:
    made, transport = writer(chunked=False)
    source = HeldSource()
    made.start(b"HEAD", source)
    transport.lose()
    made.data(memoryview(b"x"), pooled=False)
    made.flush()
    assert (source.held, bytes(transport.taken)) == (False, b"")


async def test_sinks_that_one_read_feeds_share_its_buffer_until_the_last_has_flushed() -> None:
    pool = BufferPool()
    made = [MessageWriter(asyncio.get_running_loop(), pool) for _ in range(3)]
    transports = [ScriptedTransport(one) for one in made]
    shared = pool.current
    for one, transport in zip(made, transports, strict=True):
        transport.stop()
        one.start(b"", HeldSource())
    for index, one in enumerate(made):
        one.data(shared[index * COPY_BELOW : (index + 1) * COPY_BELOW], pooled=True)
        one.data(memoryview(bytes(COPY_BELOW)), pooled=True)  # joined from small chunks: it lies in no buffer
    assert pool.outstanding == 3
    transports[0].take()
    transports[1].lose()
    pool.lend()
    assert pool.current is not shared, "one of them has yet to flush"
    transports[2].take()
    pool.lend()
    assert pool.current is shared
