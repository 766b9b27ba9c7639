"""Background tasks with an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

_PARTS_A_TURN: Final = 16
"""Each takes a part of a millisecond."""

Part = TypeVar("Part")


async def in_turns(parts: Iterator[tuple[str, Part]]) -> dict[str, Part]:
    """All ``parts``, with a turn of the event loop between some of them: what else runs goes on meanwhile."""
    made: dict[str, Part] = {}
    while some := list(islice(parts, _PARTS_A_TURN)):
        made.update(some)
        await asyncio.sleep(0)
    return made


class Tasks:
    """Tasks that belong to one owner, which ends them or waits for them before it ends.

    The event loop itself only holds tasks weakly, so one without an owner may vanish before it is done.
    """

    def __init__(self, on_failure: Callable[[asyncio.Task[None]], None] | None = None) -> None:
        """``on_failure`` gets each task that raised. Without it the exception is logged by asyncio."""
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` in a task of the running event loop; ``name`` stands in its log lines."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._over)

    async def finish(self) -> None:
        """Wait for all that run. Raises what one of them raises."""
        await asyncio.gather(*self._running)

    async def aclose(self) -> None:
        """Cancel all that run, and wait until they have ended."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._on_failure is not None and not task.cancelled() and task.exception() is not None:
            self._on_failure(task)
