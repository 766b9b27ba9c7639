"""Executions that have an Idempotency-Key: each is done once, and its result is given to all who send the same key.

The memory is that of one control process, which all calls over the API pass, so that it holds over all workers. It is
empty after a restart, and other gateways of the same database have their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import orjson

from gateway.admin.errors import conflict
from gateway.core.clock import Clock

Result = TypeVar("Result")
Scope = tuple[str, str, str]
"""(tenant, TRN of what is called, key)"""
OTHER_INPUT: Final = "conflict.idempotency_key"
TTL: Final = 300.0
"""Seconds for which a result is kept."""
_MOST: Final = 1000
"""Results that are kept; the oldest one is dropped for a new one."""
_MOST_BYTES: Final = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Entry(Generic[Result]):
    """``fingerprint``: of the input. ``until``: 0.0 while it runs. ``waiting``: callers that want its result."""

    fingerprint: bytes
    task: asyncio.Task[Result] = field(repr=False)
    waiting: int = 0
    until: float = 0.0
    size: int = 0


class Idempotency(Generic[Result]):
    """``weigh``: the bytes of a result that is to be kept; None: another call with the key is made again."""

    def __init__(
        self,
        weigh: Callable[[Result], int | None],
        clock: Clock = time.monotonic,
        *,
        most: int = _MOST,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._weigh = weigh
        self._clock = clock
        self._most = most
        self._most_bytes = most_bytes
        self._entries: dict[Scope, _Entry[Result]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Keys that are known."""
        return len(self._entries)

    async def once(
        self, scope: Scope, given: object, work: Callable[[], Coroutine[Any, Any, Result]]
    ) -> tuple[Result, bool]:
        """The result of ``work``, and whether another caller's is given. ``given``: JSON that must be the same.

        The work ends when the last caller that waits for it leaves. Raises `AdminError` for another input.
        """
        self._expire()
        fingerprint = hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).digest()
        entry = self._entries.get(scope)
        joined = entry is not None
        if entry is None:
            task = asyncio.create_task(work(), name=f"call {scope[1]}")
            entry = self._entries[scope] = _Entry(fingerprint, task)
            task.add_done_callback(lambda _: self._settle(scope, entry))
        elif entry.fingerprint != fingerprint:
            details = "The Idempotency-Key was sent with another input; take a new key for another call"
            raise conflict(OTHER_INPUT, details, {"message": details})
        return await self._shared(scope, entry), joined

    async def _shared(self, scope: Scope, entry: _Entry[Result]) -> Result:
        entry.waiting += 1
        try:
            return await asyncio.shield(entry.task)
        finally:
            entry.waiting -= 1
            if not entry.waiting and not entry.task.done():
                del self._entries[scope]  # a caller that comes now begins again, and does not join what ends
                entry.task.cancel()

    def _settle(self, scope: Scope, entry: _Entry[Result]) -> None:
        """Keep the result of what has ended, or forget it. The newest is the last of the entries."""
        if self._entries.get(scope) is not entry:
            return
        del self._entries[scope]
        failed = entry.task.cancelled() or entry.task.exception() is not None
        size = None if failed else self._weigh(entry.task.result())
        if size is None or size > self._most_bytes:
            return
        entry.size, entry.until = size, self._clock() + TTL
        self._entries[scope] = entry
        self._bytes += size
        for old, each in list(self._entries.items()):
            if len(self._entries) <= self._most and self._bytes <= self._most_bytes:
                break
            if each.until and each is not entry:
                self._drop(old)

    def _expire(self) -> None:
        now = self._clock()
        for scope, each in list(self._entries.items()):
            if each.until and each.until <= now:
                self._drop(scope)
            elif each.until:
                break  # those that ended later stand behind it

    def _drop(self, scope: Scope) -> None:
        self._bytes -= self._entries.pop(scope).size
