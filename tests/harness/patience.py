"""Waiting for state with a bound: never a bare sleep, never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

ANSWER = aiohttp.ClientTimeout(total=30)
"""For sessions to whole processes. No answer takes longer: what hangs is to fail where it was asked."""

PATIENCE = 10.0
"""Seconds after which a thing that should have happened is taken not to happen at all."""

PROMPT = 5.0
"""Seconds that a thing which happens at once may take where the machine is busy with other tests; what waits for a
timeout of `rig.TIMEOUTS` takes longer."""

GLANCE = 0.06
"""Seconds in which a thing that must not happen is given the chance to."""


async def eventually(condition: Callable[[], object], what: str = "", within: float = PATIENCE) -> None:
    """Poll ``condition`` until it is true; AssertionError naming ``what`` after ``within`` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, f"never within {within} s: {what or condition}"
        await asyncio.sleep(0.002)


async def when(condition: Callable[[], Awaitable[bool]], within: float, what: str = "") -> float:
    """As `eventually`, for a condition that has to be awaited; the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await condition():
        assert loop.time() - began < within, f"never within {within} s: {what or condition}"
        await asyncio.sleep(0.005)
    return loop.time() - began
