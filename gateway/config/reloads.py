"""Merges reloads that are requested faster than they run: one runs, one waits, and further requests join that one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Reloads:
    """``reload`` takes the source of the request, and never runs twice at once."""

    def __init__(self, reload: Callable[[str], Awaitable[None]]) -> None:
        self._reload = reload
        self._lock = asyncio.Lock()
        self._waiting = False

    async def ask(self, source: str) -> None:
        """Reload, or return at once when a reload already waits: that one has not read anything yet.

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
