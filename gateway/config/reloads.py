"""Reloads that are asked for faster than they are done: one runs, one waits, and the rest is the same as that one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Reloads:
    """``reload`` takes a word for where the wish came from, and never runs twice at once."""

    def __init__(self, reload: Callable[[str], Awaitable[None]]) -> None:
        self._reload = reload
        self._lock = asyncio.Lock()
        self._waiting = False

    async def ask(self, source: str) -> None:
        """Reload, or return at once when a reload waits already: it has not read anything yet.

        Raises what ``reload`` raises.
        """
        if self._waiting:
            return
        self._waiting = True
        try:
            await self._lock.acquire()
        finally:
            self._waiting = False
        try:
            await self._reload(source)
        finally:
            self._lock.release()
