"""When exchanges begin, how they end, and what a client that resets costs."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import GET, block
from unit.wire.h2.stage import CallerStage

from gateway.wire.h2.codes import ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INTERNAL_ERROR, REFUSED_STREAM, RST_STREAM
from gateway.wire.h2.frames import frame, rst_stream, window_update


def head(ident: int) -> bytes:
    return frame(HEADERS, 5, ident, block(GET))


async def test_a_request_that_the_same_read_resets_begins_no_exchange() -> None:
    stage = CallerStage()
    stage.say(head(1) + rst_stream(1, 8) + head(3))
    await stage.turn()
    assert [ex.downstream.ident for ex in stage.service.served] == [3]  # type: ignore[attr-defined]
    stage.close()


async def test_a_reset_ends_the_exchange_at_once() -> None:
    stage = CallerStage()
    stage.request()
    await stage.turn()
    (exchange,) = stage.server.exchanges
    stage.say(rst_stream(1, 8))
    assert exchange.gone_at
    await stage.turn()
    assert exchange.reason == "client_gone"
    assert not stage.server.exchanges
    stage.close()


async def test_a_reset_before_the_first_step_of_a_task() -> None:
    stage = CallerStage()
    stage.request()  # the task is made, and has not run
    stage.say(rst_stream(1, 8))
    assert not stage.server.exchanges
    await stage.turn()
    assert not stage.service.served
    stage.request(3)
    await stage.respond()
    stage.request(5)  # on the idle task
    stage.say(rst_stream(5, 8))
    await stage.turn()
    assert len(stage.service.served) == 1
    stage.close()


async def test_tasks_are_used_again() -> None:
    stage = CallerStage()
    stage.request(1)
    await stage.respond()
    tasks = asyncio.all_tasks()
    for ident in range(3, 30, 2):
        stage.request(ident)
        await stage.respond()
    assert asyncio.all_tasks() == tasks
    stage.close()
    await stage.turn()
    assert len(asyncio.all_tasks()) == 1


async def test_the_first_of_a_read_begin_at_once_and_the_others_in_turn() -> None:
    stage = CallerStage()
    stage.say(b"".join(head(ident) for ident in range(1, 61, 2)))
    await asyncio.sleep(0)
    assert len(stage.service.served) < 20
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(stage.service.served) == 30
    await stage.respond()
    assert len(stage.server.streams) == 0
    stage.close()


async def test_those_that_were_refused_stand_in_line() -> None:
    stage = CallerStage()
    stage.request()
    await stage.respond()
    assert stage.server.answered
    stage.say(b"".join(head(ident) for ident in range(3, 9, 2)))
    assert not stage.server.exchanges
    await stage.turn()
    assert len(stage.server.exchanges) == 3
    stage.say(rst_stream(3, 8))
    stage.close()


async def test_a_stream_that_is_reset_while_it_stands_in_line() -> None:
    stage = CallerStage()
    stage.request()
    await stage.respond()
    stage.request(3)
    stage.say(rst_stream(3, 8))
    await stage.turn()
    assert len(stage.service.served) == 1
    stage.close()


async def test_streams_above_128_are_refused() -> None:
    stage = CallerStage()
    stage.say(b"".join(head(ident) for ident in range(1, 2 * 130, 2)))
    refused = [f for f in stage.frames() if f.kind == RST_STREAM]
    assert [(f.ident, f.number) for f in refused] == [(257, REFUSED_STREAM), (259, REFUSED_STREAM)]
    stage.close()


async def test_a_stream_counts_until_its_exchange_has_ended() -> None:
    stage = CallerStage()
    stage.say(b"".join(head(ident) for ident in range(1, 257, 2)))
    for _ in range(60):
        await asyncio.sleep(0)
    assert len(stage.server.exchanges) == 128
    stage.say(rst_stream(1, 8) + head(257))
    assert [f.ident for f in stage.frames() if f.kind == RST_STREAM] == [257]
    await stage.turn()
    stage.request(259)
    assert 259 in stage.server.streams
    stage.close()


async def test_cve_2023_44487_rapid_reset() -> None:
    stage = CallerStage()
    for ident in range(1, 401, 2):
        stage.say(head(ident) + rst_stream(ident, 8))
        assert not stage.server.exchanges
    stage.say(head(401) + rst_stream(401, 8))
    last = stage.frames()[-1]
    assert (last.kind, last.number) == (GOAWAY, ENHANCE_YOUR_CALM)
    assert stage.transport.eof
    await stage.turn()
    assert not stage.service.served
    stage.close()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda ident: window_update(ident, 0), id="WINDOW_UPDATE of 0"),
        pytest.param(lambda ident: window_update(ident, (1 << 31) - 1), id="window overflow"),
        pytest.param(lambda ident: frame(0, 0, ident, b"x"), id="DATA after END_STREAM"),
        pytest.param(lambda ident: head(ident), id="HEADERS after END_STREAM"),
        pytest.param(lambda ident: frame(2, 0, ident, b"x"), id="PRIORITY of a wrong size"),
    ],
)
async def test_cve_2025_8671_made_you_reset(fault) -> None:  # type: ignore[no-untyped-def]
    stage = CallerStage()
    goaway = None
    for ident in range(1, 2001, 2):
        stage.say(head(ident))
        await asyncio.sleep(0)
        stage.say(fault(ident))
        await asyncio.sleep(0)
        assert len(stage.server.exchanges) <= 1
        frames = stage.frames()
        if frames and frames[-1].kind == GOAWAY:
            goaway = frames[-1]
            break
    assert goaway is not None
    assert goaway.number == ENHANCE_YOUR_CALM
    assert ident < 500
    stage.close()


async def test_the_budget_of_resets_comes_back_with_time() -> None:
    stage = CallerStage()
    for ident in range(1, 4001, 2):
        stage.say(head(ident) + rst_stream(ident, 8))
        stage.now += 1 / 30
    assert not [f for f in stage.frames() if f.kind == GOAWAY]
    stage.close()


async def test_a_crash_resets_the_stream_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = CallerStage()

    async def crash(_: object) -> None:
        raise ValueError("a fault of the gateway")

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    monkeypatch.setattr(stage.service, "serve", crash)
    stage.request()
    await stage.turn()
    (reset,) = stage.frames()
    assert (reset.kind, reset.number) == (RST_STREAM, INTERNAL_ERROR)
    assert isinstance(told[0]["exception"], ValueError)
    stage.close()
