"""Asks the data plane once a second on behalf of all who watch, and nobody while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.admin.live import Live, unreachable
from gateway.admin.problem import AdminError
from gateway.admin.rates import Rates

_log = logging.getLogger(__name__)

_KEPT: Final = 200
"""Refusals that a reader who falls behind may still get."""
_KEPT_BYTES: Final = 512 << 10
"""Of their lines: clients choose how long a path is, and each reader may have all of them in one event."""

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Beat:
    """JSON texts, made once for all readers. ``refusals``: those that this reader has not seen, oldest first."""

    state: bytes
    refusals: tuple[bytes, ...]


class Heartbeat:
    """``most``: readers at a time. ``period``: seconds between two looks."""

    def __init__(self, live: Live, *, period: float = 1.0, most: int = 16) -> None:
        self._live = live
        self._period = period
        self._most = most
        self._readers: set[Reader] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._failed = False
        self.latest: bytes | None = None
        """The state as JSON; None while nobody watches."""
        self._refusals: deque[tuple[int, bytes]] = deque()
        self._refusals_size = 0
        self._numbers = itertools.count(1)

    def check_room(self) -> None:
        """Raises `AdminError` when nobody else may watch."""
        if self._closed or len(self._readers) >= self._most:
            details = f"{self._most} readers watch already; close another page and try again"
            raise AdminError(503, "too_many_streams", "Service Unavailable", details, (), {"retry_after": 5})

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Raises `AdminError` as `check_room`. The first reader starts the looking, the last one ends it."""
        self.check_room()
        reader = Reader(self)
        self._readers.add(reader)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look(), name="watch the data plane")
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._stop()

    async def aclose(self) -> None:
        """End all readers, and let nobody in any more."""
        self._closed = True
        for reader in self._readers:
            reader.end()
        task = self._task
        self._stop()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def refusals_after(self, number: int) -> list[tuple[int, bytes]]:
        return [entry for entry in self._refusals if entry[0] > number]

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self.latest = None
        self._refusals.clear()
        self._refusals_size = 0

    def _keep(self, lines: Sequence[Line]) -> None:
        for line in lines:
            text = orjson.dumps(line)
            self._refusals.append((next(self._numbers), text))
            self._refusals_size += len(text)
        while self._refusals_size > _KEPT_BYTES or len(self._refusals) > _KEPT:
            self._refusals_size -= len(self._refusals.popleft()[1])

    async def _look(self) -> None:
        rates, since = Rates(), 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            pulse, fresh = unreachable(), None
            try:
                async with asyncio.timeout(max(self._period, 1.0)):
                    pulse = await self._live.pulse()
                    fresh = await self._live.refusals(since)
                self._failed = False
            except Exception as error:
                # Whoever watches is told that nothing can be seen; that is no reason to leave him without an answer.
                if not self._failed:
                    _log.warning("the data plane could not be asked: %s", error or type(error).__name__)
                self._failed = True
            if fresh is not None:
                since = fresh["next"]
                self._keep(fresh["items"])
            self.latest = orjson.dumps(rates.of(pulse))
            for reader in self._readers:
                reader.wake()
            due = max(due + self._period, loop.time())
            await asyncio.sleep(due - loop.time())


class Reader:
    """One who watches. Beats that he is too slow for are left out; refusals are kept for a while."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._woken = asyncio.Event()
        self.ended = False
        self._seen = 0
        if heartbeat.latest is not None:
            self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    async def beat(self) -> Beat | None:
        """The next one; None when there is nothing to tell, as at the end."""
        await self._woken.wait()
        self._woken.clear()
        latest = self._heartbeat.latest
        if self.ended or latest is None:
            return None
        fresh = self._heartbeat.refusals_after(self._seen)
        if fresh:
            self._seen = fresh[-1][0]
        return Beat(latest, tuple(line for _, line in fresh))
