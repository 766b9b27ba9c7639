from __future__ import annotations

import asyncio

from gateway.wire.turns import PER_TURN, Turns


async def test_so_many_a_turn_in_the_order_of_arrival() -> None:
    loop, turns = asyncio.get_running_loop(), Turns()
    waiting = [turns.wait(loop) for _ in range(3 * PER_TURN)]
    done = []
    for _ in range(3):
        await asyncio.sleep(0)
        done.append(
            [turn.done() for turn in waiting].index(False) if not all(t.done() for t in waiting) else len(waiting)
        )
    assert done == [PER_TURN, 2 * PER_TURN, 3 * PER_TURN]


async def test_one_that_was_cancelled_takes_no_place() -> None:
    loop, turns = asyncio.get_running_loop(), Turns()
    gone = [turns.wait(loop) for _ in range(PER_TURN)]
    stays = [turns.wait(loop) for _ in range(PER_TURN)]
    for turn in gone:
        turn.cancel()
    await asyncio.sleep(0)
    assert all(turn.done() and not turn.cancelled() for turn in stays)


async def test_it_rests_and_starts_again() -> None:
    loop, turns = asyncio.get_running_loop(), Turns()
    for _ in range(3):
        await asyncio.wait_for(turns.wait(loop), 1)
        await asyncio.sleep(0)
