"""What is written: together, in time, and each stream in its turn."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import GET, block, take_frames
from harness.scripted import ScriptedTransport

from gateway.wire.buffers import BufferPool
from gateway.wire.h2.encoder import NO_TABLE, Encoder
from gateway.wire.h2.frame_writer import FrameWriter
from gateway.wire.h2.frames import frame

PING = frame(6, 0, 0, b"12345678")


def made() -> tuple[FrameWriter, ScriptedTransport]:
    writer = FrameWriter(asyncio.get_running_loop(), BufferPool(), Encoder())
    return writer, ScriptedTransport(writer)


async def test_frames_of_a_turn_leave_together() -> None:
    writer, transport = made()
    writer.emit(PING)
    writer.emit(PING)
    assert not transport.taken
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.taken == PING + PING


async def test_a_large_batch_does_not_wait_for_the_end_of_the_turn() -> None:
    writer, transport = made()
    writer.emit(bytes(65535))
    assert not transport.taken
    writer.emit(b"x")
    assert len(transport.taken) == 65536


async def test_the_first_block_empties_the_table_of_the_peer() -> None:
    writer, transport = made()
    writer.emit_headers(1, block(GET), ended=False)
    writer.emit_headers(3, block(GET), ended=False)
    writer.flush()
    first, second = take_frames(transport.taken)
    assert first.payload == NO_TABLE + second.payload


class Waiter:
    """A stream with ``left`` bytes to send."""

    def __init__(self, writer: FrameWriter, left: int) -> None:
        self.writer = writer
        self.left = left
        self.sizes: list[int] = []

    def send_more(self, most: int) -> None:
        size = min(most, self.left, self.writer.send_window)
        self.sizes.append(size)
        self.left -= size
        self.writer.send_window -= size
        if self.left:
            self.writer.waiters[self] = None


@pytest.mark.interpreted
async def test_those_that_wait_are_served_in_turn_a_slice_each() -> None:
    writer, _ = made()
    one, two = Waiter(writer, 40_000), Waiter(writer, 20_000)
    writer.waiters[one] = writer.waiters[two] = None
    writer.send_window = 50_000
    writer.pump()
    assert (one.sizes, two.sizes) == ([16384, 16384], [16384, 848])
    assert list(writer.waiters) == [one, two]
    writer.send_window = 50_000
    writer.pump()
    assert (one.left, two.left, writer.waiters) == (0, 0, {})


@pytest.mark.interpreted
async def test_nothing_is_sent_while_the_socket_is_full_and_all_when_it_is_not() -> None:
    writer, transport = made()
    waiter = Waiter(writer, 10)
    transport.stop()
    writer.write(b"x")
    writer.waiters[waiter] = None
    writer.pump()
    assert waiter.sizes == []
    transport.take()
    assert waiter.sizes == [10]


async def test_a_write_behind_the_end_is_dropped() -> None:
    writer, transport = made()
    transport.lose()
    writer.emit(PING)
    writer.flush()
    assert not transport.taken
