"""What callgrind counts: each workload N times and 2N times, between two marks, for some rounds.

    python -m loadtest.micro.counted EXCHANGES [SLOWER]

`instructions.py` runs it. A mark is a call of a C function that nothing else calls; callgrind begins a new account
there. ``SLOWER`` is the proof that the gate sees something: so many rounds of a Python loop in each exchange.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from loadtest.micro.clockwork import Loop, install

MARK = "sched_get_priority_max"
"""The C function, as libc names it."""
WARM = 50
"""Exchanges before the first mark: caches are filled and specialising interpreters have specialised."""
TURNS = 100
"""Of the reference's loop, for each exchange of a dialogue."""
ROUNDS = 5


def mark() -> None:
    os.sched_get_priority_max(os.SCHED_OTHER)


def reference(turns: int) -> int:
    """Plain Python that will not change: what a newer Python or another compiler does to it, it does to the rest."""
    table = {name: name.encode() for name in ("Host", "Accept", "Connection", "Content-Type")}
    total = 0
    for turn in range(turns):
        line = b"%b: %d\r\n" % (table["Host"], turn)
        name, _, value = line.partition(b": ")
        total += len(name) + int(value)
        if name.lower() in table.values():
            total -= 1
    return total


def idle(turns: int) -> None:
    for _ in range(turns):
        pass


async def accounted(run: Callable[[int], Awaitable[None]], count: int, settle: Callable[[], None]) -> None:
    """`ROUNDS` times four accounts: what is between, ``count``, what is between, twice ``count``.

    ``settle`` does what exchanges leave for later, so that it falls into no account: a batch of log lines is a third of
    what its exchanges cost, and would begin in one round, and end in the next.
    """
    await run(WARM)
    for size in (count, 2 * count) * ROUNDS:
        settle()
        gc.collect()  # so that each begins with an empty nursery
        mark()
        await run(size)
        mark()


async def counted(loop: Loop, exchanges: int, slower: int) -> None:
    from gateway.app import tune_gc
    from loadtest.micro.hot_path import SHARED, WORKLOADS, rehearsal, shared

    async def turns(count: int) -> None:
        reference(TURNS * count)

    def each() -> None:
        loop.turn()
        idle(slower)

    units = counts(exchanges)
    await accounted(turns, exchanges, lambda: None)
    async with rehearsal(each) as alone, rehearsal(each, shared()) as one_of_two:
        tune_gc()  # as the process does that serves
        for name, dialogue in WORKLOADS.items():
            stage = one_of_two if name == SHARED else alone
            await accounted(partial(stage.run, dialogue), units[name] // dialogue.units, stage.settle)
        # Nothing after the last mark counts, and a gateway that closes waits for timers that nobody turns.
        sys.stdout.flush()
        os._exit(0)


def counts(exchanges: int) -> dict[str, int]:
    """Name of each workload, in order, and its units in the shorter run of a round."""
    from loadtest.micro.hot_path import WORKLOADS

    units = {"reference": TURNS * exchanges}
    return units | {name: max(exchanges // d.units, 5) * d.units for name, d in WORKLOADS.items()}


def main(exchanges: int, slower: int = 0) -> None:
    install()
    loop = Loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(counted(loop, exchanges, slower))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
