from __future__ import annotations

import asyncio
import gc
import time

from harness.patience import eventually

from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.loop_lag import LoopLag
from gateway.observe.metrics import Metrics


async def test_a_loop_that_is_held_up_and_a_collection_are_seen() -> None:
    counters = CounterMap()
    watch = LoopLag(Metrics(counters), asyncio.get_running_loop())
    watch.start()

    def late() -> int:
        """Timers that rang more than 50 ms late."""
        lag = families.LOOP_LAG
        return sum(counters.ints[lag.at + lag.bounds.index(0.1) : lag.at + len(lag.bounds) + 1])

    def collections() -> int:
        pause = families.GC_PAUSE
        return sum(counters.ints[pause.at : pause.at + len(pause.bounds) + 1])

    before = collections()
    gc.collect()
    assert collections() == before + 1
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is to be seen
    await eventually(lambda: late() == 1)
    watch.close()
    after = collections()
    gc.collect()
    assert collections() == after
    watch.close()


async def test_who_wants_to_know_hears_each_delay() -> None:
    heard: list[float] = []
    watch = LoopLag(Metrics(CounterMap()), asyncio.get_running_loop(), heard.append)
    watch.start()
    await eventually(lambda: len(heard) == 1)
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is to be seen
    await eventually(lambda: len(heard) == 2)
    watch.close()
    assert heard[1] > 0.05
