"""What is written: together, in time, and not without a bound."""

from __future__ import annotations

from harness.frames import GET, block
from unit.wire.h2.stage import CallerStage

from gateway.wire.h2.codes import PING, PREFACE, SETTINGS, WINDOW_UPDATE
from gateway.wire.h2.encoder import NO_TABLE
from gateway.wire.h2.frames import frame, settings


async def test_frames_of_a_turn_leave_together() -> None:
    stage = CallerStage()
    stage.say(frame(PING, 0, 0, b"12345678"))
    stage.say(frame(PING, 0, 0, b"abcdefgh"))
    assert not stage.transport.taken
    await stage.turn()
    assert len(stage.transport.taken) == 34
    stage.close()


async def test_a_large_batch_does_not_wait_for_the_end_of_the_turn() -> None:
    stage = CallerStage()
    stage.server.emit(bytes(65535))
    assert not stage.transport.taken
    stage.server.emit(b"x")
    assert len(stage.transport.taken) == 65536
    stage.close()


async def test_the_greeting() -> None:
    stage = CallerStage(greeted=False)
    first, second = stage.frames()
    assert (first.kind, second.kind, second.ident) == (SETTINGS, WINDOW_UPDATE, 0)
    assert second.number == (1 << 20) - 65535
    stage.say(PREFACE + settings([]))
    stage.close()


async def test_the_first_block_empties_the_table_of_the_peer() -> None:
    stage = CallerStage()
    stage.server.emit_headers(1, block(GET), ended=False)
    stage.server.emit_headers(3, block(GET), ended=False)
    first, second = stage.frames()
    assert first.payload == NO_TABLE + second.payload
    stage.close()


async def test_cve_2019_9512_a_peer_that_does_not_read_what_it_asks_for_is_not_read_from() -> None:
    stage = CallerStage()
    stage.transport.stop()
    asking = frame(SETTINGS, 0, 0, b"") * 2000
    count = 0
    while stage.transport.reading:
        stage.say(asking)
        stage.now += 10
        stage.server.flush()
        count += 1
        assert count < 10
    assert len(stage.transport.waiting) < 65536 + 2 * len(asking)
    stage.transport.take()
    await stage.turn()
    assert stage.transport.reading
    stage.close()


async def test_a_write_behind_the_end_is_dropped() -> None:
    stage = CallerStage()
    stage.close()
    stage.server.emit(b"x")
    stage.server.flush()
    assert not stage.transport.taken
