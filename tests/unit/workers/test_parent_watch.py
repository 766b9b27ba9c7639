"""A child is called once when its supervisor ends."""

from __future__ import annotations

import asyncio
import os

from harness.patience import eventually

from gateway.workers.parent_watch import parent_watch


async def test_the_end_is_heard_once() -> None:
    alive, held = os.pipe()
    heard: list[int] = []
    with parent_watch(alive, lambda: heard.append(1)):
        await asyncio.sleep(0)
        assert heard == []
        os.close(held)
        await eventually(lambda: heard)
        for _ in range(5):
            await asyncio.sleep(0)
        assert heard == [1]
    os.close(alive)
